//! What a command prints, as far as it can be known.

use crate::guard::call::DANGEROUS;
use crate::guard::find::found;
use crate::guard::options::Options;
use crate::guard::path::{emptied, file_name};
use crate::guard::shell::word::unescaped;
use crate::guard::text::{DECODED, FETCHED, SOME, UNKNOWN, has_hole};
use crate::guard::walk::{Done, State, Walk, append};

/// Lines in, some of the same lines out.
const PASS_LINES: [&str; 16] = [
    "cat", "tac", "head", "tail", "grep", "egrep", "fgrep", "rg", "sort", "uniq", "tee", "less",
    "more", "shuf", "sponge", "pv",
];
/// Text in, another text out.
const CHANGE_TEXT: [&str; 12] = [
    "sed", "awk", "gawk", "mawk", "cut", "paste", "perl", "fold", "fmt", "column", "envsubst", "jq",
];
/// They print one name, number or date.
const PRINT_A_NAME: [&str; 21] = [
    "date",
    "nproc",
    "whoami",
    "hostname",
    "id",
    "uname",
    "wc",
    "stat",
    "seq",
    "expr",
    "uuidgen",
    "tty",
    "arch",
    "getconf",
    "sha256sum",
    "md5sum",
    "cksum",
    "pgrep",
    "pidof",
    "lsof",
    "rustc",
];

impl Walk<'_> {
    pub fn output(&mut self, name: &str, args: &[String], state: &mut State) -> Done<String> {
        let text = match name {
            "echo" => echo(args),
            "printf" if args.first().is_some_and(|arg| arg != "-v") => printf(args),
            "pwd" => format!("{}\n", state.cwd),
            "mktemp" => made(args),
            "find" => found(args).join("\n") + "\n",
            "ls" | "fd" | "fdfind" => listed(args),
            "which" | "command" | "type" => args.last().cloned().unwrap_or_default(),
            "realpath" | "readlink" => match args.last() {
                Some(path) => state.absolute(path),
                None => UNKNOWN.to_string(),
            },
            "dirname" => match args.last().and_then(|path| path.rsplit_once('/')) {
                Some(("", _)) => "/".to_owned(),
                Some((dir, _)) => dir.to_owned(),
                None if args.last().is_some_and(|path| has_hole(path)) => UNKNOWN.to_string(),
                None => ".".to_owned(),
            },
            "basename" => file_name(args.first().map_or("", String::as_str)).to_owned(),
            "git" => self.of_git(args, state),
            "ln" => {
                let options = Options::read(args, "tS", &["target-directory", "suffix"]);
                self.rename_program(&options, state);
                if let [target, link] = options.operands.as_slice() {
                    state.links.insert(state.absolute(link), state.absolute(target));
                }
                String::new()
            }
            "cp" | "mv" => {
                let options = Options::read(args, "tS", &["target-directory", "suffix"]);
                self.rename_program(&options, state);
                if let [source, target] = options.operands.as_slice()
                    && let Some(text) = state.files.get(&state.absolute(source)).cloned()
                {
                    state.files.insert(state.absolute(target), text);
                }
                String::new()
            }
            "cd" | "export" | "declare" | "local" | "readonly" | "typeset" | "set" | "unset"
            | "shift" | "mkdir" | "touch" | "true" | "false" | ":" | "exit" | "return"
            | "break" | "continue" | "rm" | "chmod" | "chown" | "trap" | "alias" | "read"
            | "sleep" | "wait" | "[" | "test" | "kill" => String::new(),
            name if PRINT_A_NAME.contains(&name) => SOME.to_string(),
            name if self.rules.fetchers.iter().any(|known| known == name) => {
                return Ok(self.fetched(name, args, state));
            }
            name if self.rules.decoders.iter().any(|known| known == name) => {
                let is_fetched = state.stdin.contains(FETCHED);
                if is_fetched { FETCHED.to_string() } else { DECODED.to_string() }
            }
            name if PASS_LINES.contains(&name) => self.passed_lines(name, args, state),
            name if CHANGE_TEXT.contains(&name) => {
                let input = self.input(args, state, 1);
                match has_hole(&input) || input.trim().is_empty() {
                    true => tainted(&input),
                    // Known before, and not any more.
                    false => DECODED.to_string(),
                }
            }
            _ => tainted(&state.stdin),
        };
        Ok(text)
    }

    /// A program under another name is still the same one.
    fn rename_program(&self, options: &Options, state: &mut State) {
        if let [program, name] = options.operands.as_slice()
            && program.starts_with('/')
            && DANGEROUS.contains(&file_name(program))
        {
            state.files.insert(state.absolute(name), format!("{program} \"$@\""));
        }
    }

    /// The files that are named behind `skipped` operands, or the standard input.
    fn input(&self, args: &[String], state: &State, skipped: usize) -> String {
        let options = Options::read(args, "neABCmdfFktsSocwl", &["lines", "bytes", "regexp"]);
        let explicit = options.value('e').is_some() || options.long_value("regexp").is_some();
        let skipped = if explicit { 0 } else { skipped };
        let files: Vec<&str> = options.operands().skip(skipped).collect();
        if files.is_empty() {
            return state.stdin.clone();
        }
        let mut text = String::new();
        for file in files {
            append(&mut text, &self.content(file, state));
        }
        text
    }

    fn passed_lines(&self, name: &str, args: &[String], state: &mut State) -> String {
        if name == "tee" {
            let text = state.stdin.clone();
            for file in args.iter().filter(|arg| !arg.starts_with('-')) {
                state.files.insert(state.absolute(file), text.clone());
            }
            return text;
        }
        let searches = ["grep", "egrep", "fgrep", "rg"].contains(&name);
        if searches {
            let options =
                Options::read(args, "eABCmfgt", &["include", "exclude", "glob", "regexp"]);
            let names =
                options.has('l') || options.has('L') || options.has_long("files-with-matches", 7);
            let dirs: Vec<&str> = options.operands().skip(1).collect();
            if names || options.has_long("files", 5) {
                let all = |dir: &str| format!("{dir}/{SOME}\n");
                return match dirs.is_empty() {
                    true => format!("{SOME}\n"),
                    false => dirs.into_iter().map(all).collect(),
                };
            }
        }
        if name == "cat" {
            return self.input(args, state, 0);
        }
        self.input(args, state, usize::from(searches))
    }

    fn fetched(&self, name: &str, args: &[String], state: &mut State) -> String {
        let options = Options::read(args, "oOPXHdFuAbTmeKrxYyzC", &["output", "output-document"]);
        let letter = if name == "wget" { 'O' } else { 'o' };
        let given = options.value(letter).or(options.long_value("output"));
        let given = given.or(options.long_value("output-document")).filter(|file| *file != "-");
        // Under the name that it has there.
        let named = (name == "wget" && given.is_none() && options.value('O').is_none())
            || (name == "curl" && options.has_long("remote-name", 8))
            || (name == "curl" && options.value('O').is_some());
        let url = options
            .operands()
            .chain(options.value('O'))
            .find(|operand| operand.contains('/'))
            .map(|url| file_name(url.split(['?', '#']).next().unwrap_or(url)));
        let file = given.map(str::to_owned).or(url.filter(|_| named).map(str::to_owned));
        if let Some(file) = file {
            state.files.insert(state.absolute(&file), FETCHED.to_string());
        }
        FETCHED.to_string()
    }

    fn of_git(&self, args: &[String], state: &State) -> String {
        let verb = args.iter().find(|arg| !arg.starts_with('-')).map_or("", String::as_str);
        match verb {
            "rev-parse" if args.iter().any(|arg| arg == "--show-toplevel") => {
                self.place.work.clone().unwrap_or_else(|| state.cwd.clone())
            }
            "ls-files" | "diff" | "status" | "rev-parse" | "describe" | "branch" | "log"
            | "symbolic-ref" | "rev-list" | "merge-base" | "for-each-ref" | "grep" => {
                format!("{SOME}\n")
            }
            _ => UNKNOWN.to_string(),
        }
    }
}

/// What is made of an input that is not known.
fn tainted(input: &str) -> String {
    let taint = [FETCHED, DECODED].into_iter().find(|taint| input.contains(*taint));
    taint.unwrap_or(UNKNOWN).to_string()
}

fn echo(args: &[String]) -> String {
    let is_flag = |arg: &&String| {
        arg.len() > 1 && arg.starts_with('-') && arg[1..].chars().all(|c| "neE".contains(c))
    };
    let flags = args.iter().take_while(is_flag).count();
    let text = args[flags..].join(" ");
    let escapes = args[..flags].iter().any(|flag| flag.contains('e'));
    format!("{}\n", if escapes { unescaped(&text) } else { text })
}

/// Behind `printf`.
pub fn printf(args: &[String]) -> String {
    let args = if args.first().is_some_and(|arg| arg == "--") { &args[1..] } else { args };
    let Some((format, values)) = args.split_first() else { return String::new() };
    let mut values = values.iter();
    let mut text = String::new();
    loop {
        let before = values.len();
        let mut rest = format.chars();
        let mut piece = String::new();
        while let Some(c) = rest.next() {
            if c != '%' {
                piece.push(c);
                continue;
            }
            let kind = rest.find(|c| !"-+ #0123456789.*".contains(*c));
            match kind {
                Some('%') => piece.push('%'),
                Some('b') => piece.push_str(&unescaped(values.next().map_or("", String::as_str))),
                Some('(') => piece.push(SOME),
                _ => piece.push_str(values.next().map_or("", String::as_str)),
            }
        }
        append(&mut text, &unescaped(&piece));
        if values.len() == 0 || values.len() == before {
            return text;
        }
    }
}

/// What `mktemp` makes.
fn made(args: &[String]) -> String {
    let options = Options::read(args, "p", &["tmpdir", "suffix"]);
    let dir = options.value('p').or(options.long_value("tmpdir")).filter(|dir| !dir.is_empty());
    match (dir, options.operands().next()) {
        (None, Some(template)) if !options.has('t') => template.to_owned(),
        (Some(dir), _) => format!("{dir}/{SOME}"),
        (None, _) => format!("/tmp/tmp.{SOME}"),
    }
}

fn listed(args: &[String]) -> String {
    let names: Vec<String> = args
        .iter()
        .filter(|arg| !arg.starts_with('-'))
        .map(|arg| match emptied(arg) {
            Some(dir) => format!("{dir}/{SOME}"),
            None if arg.contains(crate::guard::text::is_glob) => arg.clone(),
            None => SOME.to_string(),
        })
        .collect();
    if names.is_empty() { format!("{SOME}\n") } else { names.join("\n") + "\n" }
}
