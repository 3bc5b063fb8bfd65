//! The rules as data: `etc/guard.yaml`, which is built in, and the operator's own beside them.

use crate::guard::text::{STAR, is_glob, may_be, may_be_word};
use crate::yaml::value::{describe, line_of_text};
use crate::yaml::{self, Limits, Node};

/// The file that is shipped.
pub const BUILT_IN: &str = include_str!("../../etc/guard.yaml");
/// Bytes of the operator's file.
pub const FILE_BYTES_MAX: usize = 256 << 10;
const LIMITS: Limits = Limits { nodes_max: 10_000, work_max: 1_000 * FILE_BYTES_MAX };

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rules {
    pub rules: Vec<Rule>,
    pub system: Vec<String>,
    pub writable: Vec<String>,
    pub roots: Vec<String>,
    pub scratch: Vec<String>,
    pub main_branches: Vec<String>,
    pub fetchers: Vec<String>,
    pub decoders: Vec<String>,
    /// Names of rules that do not hold.
    off: Vec<String>,
    allow: Own,
    deny: Own,
}

/// The operator's own patterns.
#[derive(Debug, Clone, PartialEq, Default)]
struct Own {
    paths: Vec<String>,
    commands: Vec<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rule {
    pub name: String,
    pub why: String,
    pub instead: String,
    /// Files that may not be written to or deleted.
    pub paths: Vec<String>,
    pub except: Vec<String>,
    pub commands: Vec<Vec<String>>,
    pub unless: Vec<Vec<String>>,
}

impl Rules {
    /// The rules that are shipped, with the operator's own file, if there is one.
    ///
    /// # Errors
    /// What is wrong with the operator's file.
    pub fn load(own: Option<&str>) -> Result<Self, String> {
        let mut rules = Self::default();
        let shipped = yaml::parse(BUILT_IN, LIMITS).map_err(|error| error.message)?;
        for (key, node) in map(&shipped)? {
            match key.as_str() {
                "rules" => rules.rules = list(node)?.iter().map(rule).collect::<Result<_, _>>()?,
                "system" => rules.system = lines(node)?,
                "writable" => rules.writable = lines(node)?,
                "roots" => rules.roots = lines(node)?,
                "scratch" => rules.scratch = lines(node)?,
                "main_branches" => rules.main_branches = lines(node)?,
                "fetchers" => rules.fetchers = lines(node)?,
                "decoders" => rules.decoders = lines(node)?,
                other => return Err(format!("unknown key {other}")),
            }
        }
        if let Some(own) = own {
            rules.add(own)?;
        }
        Ok(rules)
    }

    fn add(&mut self, own: &str) -> Result<(), String> {
        let own = yaml::parse(own, LIMITS).map_err(|error| match error.line {
            Some(line) => format!("line {line}: {}", error.message),
            None => error.message,
        })?;
        if own == Node::Null {
            return Ok(());
        }
        for (key, node) in map(&own)? {
            let lines = || lines(node).map_err(|why| format!("{key}: {why}"));
            match key.as_str() {
                "off" => {
                    let lines = lines()?;
                    let unknown = |name: &&String| self.rule(name).is_none();
                    if let Some(name) = lines.iter().find(unknown) {
                        return Err(format!("off: {name:?} is no rule of etc/guard.yaml"));
                    }
                    self.off.extend(lines);
                }
                "allow" => self.allow.add(lines()?),
                "deny" => self.deny.add(lines()?),
                other => {
                    return Err(format!("unknown key {other:?}: the keys are off, allow and deny"));
                }
            }
        }
        Ok(())
    }

    /// The rule with this name.
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == name)
    }

    pub fn holds(&self, name: &str) -> bool {
        !self.off.iter().any(|off| off == name)
    }

    /// The first rule that names this command outright. `words` begin with its bare name.
    pub fn of_command(&self, words: &[&str]) -> Option<&Rule> {
        self.rules.iter().find(|rule| {
            rule.commands.iter().any(|pattern| occurs(pattern, words))
                && !rule.unless.iter().any(|pattern| occurs(pattern, words))
        })
    }

    /// The operator's own pattern that forbids this command.
    pub fn denied_command(&self, words: &[&str]) -> Option<String> {
        let found = self.deny.commands.iter().find(|pattern| occurs(pattern, words));
        found.map(|pattern| pattern.join(" "))
    }

    pub fn allowed_command(&self, words: &[&str]) -> bool {
        self.allow.commands.iter().any(|pattern| is_whole(pattern, words))
    }

    /// The first rule that protects this file. `path` is absolute; `home` is what `~` stands for.
    pub fn of_path(&self, path: &str, home: &str) -> Option<&Rule> {
        self.rules
            .iter()
            .find(|rule| any_path(&rule.paths, path, home) && !any_path(&rule.except, path, home))
    }

    pub fn denied_path(&self, path: &str, home: &str) -> Option<&str> {
        let mut patterns = self.deny.paths.iter();
        patterns.find(|pattern| path_matches(pattern, path, home)).map(String::as_str)
    }

    pub fn allowed_path(&self, path: &str, home: &str) -> bool {
        any_path(&self.allow.paths, path, home)
    }

    pub fn is_main(&self, branch: &str) -> bool {
        let branch = branch.strip_prefix("refs/heads/").unwrap_or(branch);
        self.main_branches.iter().any(|pattern| may_be(pattern, branch))
    }
}

impl Own {
    fn add(&mut self, lines: Vec<String>) {
        for line in lines {
            match line.starts_with('/') || line.starts_with('~') {
                true => self.paths.push(line),
                false => self.commands.push(words(&line)),
            }
        }
    }
}

pub fn any_path(patterns: &[String], path: &str, home: &str) -> bool {
    any_below(patterns, &[], path, home)
}

/// Whether the words of `pattern` occur in `words`, in order, the first at their beginning.
fn occurs(pattern: &[String], words: &[&str]) -> bool {
    let Some((name, rest)) = pattern.split_first() else { return false };
    let mut words = words.iter();
    words.next().is_some_and(|word| may_be(name, word))
        && rest.iter().all(|part| words.any(|word| may_be_word(part, word)))
}

fn is_whole(pattern: &[String], words: &[&str]) -> bool {
    let (pattern, open) = match pattern.split_last() {
        Some((last, rest)) if last == "**" => (rest, true),
        _ => (pattern, false),
    };
    (words.len() == pattern.len() || (open && words.len() > pattern.len()))
        && pattern.iter().zip(words).all(|(part, word)| {
            // Out of the place that the pattern names.
            let leaves = part.contains('*') && word.split('/').any(|part| part == "..");
            !leaves
                && (may_be(part, word) || (part.ends_with("/**") && path_matches(part, word, "~")))
        })
}

/// Whether `path`, of which parts may be unknown, is one that `pattern` names.
pub fn path_matches(pattern: &str, path: &str, home: &str) -> bool {
    parts_match(&parts_of_pattern(pattern, home, &[]), &parts(path))
}

/// Whether `path` lies in one of `dirs`, as `tail` says how.
pub fn any_below(dirs: &[String], tail: &[&str], path: &str, home: &str) -> bool {
    let path = parts(path);
    dirs.iter().any(|dir| parts_match(&parts_of_pattern(dir, home, tail), &path))
}

fn parts(text: &str) -> Vec<&str> {
    text.split('/').filter(|part| !part.is_empty()).collect()
}

fn parts_of_pattern<'a>(pattern: &'a str, home: &'a str, tail: &[&'a str]) -> Vec<&'a str> {
    match pattern.strip_prefix('~') {
        // `~/.claude*`, and no name of another user.
        Some(rest) => [&parts(home), &parts(rest), tail].concat(),
        None => [&parts(pattern), tail].concat(),
    }
}

fn parts_match(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if *first == "**" => {
            rest.is_empty() || (0..=path.len()).any(|skipped| parts_match(rest, &path[skipped..]))
        }
        (Some((first, rest)), Some((part, others))) => {
            part_matches(first, part) && parts_match(rest, others)
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn part_matches(pattern: &str, part: &str) -> bool {
    let is_exact = !pattern.contains(['*', '?']);
    // What is nothing but `*` names a whole directory, and no file in particular.
    let part_may_grow = part.contains(is_glob) && !part.chars().all(|c| c == STAR);
    may_be(pattern, part) || (is_exact && part_may_grow && may_be(part, pattern))
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn map(node: &Node) -> Result<&[(String, Node)], String> {
    match node {
        Node::Map(entries) => Ok(entries),
        other => Err(format!("expected a mapping (key: value), got {}", describe(other))),
    }
}

fn list(node: &Node) -> Result<&[Node], String> {
    match node {
        Node::List(items) => Ok(items),
        Node::Null => Ok(&[]),
        other => Err(format!("expected a list, got {}", describe(other))),
    }
}

fn lines(node: &Node) -> Result<Vec<String>, String> {
    list(node)?.iter().map(|item| line_of_text(item).map(str::to_owned)).collect()
}

fn rule(node: &Node) -> Result<Rule, String> {
    let mut rule = Rule::default();
    for (key, value) in map(node)? {
        let commands =
            |value| Ok::<_, String>(lines(value)?.iter().map(|line| words(line)).collect());
        match key.as_str() {
            "name" => rule.name = line_of_text(value)?.to_owned(),
            "why" => rule.why = line_of_text(value)?.to_owned(),
            "instead" => rule.instead = line_of_text(value)?.to_owned(),
            "paths" => rule.paths = lines(value)?,
            "except" => rule.except = lines(value)?,
            "commands" => rule.commands = commands(value)?,
            "unless" => rule.unless = commands(value)?,
            other => return Err(format!("a rule has no {other}")),
        }
    }
    Ok(rule)
}
