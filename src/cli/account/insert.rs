//! One more account in the text of a configuration: every other character, comments above all,
//! stays as it is.

use crate::config::Config;
use crate::config::load::{Base, parse};

/// Name, home and priority, as they are to be written.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'t> {
    pub name: &'t str,
    pub home: &'t str,
    pub priority: u32,
}

/// The new text and what it means; `None` when the list is written in a way that cannot be added to
/// with certainty. Whatever comes out was read again: it holds one account more, and all else is equal.
pub fn insert(text: &str, entry: Entry<'_>, base: &Base) -> Option<(String, Config)> {
    let before = parse(text, base).ok()?.config;
    let candidates = [after_last_item(text, entry), before_bracket(text, entry)];
    candidates.into_iter().flatten().find_map(|text| {
        let config = parse(&text, base).ok()?.config;
        is_one_more(&before, &config, entry).then_some((text, config))
    })
}

fn is_one_more(before: &Config, after: &Config, entry: Entry<'_>) -> bool {
    let mut rest = after.clone();
    rest.accounts.retain(|account| account.name.as_str() != entry.name);
    after.accounts.len() == before.accounts.len() + 1 && rest == *before
}

/// `accounts:` with one item below the other.
fn after_last_item(text: &str, entry: Entry<'_>) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let key = lines.iter().position(|line| is_key(line))?;
    let (first, dash) = lines.iter().enumerate().skip(key + 1).find_map(|(at, line)| {
        let is_item = line.trim_start().starts_with("- ");
        is_item.then(|| (at, indent(line)))
    })?;
    let ends = |line: &&str| {
        !is_blank(line) && (indent(line) < dash || (indent(line) == dash && !is_item(line)))
    };
    let items = &lines[first..];
    let length = items.iter().position(ends).unwrap_or(items.len());
    // Comments behind the last item speak of what follows.
    let last = items[..length].iter().rposition(|line| !is_blank(line))?;
    let at = first + last + 1;
    let pad = " ".repeat(dash);
    let Entry { name, home, priority } = entry;
    let item = format!("{pad}- name: {name}\n{pad}  home: {home}\n{pad}  priority: {priority}\n");
    let mut before = lines[..at].concat();
    if !before.ends_with('\n') {
        before.push('\n');
    }
    Some(before + &item + &lines[at..].concat())
}

/// `accounts: [...]`: before the bracket that ends the list. Brackets in quotes or comments make
/// this find a wrong one, which the reading afterwards sees.
fn before_bracket(text: &str, entry: Entry<'_>) -> Option<String> {
    let start = text.match_indices("accounts:").map(|(at, _)| at);
    let mut start = start.filter(|at| *at == 0 || text[..*at].ends_with('\n'));
    let list = start.next()? + "accounts:".len();
    let open = list + text[list..].find('[').filter(|at| text[list..][..*at].trim().is_empty())?;
    let mut depth = 0_usize;
    let close = text[open..].char_indices().find_map(|(at, c)| {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(open + at)
    })?;
    let inside = text[open + 1..close].trim_end();
    let comma = if inside.is_empty() || inside.ends_with(',') { "" } else { ", " };
    let Entry { name, home, priority } = entry;
    let item = format!("{comma}{{name: {name}, home: {home}, priority: {priority}}}");
    let at = open + 1 + inside.len();
    Some(format!("{}{item}{}", &text[..at], &text[at..]))
}

fn is_key(line: &str) -> bool {
    let rest = line.strip_prefix("accounts:").map(str::trim);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('#'))
}

fn is_item(line: &str) -> bool {
    line.trim_start().starts_with("- ")
}

fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const ENTRY: Entry<'_> = Entry { name: "c", home: "~/.claude-c", priority: 7 };

    #[track_caller]
    fn check(text: &str, entry: Entry<'_>, expected: &Expect) {
        let (text, config) = insert(text, entry, &Base::new("/home/u")).unwrap();
        assert!(config.accounts.iter().any(|account| account.name.as_str() == "c"));
        expected.assert_eq(&text);
    }

    #[test]
    fn an_item_comes_behind_the_last_one_and_before_what_is_said_of_the_next_key() {
        check(
            "# top\naccounts:  # mine\n  # the first\n  - name: a\n    home: ~/a # x\n    \
             priority: 1\n\n  - {name: b, home: ~/b}\n\n# Sessions.\npool:\n  dedicated: []\n",
            ENTRY,
            &expect![[r#"
                # top
                accounts:  # mine
                  # the first
                  - name: a
                    home: ~/a # x
                    priority: 1

                  - {name: b, home: ~/b}
                  - name: c
                    home: ~/.claude-c
                    priority: 7

                # Sessions.
                pool:
                  dedicated: []
            "#]],
        );
        check(
            "accounts:\n- name: a\n  home: ~/a\nlink: ~/.claude\n",
            ENTRY,
            &expect![[r#"
                accounts:
                - name: a
                  home: ~/a
                - name: c
                  home: ~/.claude-c
                  priority: 7
                link: ~/.claude
            "#]],
        );
        check(
            "accounts:\n  - name: a\n    home: ~/a",
            ENTRY,
            &expect![[r#"
                accounts:
                  - name: a
                    home: ~/a
                  - name: c
                    home: ~/.claude-c
                    priority: 7
            "#]],
        );
    }

    #[test]
    fn a_list_in_brackets_grows_before_the_last_one() {
        check(
            "accounts: [{name: a, home: ~/a}, {name: b, home: ~/b}] # two\nlink: ~/.claude\n",
            ENTRY,
            &expect![[r#"
                accounts: [{name: a, home: ~/a}, {name: b, home: ~/b}, {name: c, home: ~/.claude-c, priority: 7}] # two
                link: ~/.claude
            "#]],
        );
        check(
            "accounts: [\n  {name: a, home: ~/a},\n]\n",
            ENTRY,
            &expect![[r#"
                accounts: [
                  {name: a, home: ~/a},{name: c, home: ~/.claude-c, priority: 7}
                ]
            "#]],
        );
    }

    #[test]
    fn what_cannot_be_added_to_with_certainty_is_left_alone() {
        let base = Base::new("/home/u");
        for text in [
            "\"accounts\": [{name: a, home: ~/a}]\n",
            "{accounts: [{name: a, home: ~/a}]}\n",
            "accounts: [{name: a, home: \"/a]\"}]\n",
            "accounts: [{name: c, home: ~/a}]\n",
            "nonsense",
        ] {
            assert_eq!(insert(text, ENTRY, &base).map(|(text, _)| text), None, "{text}");
        }
    }
}
