//! git: what destroys work of others, or work that is nowhere else.

use crate::guard::delete::Tree;
use crate::guard::options::Options;
use crate::guard::path::is_exact;
use crate::guard::walk::{Done, State, Walk};

impl Walk<'_> {
    pub fn judge_git(&mut self, args: &[String], state: &mut State) -> Done<()> {
        let mut dir = state.cwd.clone();
        let mut rest = args.iter();
        let verb = loop {
            let Some(arg) = rest.next() else { return Ok(()) };
            match arg.as_str() {
                "-C" | "--work-tree" => {
                    let target = rest.next().cloned().unwrap_or_default();
                    dir = State { cwd: dir, ..state.clone() }.absolute(&target);
                }
                "-c" => self.judge_setting(rest.next().map_or("", String::as_str), state)?,
                "--git-dir" | "--namespace" | "--exec-path" => drop(rest.next()),
                arg if arg.starts_with("--work-tree=") => {
                    dir = state.absolute(arg.trim_start_matches("--work-tree="));
                }
                arg if arg.starts_with('-') => {}
                verb => break verb,
            }
        };
        let args: Vec<String> = rest.cloned().collect();
        let part = format!("git {verb} {}", args.join(" "));
        match verb {
            "push" => self.judge_push(&args, &part),
            "reset" => {
                let is_hard = args.iter().any(|arg| arg == "--hard" || arg == "--har");
                match is_hard && self.is_on_main(&dir, state) {
                    true => self.refuse("hard-reset", &part),
                    false => Ok(()),
                }
            }
            "checkout" | "switch" => self.judge_checkout(&args, &part, state),
            "branch" => {
                let options = Options::read(&args, "u", &["set-upstream-to"]);
                let deletes = ['d', 'D', 'f'].into_iter().any(|letter| options.has(letter))
                    || options.has_long("delete", 3)
                    || options.has_long("force", 3);
                let subjects = if options.has('f') { 1 } else { usize::MAX };
                let is_main =
                    options.operands().take(subjects).any(|name| self.rules.is_main(name));
                if deletes && is_main { self.refuse("delete-main-branch", &part) } else { Ok(()) }
            }
            "update-ref" => {
                let named = args.iter().find(|arg| arg.starts_with("refs/heads/"));
                match named.is_some_and(|name| self.rules.is_main(name)) {
                    true => self.refuse("delete-main-branch", &part),
                    false => Ok(()),
                }
            }
            "clean" => self.judge_clean(&args, &dir, state),
            "reflog" if args.iter().any(|arg| arg == "expire" || arg == "delete") => {
                self.refuse("rewrite-history", &part)
            }
            "gc" | "prune"
                if args.iter().any(|arg| arg == "--prune=now" || arg == "--prune=all") =>
            {
                self.refuse("rewrite-history", &part)
            }
            "stash" if args.first().is_some_and(|arg| arg == "clear") => {
                self.refuse("rewrite-history", &part)
            }
            "submodule" | "rebase" | "bisect" | "filter-branch" | "config" => {
                self.judge_inner(verb, &args, state)
            }
            _ => Ok(()),
        }
    }

    fn judge_push(&self, args: &[String], part: &str) -> Done<()> {
        let options = Options::read(args, "o", &["push-option", "repo", "receive-pack", "exec"]);
        let refs: Vec<&str> = options.operands().skip(1).collect();
        let is_forced = options.has('f')
            || options.has_long("force", 5)
            || options.has_long("mirror", 3)
            || refs.iter().any(|name| name.starts_with('+'));
        if is_forced {
            self.refuse("force-push", part)?;
        }
        let deletes = options.has('d') || options.has_long("delete", 3);
        let goes = |name: &&str| match name.strip_prefix(':') {
            Some(name) => self.rules.is_main(name),
            None => deletes && self.rules.is_main(name),
        };
        if refs.iter().any(goes) { self.refuse("delete-main-branch", part) } else { Ok(()) }
    }

    fn judge_checkout(&self, args: &[String], part: &str, state: &mut State) -> Done<()> {
        let options = Options::read(args, "bBcC", &["create", "force-create", "orphan"]);
        let replaced =
            options.value('B').or(options.value('C')).or(options.long_value("force-create"));
        if replaced.is_some_and(|name| self.rules.is_main(name)) {
            self.refuse("delete-main-branch", part)?;
        }
        let named = ['b', 'B', 'c', 'C'].into_iter().find_map(|letter| options.value(letter));
        let is_files = args.iter().any(|arg| arg == "--" || arg == ".");
        let named = named.or(options.operands().next().filter(|_| !is_files));
        if let Some(name) = named {
            state.branch = Some(name.to_owned());
        }
        Ok(())
    }

    fn is_on_main(&self, dir: &str, state: &State) -> bool {
        if state.is_remote || self.is_in_scratch(dir) {
            return false;
        }
        let on_disk = || is_exact(dir).then(|| self.world.branch(dir)).flatten();
        let branch = state.branch.clone().or_else(on_disk);
        branch.is_some_and(|branch| self.rules.is_main(&branch))
    }

    fn judge_clean(&self, args: &[String], dir: &str, state: &State) -> Done<()> {
        let options = Options::read(args, "e", &["exclude"]);
        if options.has('n') || options.has_long("dry-run", 3) {
            return Ok(());
        }
        let state = State { cwd: dir.to_owned(), ..state.clone() };
        if options.operands.is_empty() {
            return self.judge_tree(dir, Tree::Clean, &state);
        }
        options.operands().try_for_each(|path| self.judge_tree(path, Tree::Clean, &state))
    }

    /// `-c alias.name=value`
    fn judge_setting(&mut self, setting: &str, state: &State) -> Done<()> {
        match setting.split_once('=').filter(|(key, _)| key.starts_with("alias.")) {
            Some((_, value)) => self.judge_alias(value, state),
            None => Ok(()),
        }
    }

    fn judge_alias(&mut self, value: &str, state: &State) -> Done<()> {
        match value.strip_prefix('!') {
            Some(command) => self.try_text(command, state),
            None => self.try_text(&format!("git {value}"), state),
        }
    }

    /// Verbs whose arguments are commands.
    fn judge_inner(&mut self, verb: &str, args: &[String], state: &State) -> Done<()> {
        match verb {
            "submodule" => {
                let Some(at) = args.iter().position(|arg| arg == "foreach") else { return Ok(()) };
                let rest: Vec<&str> = args[at + 1..]
                    .iter()
                    .map(String::as_str)
                    .filter(|arg| *arg != "--recursive")
                    .collect();
                self.try_text(&rest.join(" "), state)
            }
            "bisect" if args.first().is_some_and(|arg| arg == "run") => {
                self.call(&args[1..], &mut state.clone()).map(|_| ())
            }
            "config" if args.iter().any(|arg| arg.starts_with("alias.")) => {
                self.judge_alias(args.last().map_or("", String::as_str), state)
            }
            "rebase" | "filter-branch" => {
                let texts = args.iter().filter(|arg| arg.contains(' '));
                let texts: Vec<String> = texts.cloned().collect();
                texts
                    .iter()
                    .try_for_each(|text| self.try_text(text.trim_start_matches("--exec="), state))
            }
            _ => Ok(()),
        }
    }
}
