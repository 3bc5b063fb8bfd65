//! Commands that run a text: shells, `eval`, `source`, `ssh`, `trap`, tmux and their like.

use crate::guard::code::{code_of, is_interpreter};
use crate::guard::path::nowhere;
use crate::guard::shell::parse::parse;
use crate::guard::text::{DECODED, FETCHED, UNKNOWN, has_hole};
use crate::guard::walk::{Done, State, Walk};
use crate::guard::{UNREADABLE, unreadable};

pub const SHELLS: [&str; 11] =
    ["sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "fish", "rbash", "csh", "tcsh"];
/// Commands of which any argument may be one for a shell.
const RUN_ARGUMENTS: [&str; 8] =
    ["tmux", "screen", "hyperfine", "concurrently", "entr", "script", "expect", "npx"];

/// As one line for a shell.
pub fn joined(words: &[String]) -> String {
    words.join(" ")
}

/// So that a shell reads each word back as it is.
pub fn quoted(words: &[String]) -> Vec<String> {
    words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect()
}

impl Walk<'_> {
    /// What a text prints that this command gives to a shell; `None` when it gives none.
    pub fn run_shell(
        &mut self,
        name: &str,
        args: &[String],
        state: &mut State,
    ) -> Done<Option<String>> {
        let output = match name {
            "eval" => self.run_text(&joined(args), state)?,
            "source" | "." => {
                let Some(file) = args.first() else { return Ok(None) };
                let text = self.content(file, state);
                self.run_text(&text, state)?
            }
            "su" | "runuser" => {
                let at = args.iter().position(|arg| arg == "-c" || arg == "--command");
                match at.and_then(|at| args.get(at + 1)) {
                    Some(text) => self.run_text(text, &mut state.clone())?,
                    None => self.run_input(state)?,
                }
            }
            "ssh" => self.run_remote(args, state)?,
            "watch" => {
                let text: Vec<String> =
                    args.iter().skip_while(|arg| arg.starts_with('-')).cloned().collect();
                self.run_text(&joined(&text), &mut state.clone())?
            }
            "trap" => match args.iter().find(|arg| !arg.starts_with('-') && !arg.is_empty()) {
                Some(text) => self.run_text(text, &mut state.clone())?,
                None => String::new(),
            },
            "rsync" | "tar" | "vim" | "vi" | "nvim" | "ex" | "sed" => {
                self.run_options(name, args, state)?;
                return Ok(None);
            }
            name if SHELLS.contains(&name) => self.run_script(args, state)?,
            name if RUN_ARGUMENTS.contains(&name) => {
                for arg in args.iter().filter(|arg| !arg.starts_with('-')) {
                    self.try_text(arg, state)?;
                }
                self.try_text(&joined(args), state)?;
                return Ok(None);
            }
            name if is_interpreter(name) => {
                self.run_code_input(name, args, state)?;
                return Ok(None);
            }
            _ => return Ok(None),
        };
        Ok(Some(output))
    }

    /// `bash [options] [-c text | file] [arguments]`
    fn run_script(&mut self, args: &[String], state: &mut State) -> Done<String> {
        let (mut at, mut is_text, mut reads) = (0, false, false);
        while let Some(arg) =
            args.get(at).filter(|arg| arg.starts_with(['-', '+']) && arg.len() > 1)
        {
            at += 1;
            match arg.as_str() {
                "--" => break,
                "--rcfile" | "--init-file" | "-o" | "+o" | "-O" | "+O" => at += 1,
                long if long.starts_with("--") => {}
                short => {
                    is_text |= short.starts_with('-') && short.contains('c');
                    reads |= short.contains('s');
                    // `-euo pipefail`
                    at += usize::from(short.ends_with(['o', 'O']));
                }
            }
        }
        let rest = args.get(at..).unwrap_or_default();
        let mut own = state.clone();
        match rest.split_first() {
            Some((text, arguments)) if is_text => {
                if let Some(name) = arguments.first() {
                    own.set("0", name.clone());
                }
                own.arguments = Some(arguments.get(1..).unwrap_or_default().to_vec());
                self.run_text(text, &mut own)
            }
            Some((file, arguments)) if !reads => {
                own.arguments = Some(arguments.to_vec());
                let text = self.content(file, state);
                self.run_text(&text, &mut own)
            }
            _ => self.run_input(&mut own),
        }
    }

    fn run_input(&mut self, state: &mut State) -> Done<String> {
        let text = state.stdin.clone();
        self.run_text(&text, state)
    }

    /// Options of other programs that are commands.
    fn run_options(&mut self, name: &str, args: &[String], state: &State) -> Done<()> {
        const GLUED: [&str; 7] = [
            "--checkpoint-action=exec=",
            "--to-command=",
            "--use-compress-program=",
            "--rsh=",
            "ProxyCommand=",
            "LocalCommand=",
            "+!",
        ];
        let takes_command = |option: &str| match name {
            "rsync" => option == "-e",
            "tar" => option == "-I" || option == "--to-command",
            _ => false,
        };
        for (at, arg) in args.iter().enumerate() {
            let next = args.get(at + 1).map(String::as_str).filter(|_| takes_command(arg));
            let glued = GLUED.iter().find_map(|option| arg.strip_prefix(option));
            let of_editor = arg.trim_start_matches(':').strip_prefix('!');
            // `1e command`
            let of_sed = arg.trim_start_matches(|c: char| c.is_ascii_digit() || "$,".contains(c));
            let of_sed = of_sed.strip_prefix("e ").filter(|_| name == "sed");
            for text in [next, glued, of_editor, of_sed].into_iter().flatten() {
                self.try_text(text, state)?;
            }
        }
        Ok(())
    }

    fn run_remote(&mut self, args: &[String], state: &mut State) -> Done<String> {
        self.run_options("ssh", args, state)?;
        const WITH_VALUE: &str = "bcDEeFIiJLlmOopQRSWw";
        let mut at = 0;
        while let Some(arg) = args.get(at).filter(|arg| arg.starts_with('-')) {
            let takes = arg.len() == 2 && WITH_VALUE.contains(&arg[1..]);
            at += if takes { 2 } else { 1 };
        }
        let text = joined(args.get(at + 1..).unwrap_or_default());
        let mut own = State { cwd: nowhere(), is_remote: true, ..state.clone() };
        match text.is_empty() {
            true => self.run_input(&mut own),
            false => self.run_text(&text, &mut own),
        }
    }

    /// In the shell that is there.
    pub fn run_text(&mut self, text: &str, state: &mut State) -> Done<String> {
        self.charge(1, text.len())?;
        let script = match parse(text) {
            Ok(script) => script,
            Err(_) if has_hole(text) => return Ok(UNKNOWN.to_string()),
            Err(why) => return Err(unreadable(&format!("of the text {text:.60?}: {why}"))),
        };
        self.nested(|walk| walk.script(&script, state))
    }

    /// A text that may be a command, or may not: only if it is a destructive one, that counts.
    pub fn try_text(&mut self, text: &str, state: &State) -> Done<()> {
        match self.run_text(text, &mut state.clone()) {
            Err(refusal) if refusal.rule != UNREADABLE => Err(refusal),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// What an interpreter would run that gets no code by its arguments.
    fn run_code_input(&mut self, name: &str, args: &[String], state: &State) -> Done<()> {
        if code_of(name, args).is_some() {
            return Ok(());
        }
        let mut operands = args.iter().filter(|arg| !arg.starts_with('-') || arg.as_str() == "-");
        let is_module = args.iter().any(|arg| arg == "-m" || arg == "--version" || arg == "-V");
        let text = match operands.next() {
            Some(file) if file != "-" => self.content(file, state),
            _ if is_module => return Ok(()),
            _ => state.stdin.clone(),
        };
        let part = format!("{name} {}", args.join(" "));
        if text.contains(FETCHED) {
            self.refuse("run-download", &part)?;
        }
        if text.contains(DECODED) {
            self.refuse("run-encoded", &part)?;
        }
        self.judge_program(name, &text, state)
    }
}
