//! One command with its arguments: what it is, and who judges it.

use crate::guard::options::Options;
use crate::guard::text::{DECODED, FETCHED, UNKNOWN, is_glob, is_hole, is_unknown, may_be_word};
use crate::guard::walk::{Done, State, Value, Walk};
use crate::guard::wrap::unwrapped;
use crate::guard::{DENIED, Refusal, shells};

/// What a command's name may become when it is not known in full.
pub const DANGEROUS: [&str; 22] = [
    "rm", "dd", "sh", "bash", "dash", "zsh", "eval", "find", "chmod", "chown", "shred", "mv",
    "tee", "git", "truncate", "wipefs", "mkfs", "shutdown", "reboot", "xargs", "python3", "sudo",
];

impl Walk<'_> {
    /// What it prints.
    pub fn call(&mut self, words: &[String], state: &mut State) -> Done<String> {
        let Some(first) = words.first() else { return Ok(String::new()) };
        let name = first.rsplit('/').next().unwrap_or(first);
        let mut bare: Vec<&str> = words.iter().map(String::as_str).collect();
        bare[0] = name;
        if let Some(pattern) = self.rules.denied_command(&bare) {
            return Err(denied(&pattern, &words.join(" ")));
        }
        if self.rules.allowed_command(&bare) {
            return Ok(UNKNOWN.to_string());
        }
        if name.contains(FETCHED) {
            self.refuse("run-download", &words.join(" "))?;
        }
        if name.contains(DECODED) {
            self.refuse("run-encoded", &words.join(" "))?;
        }
        if name.contains(|c| is_hole(c) || is_glob(c)) {
            return self.call_of_unknown(name, words, state);
        }
        if let Some(body) = state.functions.get(first).cloned() {
            return self.call_function(first, &body, &words[1..], state);
        }
        if let Some(alias) = state.aliases.get(first).cloned() {
            state.aliases.remove(first);
            let script = shells::joined(&[&[alias][..], &shells::quoted(&words[1..])].concat());
            let output = self.run_text(&script, state)?;
            return Ok(output);
        }
        if let Some(rule) = self.rules.of_command(&bare) {
            self.refuse(&rule.name, &words.join(" "))?;
        }
        if let Some(rest) = unwrapped(name, &words[1..]) {
            let dir = words.windows(2).find(|pair| name == "env" && pair[0] == "-C");
            let dir = dir.map(|pair| pair[1].as_str());
            let long = words.iter().find_map(|word| word.strip_prefix("--chdir="));
            let Some(dir) = dir.or(long.filter(|_| name == "env" || name == "sudo")) else {
                return self.call(&rest, state);
            };
            let mut own = State { cwd: self.directory(dir, state), ..state.clone() };
            return self.call(&rest, &mut own);
        }
        self.judge_call(name, words, state)
    }

    fn judge_call(&mut self, name: &str, words: &[String], state: &mut State) -> Done<String> {
        let args = &words[1..];
        match name {
            "cd" | "pushd" | "popd" | "set" | "shift" | "unset" | "read" | "mapfile"
            | "readarray" | "printf" | "alias" | "hash" => {
                self.change(name, args, state);
            }
            "rm" | "rmdir" | "unlink" | "shred" | "rimraf" | "del" | "trash" | "mv" | "rsync"
            | "chmod" | "chown" | "chgrp" | "chattr" | "setfacl" => {
                self.judge_trees(name, args, state)?;
            }
            "dd" | "fdisk" | "sfdisk" | "cfdisk" | "gdisk" | "sgdisk" | "parted" | "wipefs"
            | "blkdiscard" | "mkswap" | "hdparm" | "cryptsetup" | "pvremove" | "vgremove"
            | "lvremove" | "pvcreate" | "zpool" | "mdadm" | "badblocks" => {
                self.judge_disk(name, args, state)?;
            }
            mkfs if mkfs.starts_with("mkfs") || mkfs == "mke2fs" => {
                self.judge_disk(name, args, state)?;
            }
            "git" => self.judge_git(args, state)?,
            "kill" => self.judge_kill(args)?,
            "pkill" | "killall" => self.judge_kill_by_name(name, args)?,
            "find" | "fd" | "fdfind" => self.judge_find(name, args, state)?,
            "xargs" | "parallel" => self.judge_xargs(name, args, state)?,
            _ => {}
        }
        if words[0].contains('/')
            && let Some(text) = state.files.get(&state.absolute(&words[0])).cloned()
        {
            // Written by this very command.
            let mut own = state.clone();
            own.arguments = Some(args.to_vec());
            return self.run_text(&text, &mut own);
        }
        self.judge_writer(name, args, state)?;
        self.judge_code(name, words, state)?;
        match self.run_shell(name, args, state)? {
            Some(output) => Ok(output),
            None => self.output(name, args, state),
        }
    }

    /// Each dangerous command that the name may stand for is tried.
    fn call_of_unknown(&mut self, name: &str, words: &[String], state: &mut State) -> Done<String> {
        self.nested(|walk| {
            if is_unknown(name) {
                // It may be anything: what stands beside it has to show what it is.
                let mut guess = words.to_vec();
                "rm".clone_into(&mut guess[0]);
                let options = Options::read(&words[1..], "", &[]);
                if options.has('r') || options.has('R') || options.has_long("recursive", 9) {
                    walk.call(&guess, &mut state.clone())?;
                }
            } else {
                for known in DANGEROUS.into_iter().filter(|known| may_be_word(name, known)) {
                    let mut guess = words.to_vec();
                    known.clone_into(&mut guess[0]);
                    walk.call(&guess, &mut state.clone())?;
                }
            }
            // `$SUDO rm …`
            if is_unknown(name) && words.len() > 1 {
                walk.call(&words[1..], &mut state.clone())?;
            }
            Ok(UNKNOWN.to_string())
        })
    }

    fn call_function(
        &mut self,
        name: &str,
        body: &crate::guard::shell::Command,
        args: &[String],
        state: &mut State,
    ) -> Done<String> {
        if self.calls.iter().any(|call| call == name) {
            return Ok(UNKNOWN.to_string());
        }
        self.calls.push(name.to_owned());
        let before = state.arguments.replace(args.to_vec());
        let done = self.nested(|walk| walk.command(body, state));
        state.arguments = before;
        self.calls.pop();
        done
    }

    /// What changes the shell itself.
    fn change(&mut self, name: &str, args: &[String], state: &mut State) {
        let operands: Vec<&String> =
            args.iter().filter(|arg| !arg.starts_with('-') || arg.as_str() == "-").collect();
        match name {
            "cd" | "pushd" => {
                let target = match operands.first().map(|arg| arg.as_str()) {
                    None => self.place.home.clone(),
                    Some("-") => state.last_cwd.clone(),
                    Some(target) => self.directory(target, state),
                };
                state.last_cwd = std::mem::replace(&mut state.cwd, target);
            }
            "popd" => state.cwd = state.last_cwd.clone(),
            "set" => {
                let options =
                    args.iter().take_while(|arg| arg.len() > 1 && arg.starts_with(['-', '+']));
                let at = args.iter().position(|arg| arg == "--" || arg == "-");
                let at = at.map_or_else(|| options.count(), |at| at + 1);
                if at < args.len() && args.first().is_some_and(|arg| arg != "-o" && arg != "+o") {
                    state.arguments = Some(args[at..].to_vec());
                }
            }
            "shift" => {
                if let Some(arguments) = &mut state.arguments {
                    let count = args.first().and_then(|arg| arg.parse().ok()).unwrap_or(1);
                    arguments.drain(..count.min(arguments.len()));
                }
            }
            "unset" => {
                for name in operands {
                    state.set(name, String::new());
                }
            }
            "read" => {
                let line = one_line(&state.stdin);
                for name in operands {
                    state.set(name, line.clone());
                }
            }
            "mapfile" | "readarray" => {
                let lines: Vec<String> = state.stdin.lines().map(str::to_owned).collect();
                if let Some(name) = operands.last() {
                    state.variables.insert((*name).clone(), Value::List(lines));
                }
            }
            "printf" if args.first().is_some_and(|arg| arg == "-v") && args.len() > 2 => {
                let text = crate::guard::feed::printf(&args[2..]);
                state.set(&args[1], text);
            }
            "hash" => {
                if let [flag, path, name] = args
                    && flag == "-p"
                {
                    state.aliases.insert(name.clone(), path.clone());
                }
            }
            "alias" => {
                for (name, text) in args.iter().filter_map(|arg| arg.split_once('=')) {
                    state.aliases.insert(name.to_owned(), text.to_owned());
                }
            }
            _ => {}
        }
    }

    fn judge_kill(&self, args: &[String]) -> Done<()> {
        // The first argument is a signal, if it begins with a hyphen; `-s NAME` takes two.
        let skipped = match args.first().map(String::as_str) {
            Some("-s" | "-n") => 2,
            Some(first) if first.starts_with('-') && first != "--" => 1,
            _ => 0,
        };
        let all = args.iter().skip(skipped).any(|arg| arg == "-1" || arg == "1");
        if all { self.refuse("kill-all", &format!("kill {}", args.join(" "))) } else { Ok(()) }
    }

    /// A pattern that is met by every process.
    fn judge_kill_by_name(&self, name: &str, args: &[String]) -> Done<()> {
        let is_all = |arg: &String| arg.chars().all(|c| ".*^$".contains(c));
        match args.iter().any(is_all) {
            true => self.refuse("kill-all", &format!("{name} {}", args.join(" "))),
            false => Ok(()),
        }
    }
}

/// The only line of a text; of several ones nobody knows which.
fn one_line(text: &str) -> String {
    let text = text.trim_end_matches('\n');
    if text.contains('\n') { UNKNOWN.to_string() } else { text.to_owned() }
}

pub fn denied(pattern: &str, part: &str) -> Box<Refusal> {
    Box::new(Refusal {
        rule: DENIED.to_owned(),
        why: format!("the operator forbids {pattern:?}"),
        instead: "leave it, or ask the operator".to_owned(),
        part: crate::guard::text::shown(part),
    })
}
