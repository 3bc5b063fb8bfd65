//! Programs in other languages, as far as their texts show what they do: `python -c`, `perl -e`,
//! `node -e`, awk. Only texts in quotes are read, and only beside what runs, deletes or writes.

use crate::guard::UNREADABLE;
use crate::guard::delete::Tree;
use crate::guard::shells::{joined, quoted};
use crate::guard::text::FETCHED;
use crate::guard::walk::{Done, State, Walk};

/// (beginning of the name, options that are followed by code).
const INTERPRETERS: [(&str, &[&str]); 12] = [
    ("python", &["-c"]),
    ("pypy", &["-c"]),
    ("perl", &["-e", "-E"]),
    ("ruby", &["-e"]),
    ("node", &["-e", "--eval", "-p", "--print", "-pe"]),
    ("deno", &["eval"]),
    ("bun", &["-e", "--eval"]),
    ("php", &["-r"]),
    ("lua", &["-e"]),
    ("tclsh", &[]),
    ("Rscript", &["-e"]),
    ("osascript", &["-e"]),
];
const AWKS: [&str; 4] = ["awk", "gawk", "mawk", "nawk"];
/// They give a text, or a list of words, to the system.
const RUNS: [&str; 18] = [
    "system",
    "popen",
    "Popen",
    "subprocess",
    "exec",
    "spawn",
    "child_process",
    "qx",
    "%x",
    "shell_exec",
    "passthru",
    "Open3",
    "Command",
    "check_call",
    "check_output",
    "getoutput",
    "Deno.run",
    "| getline",
];
const DELETES: [&str; 13] = [
    "rmtree",
    "rmSync",
    "rmdirSync",
    "rm_rf",
    "rm_r(",
    "remove_tree",
    "remove_dir",
    "remove_entry",
    ".rm(",
    "removeSync",
    "rimraf",
    "removedirs",
    "secure_rm",
];
const WRITES: [&str; 11] = [
    "writeFile",
    "appendFile",
    "File.write",
    "write_text",
    "createWriteStream",
    "file_put_contents",
    "unlink",
    "os.remove(",
    "os.rename(",
    "shutil.move(",
    "shutil.copy",
];
/// They run a text that was made a moment ago.
const RUNS_TEXT: [&str; 5] = ["exec(", "eval(", "system(", "eval ", "Function("];
const HIDES: [&str; 8] = [
    "b64decode",
    "decode_base64",
    "atob(",
    "base64'",
    "base64\"",
    "fromhex",
    "unhexlify",
    "decode64",
];
const FETCHES: [&str; 6] =
    ["urlopen", "requests.get", "fetch(", "http.get", "open-uri", "urlretrieve"];
/// Characters before a text in which its use is looked for.
const BEFORE_CHARS: usize = 60;
/// Texts of one program.
const TEXTS_MAX: usize = 2_000;

/// A text in quotes.
struct Literal {
    text: String,
    before: String,
    after: String,
    /// In backticks, which run it in some languages.
    is_command: bool,
}

pub fn is_interpreter(name: &str) -> bool {
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    INTERPRETERS.iter().any(|(known, _)| *known == base || (*known == "node" && name == "nodejs"))
}

/// The code among the arguments of an interpreter.
pub fn code_of(name: &str, args: &[String]) -> Option<String> {
    if AWKS.contains(&name) {
        return args.iter().find(|arg| !arg.starts_with('-')).cloned();
    }
    if !is_interpreter(name) {
        return None;
    }
    let (_, options) = INTERPRETERS.iter().find(|(known, _)| name.starts_with(known))?;
    for (at, arg) in args.iter().enumerate() {
        // `-ne`, `-lane` end in the letter; `-c'code'` begins with it.
        let ends = options.iter().any(|option| {
            let short = option.strip_prefix('-').filter(|letter| letter.len() == 1);
            arg == option
                || (arg.starts_with('-')
                    && !arg.starts_with("--")
                    && short.is_some_and(|letter| arg.ends_with(letter)))
        });
        if ends {
            return args.get(at + 1).cloned();
        }
        let long = options.iter().find_map(|option| arg.strip_prefix(option)?.strip_prefix('='));
        if let Some(code) = long.filter(|_| arg.starts_with("--")) {
            return Some(code.to_owned());
        }
        let glued = options.iter().find(|option| option.len() == 2 && arg.starts_with(**option));
        if let Some(option) = glued {
            return Some(arg[option.len()..].to_owned());
        }
    }
    None
}

impl Walk<'_> {
    pub fn judge_code(&mut self, name: &str, words: &[String], state: &State) -> Done<()> {
        match code_of(name, &words[1..]) {
            Some(code) => self.judge_program(name, &code, state),
            None => Ok(()),
        }
    }

    pub fn judge_program(&mut self, name: &str, code: &str, state: &State) -> Done<()> {
        let holds = |words: &[&str]| words.iter().any(|word| code.contains(word));
        if code.contains(FETCHED) && holds(&RUNS_TEXT)
            || holds(&FETCHES) && holds(&["exec(", "eval("])
        {
            self.refuse("run-download", name)?;
        }
        if holds(&RUNS_TEXT) && code.contains("stdin") && state.stdin.contains(FETCHED) {
            self.refuse("run-download", name)?;
        }
        if holds(&HIDES) && holds(&RUNS_TEXT) {
            self.refuse("run-encoded", name)?;
        }
        let literals = literals(code);
        // In other languages backticks are texts.
        let runs_backticks = ["perl", "ruby", "php"].iter().any(|known| name.starts_with(known));
        let is_command = |literal: &Literal| runs_backticks && literal.is_command;
        if holds(&RUNS) || literals.iter().any(is_command) {
            self.judge_commands(&literals, state)?;
        }
        let deletes = holds(&DELETES);
        for literal in &literals {
            self.judge_literal(literal, deletes, state)?;
        }
        Ok(())
    }

    /// A text as a path, by what stands beside it.
    fn judge_literal(&mut self, literal: &Literal, deletes: bool, state: &State) -> Done<()> {
        // Perl has the mode before the name.
        let text = literal.text.trim_start_matches(['>', '+', ' ']);
        if text.is_empty() || text.contains(['\n', ' ']) {
            return Ok(());
        }
        let path = match text.strip_prefix('~') {
            Some(rest) => format!("{}{rest}", self.place.home),
            None => text.to_owned(),
        };
        let beside = |words: &[&str]| words.iter().any(|word| literal.before.contains(word));
        let is_path = text.starts_with(['/', '~']) || text.starts_with("..");
        let is_value = literal.before.trim_end().ends_with('=');
        if is_path && deletes && (beside(&DELETES) || is_value) {
            self.judge_tree(&path, Tree::Delete, state)?;
        }
        let mode = literal.after.trim_start().strip_prefix(',').map_or("", str::trim_start);
        let mode = mode.strip_prefix(['"', '\'']).unwrap_or("");
        let opens = literal.before.contains("open") && mode.starts_with(['w', 'a', 'x'])
            || literal.before.contains("open(") && literal.text.starts_with('>');
        if opens || beside(&WRITES) || literal.after.starts_with(").write") {
            self.judge_write(&path, state)?;
        }
        Ok(())
    }

    /// Each text as a command, and lists of words as one.
    fn judge_commands(&mut self, literals: &[Literal], state: &State) -> Done<()> {
        const LIST_MAX: usize = 12;
        for (at, literal) in literals.iter().enumerate() {
            self.try_text(&literal.text, state)?;
            let is_glued = |literal: &&Literal| matches!(literal.before.trim(), "+" | "." | "");
            let rest = literals[at + 1..].iter().take_while(is_glued).take(LIST_MAX);
            let glued: String = rest.map(|literal| literal.text.as_str()).collect();
            if !glued.is_empty() {
                self.try_text(&format!("{}{glued}", literal.text), state)?;
            }
            let is_list = |literal: &&Literal| {
                let before = literal.before.trim_end();
                before.ends_with(',') || before.ends_with('[')
            };
            let rest = literals[at + 1..].iter().take_while(is_list).take(LIST_MAX);
            let words: Vec<String> =
                std::iter::once(literal).chain(rest).map(|literal| literal.text.clone()).collect();
            if words.len() > 1 {
                let line = joined(&quoted(&words)).replace("'~", &format!("'{}", self.place.home));
                match self.run_text(&line, &mut state.clone()) {
                    Err(refusal) if refusal.rule != UNREADABLE => return Err(refusal),
                    Ok(_) | Err(_) => {}
                }
            }
        }
        Ok(())
    }
}

fn literals(code: &str) -> Vec<Literal> {
    let chars: Vec<char> = code.chars().collect();
    let (mut found, mut at, mut last_end) = (Vec::new(), 0, 0);
    while at < chars.len() && found.len() < TEXTS_MAX {
        let quote = chars[at];
        if let Some((text, is_command, end)) = worded(&chars, at) {
            let from = at.saturating_sub(BEFORE_CHARS).max(last_end);
            let before = chars[from..at].iter().collect();
            found.push(Literal { text, before, after: String::new(), is_command });
            (at, last_end) = (end, end);
            continue;
        }
        if !matches!(quote, '"' | '\'' | '`') {
            at += 1;
            continue;
        }
        let triple = chars[at..].iter().take(3).filter(|c| **c == quote).count() == 3;
        let width = if triple { 3 } else { 1 };
        let start = at;
        at += width;
        let (mut text, mut closed) = (String::new(), false);
        while at < chars.len() {
            if chars[at] == '\\' && at + 1 < chars.len() {
                text.extend(&chars[at..at + 2]);
                at += 2;
                continue;
            }
            if chars[at..].iter().take(width).all(|c| *c == quote) && at + width <= chars.len() {
                closed = true;
                at += width;
                break;
            }
            // An apostrophe, not a quote.
            if !triple && chars[at] == '\n' && quote != '`' {
                break;
            }
            text.push(chars[at]);
            at += 1;
        }
        if !closed {
            at = start + 1;
            continue;
        }
        let from = start.saturating_sub(BEFORE_CHARS).max(last_end);
        found.push(Literal {
            text: crate::guard::shell::word::unescaped(&text),
            before: chars[from..start].iter().collect(),
            after: chars[at..].iter().take(16).collect(),
            is_command: quote == '`',
        });
        last_end = at;
    }
    found
}

/// `q(…)`, `qx{…}`, `%x(…)`: the text, whether it is run, and where it ends.
fn worded(chars: &[char], at: usize) -> Option<(String, bool, usize)> {
    const KINDS: [(&str, bool); 8] = [
        ("qq", false),
        ("qx", true),
        ("qw", false),
        ("q", false),
        ("%x", true),
        ("%q", false),
        ("%Q", false),
        ("%w", false),
    ];
    /// Of such a text.
    const CHARS_MAX: usize = 2_000;
    if !matches!(chars[at], 'q' | '%') || (at > 0 && chars[at - 1].is_alphanumeric()) {
        return None;
    }
    let (kind, is_command) = KINDS.iter().find(|(kind, _)| {
        kind.chars().enumerate().all(|(more, c)| chars.get(at + more) == Some(&c))
    })?;
    let start = at + kind.len() + 1;
    let close = match chars.get(start - 1)? {
        '(' => ')',
        '{' => '}',
        '[' => ']',
        '<' => '>',
        c @ ('|' | '/' | '!') => *c,
        _ => return None,
    };
    let length = chars[start..].iter().take(CHARS_MAX).position(|c| *c == close)?;
    let text = chars[start..start + length].iter().collect();
    Some((text, *is_command, start + length + 1))
}
