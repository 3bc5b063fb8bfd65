//! `find`, `fd`, `xargs` and `parallel`: commands that are run on what is found or read.

use crate::guard::delete::Tree;
use crate::guard::path::file_name;
use crate::guard::shells::{SHELLS, joined, quoted};
use crate::guard::text::{DECODED, FETCHED, PIPED, SOME, UNKNOWN};
use crate::guard::walk::{Done, State, Walk};
use crate::guard::wrap::unwrapped;

/// Words that a pipe passes on, looked at one by one.
const PASSED_MAX: usize = 200;
/// What narrows a search down.
const FILTERS: [&str; 20] = [
    "-name",
    "-iname",
    "-path",
    "-ipath",
    "-wholename",
    "-regex",
    "-iregex",
    "-mtime",
    "-mmin",
    "-atime",
    "-amin",
    "-ctime",
    "-cmin",
    "-newer",
    "-newermt",
    "-size",
    "-empty",
    "-inum",
    "-samefile",
    "-perm",
];
const EXEC: [&str; 4] = ["-exec", "-execdir", "-ok", "-okdir"];

/// What a `find` with these arguments finds.
pub fn found(args: &[String]) -> Vec<String> {
    let tests = args.iter().position(|arg| {
        (arg.starts_with('-') && !matches!(arg.as_str(), "-H" | "-L" | "-P"))
            || arg == "("
            || arg == "!"
    });
    let (roots, tests) = args.split_at(tests.unwrap_or(args.len()));
    let mut roots: Vec<&str> =
        roots.iter().map(String::as_str).filter(|root| !root.starts_with('-')).collect();
    if roots.is_empty() {
        roots.push(".");
    }
    let mut name = None;
    for (at, test) in tests.iter().enumerate().filter(|(_, test)| FILTERS.contains(&test.as_str()))
    {
        let is_inverse = at > 0 && ["!", "-not"].contains(&tests[at - 1].as_str());
        let value = tests.get(at + 1).map_or("", String::as_str);
        if !is_inverse && !value.chars().all(|c| c == '*' || c == '.') {
            // Only a whole name says what is found.
            let is_name = test == "-name" && !value.contains(['*', '?', '[']);
            name = Some(if is_name { value.to_owned() } else { SOME.to_string() });
        } else if !is_inverse && test == "-empty" {
            name = Some(SOME.to_string());
        }
    }
    roots
        .into_iter()
        .map(|root| match &name {
            Some(name) => format!("{root}/{name}"),
            None => format!("{root}/{}", crate::guard::text::STAR),
        })
        .collect()
}

impl Walk<'_> {
    pub fn judge_find(&mut self, name: &str, args: &[String], state: &mut State) -> Done<()> {
        if name != "find" {
            return self.judge_fd(args, state);
        }
        let found = found(args);
        if args.iter().any(|arg| arg == "-delete") {
            found.iter().try_for_each(|path| self.judge_tree(path, Tree::Delete, state))?;
        }
        let mut rest = args;
        while let Some(at) = rest.iter().position(|arg| EXEC.contains(&arg.as_str())) {
            rest = &rest[at + 1..];
            let end = rest.iter().position(|arg| arg == ";" || arg == "+").unwrap_or(rest.len());
            for path in &found {
                let command: Vec<String> =
                    rest[..end].iter().map(|arg| arg.replace("{}", path)).collect();
                self.nested(|walk| walk.call(&command, &mut state.clone()))?;
            }
            rest = &rest[end..];
        }
        for pair in
            args.windows(2).filter(|pair| pair[0].starts_with("-fprint") || pair[0] == "-fls")
        {
            self.judge_write(&pair[1], state)?;
        }
        Ok(())
    }

    /// `fd pattern [dir] -x command`
    fn judge_fd(&mut self, args: &[String], state: &State) -> Done<()> {
        let is_run = |arg: &String| ["-x", "-X", "--exec", "--exec-batch"].contains(&arg.as_str());
        let Some(at) = args.iter().position(is_run) else { return Ok(()) };
        let dir = args[..at].iter().filter(|arg| !arg.starts_with('-')).nth(1);
        let path = format!("{}/{SOME}", dir.map_or(".", String::as_str));
        let mut command: Vec<String> =
            args[at + 1..].iter().map(|arg| arg.replace("{}", &path)).collect();
        if !args[at + 1..].iter().any(|arg| arg.contains("{}")) {
            command.push(path);
        }
        self.nested(|walk| walk.call(&command, &mut state.clone())).map(|_| ())
    }

    pub fn judge_xargs(&mut self, name: &str, args: &[String], state: &State) -> Done<()> {
        const WITH_VALUE: [&str; 12] = [
            "-I",
            "-n",
            "-P",
            "-L",
            "-d",
            "-E",
            "-s",
            "-a",
            "-j",
            "--jobs",
            "--max-args",
            "--replace",
        ];
        let (mut at, mut place) = (0, None);
        while let Some(arg) = args.get(at).filter(|arg| arg.starts_with('-')) {
            if arg == "-I" {
                place = args.get(at + 1).cloned();
            } else if let Some(glued) = arg.strip_prefix("-I") {
                place = Some(glued.to_owned());
            } else if arg == "-i" || arg == "--replace" {
                place = Some("{}".to_owned());
            }
            at += if WITH_VALUE.contains(&arg.as_str()) { 2 } else { 1 };
        }
        let mut command = args.get(at..).unwrap_or_default().to_vec();
        let mut passed = passed(&state.stdin);
        if name == "parallel" {
            place = Some("{}".to_owned());
            if let Some(at) = command.iter().position(|arg| arg.starts_with(":::")) {
                passed = command.split_off(at)[1..].to_vec();
            }
            if !command.iter().any(|arg| arg.contains("{}")) {
                command.push("{}".to_owned());
            }
        }
        let runs = command.iter().any(|word| SHELLS.contains(&file_name(word)));
        let one_by_one = place.is_some();
        let groups: Vec<Vec<String>> = match one_by_one {
            true => passed.into_iter().map(|word| vec![word]).collect(),
            false => vec![passed],
        };
        for group in groups {
            let words = match &place {
                Some(place) => command.iter().map(|arg| arg.replace(place, &group[0])).collect(),
                None => [&command[..], &group].concat(),
            };
            let words = if runs { words } else { unknown_piped(words) };
            let text = joined(&quoted(&words));
            self.nested(|walk| {
                walk.call(&words, &mut state.clone())?;
                // `parallel` gives its words to a shell.
                if name == "parallel" { walk.try_text(&joined(&words), state) } else { Ok(()) }
            })?;
            self.judge_piped(&command, &group, &text)?;
        }
        Ok(())
    }

    /// Shells and `rm` that get nothing but what nobody knows.
    fn judge_piped(&self, command: &[String], group: &[String], text: &str) -> Done<()> {
        let mut command = command.to_vec();
        while let Some(name) = command.first().cloned()
            && let Some(rest) = unwrapped(&name, &command[1..])
        {
            command = rest;
        }
        let runs = command.len() > 1
            && ["sh", "bash", "zsh", "dash"].contains(&command[0].as_str())
            && command[1].ends_with('c')
            && command.len() == 2;
        let rule = match group.first().map(String::as_str) {
            Some(word) if word.contains(FETCHED) => "run-download",
            Some(word) if word.contains(DECODED) => "run-encoded",
            _ => return Ok(()),
        };
        if runs { self.refuse(rule, text) } else { Ok(()) }
    }
}

/// To what is no shell, the words of a changed text are as unknown as any.
fn unknown_piped(words: Vec<String>) -> Vec<String> {
    let taint = [FETCHED, DECODED];
    words.into_iter().map(|word| word.replace(taint, &PIPED.to_string())).collect()
}

/// The words of an input.
fn passed(stdin: &str) -> Vec<String> {
    let words: Vec<String> = stdin
        .split([' ', '\t', '\n', '\0'])
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    if words.len() > PASSED_MAX || words.is_empty() {
        return vec![PIPED.to_string()];
    }
    let piped = |word: String| if word.contains(UNKNOWN) { PIPED.to_string() } else { word };
    words.into_iter().map(piped).collect()
}
