//! Whole trees: what may be deleted, moved away or given other permissions.

use crate::guard::call::denied;
use crate::guard::options::Options;
use crate::guard::path::{
    Reading, emptied, file_name, is_at_or_below, is_below, is_exact, normal, nowhere, readings,
};
use crate::guard::rules::{any_below, any_path};
use crate::guard::text::{PIPED, has_hole, is_hole};
use crate::guard::walk::{Done, State, Walk};

/// What is done to a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tree {
    Delete,
    Move,
    /// Of what is not in the repository: `git clean`.
    Clean,
    Permissions,
}

/// Files in a repository without which it is none.
const OF_GIT: [&str; 4] = ["objects", "refs", "HEAD", "packed-refs"];

impl Walk<'_> {
    pub fn judge_trees(&mut self, name: &str, args: &[String], state: &State) -> Done<()> {
        match name {
            "rm" | "rimraf" | "del" | "trash" => self.judge_rm(name, args, state),
            "mv" => {
                let options = Options::read(args, "tS", &["target-directory", "suffix"]);
                let has_target =
                    options.has('t') || options.long_value("target-directory").is_some();
                let count = options.operands.len().saturating_sub(usize::from(!has_target));
                options
                    .operands()
                    .take(count)
                    .try_for_each(|source| self.judge_tree(source, Tree::Move, state))
            }
            "rsync" => {
                let options = Options::read(args, "efBT", &["exclude", "include", "rsh", "filter"]);
                let target = options.operands().last();
                match target.filter(|target| options.begins_long("del") && !target.contains(':')) {
                    Some(target) => self.judge_tree(&format!("{target}/"), Tree::Delete, state),
                    None => Ok(()),
                }
            }
            "chmod" | "chown" | "chgrp" | "chattr" | "setfacl" => {
                self.judge_permissions(name, args, state)
            }
            _ => Options::read(args, "ns", &[])
                .operands()
                .try_for_each(|file| self.judge_write(file, state)),
        }
    }

    fn judge_rm(&mut self, name: &str, args: &[String], state: &State) -> Done<()> {
        let options = Options::read(args, "", &[]);
        let is_recursive = name != "rm"
            || options.has('r')
            || options.has('R')
            || options.has_long("recursive", 1);
        let is_piped = |operand: &str| operand.contains(PIPED);
        for operand in options.operands() {
            if is_recursive {
                if is_piped(operand) {
                    self.refuse("delete-unknown", &format!("{name} {}", args.join(" ")))?;
                }
                self.judge_tree(operand, Tree::Delete, state)?;
                continue;
            }
            self.judge_write(operand, state)?;
            for reading in readings(operand, &state.cwd, &self.place.home) {
                // What the unknown words are, `-rf` or nothing, nobody can say.
                let may_recur = options.is_open && !has_hole(operand);
                let all = emptied(&reading.path);
                if may_recur || all.is_some() {
                    let path = all.unwrap_or(&reading.path);
                    if self.is_root(path) {
                        self.refuse("delete-root", operand)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn judge_permissions(&mut self, name: &str, args: &[String], state: &State) -> Done<()> {
        let is_mode = |arg: &&String| {
            let mut chars = arg.chars();
            name != "setfacl"
                && matches!(chars.next(), Some('-' | '+' | '='))
                && arg.len() > 1
                && chars.all(|c| "rwxXstugoaAceijmSTu".contains(c))
                && !matches!(arg.as_str(), "-R" | "-c" | "-Rc" | "-cR")
        };
        let gives_mode = args.iter().any(|arg| is_mode(&arg));
        let rest: Vec<String> = args.iter().filter(|arg| !is_mode(arg)).cloned().collect();
        let letters = if name == "setfacl" { "mxMX" } else { "" };
        let options = Options::read(&rest, letters, &["reference", "from", "modify", "remove"]);
        let by_reference = options.long_value("reference").is_some();
        let skipped = usize::from(!(gives_mode || by_reference || name == "setfacl"));
        let is_recursive = options.has('R') || options.has_long("recursive", 1);
        for operand in options.operands().skip(skipped) {
            match is_recursive {
                true => self.judge_tree(operand, Tree::Permissions, state)?,
                false => {
                    let all = state.absolute(operand);
                    if emptied(&all).is_some_and(|dir| self.is_root(dir)) {
                        self.refuse("permissions-of-root", operand)?;
                    }
                    self.judge_write(operand, state)?;
                }
            }
        }
        Ok(())
    }

    /// `word` as it stands in the command.
    pub fn judge_tree(&self, word: &str, tree: Tree, state: &State) -> Done<()> {
        if word.is_empty() {
            return Ok(());
        }
        self.charge(1, 0)?;
        let goes_in = word.ends_with('/');
        for reading in readings(word, &state.cwd, &self.place.home) {
            for path in self.ways(&reading.path, goes_in, state) {
                self.judge_path(word, &Reading { path, ..reading }, tree, state)?;
            }
        }
        Ok(())
    }

    fn judge_path(&self, word: &str, reading: &Reading, tree: Tree, state: &State) -> Done<()> {
        let home = &self.place.home;
        let path = emptied(&reading.path).unwrap_or(&reading.path);
        if let Some(pattern) = self.rules.denied_path(path, home) {
            return Err(denied(pattern, word));
        }
        if self.rules.allowed_path(path, home) {
            return Ok(());
        }
        if reading.is_guess || state.is_remote {
            let rule = match (reading.is_guess, tree) {
                (_, Tree::Permissions) => "permissions-of-root",
                (true, _) => "delete-unknown",
                (false, _) => "delete-root",
            };
            return if self.is_root(path) { self.refuse(rule, word) } else { Ok(()) };
        }
        let is_all = path != reading.path;
        match self.tree_rule(path, is_all, tree) {
            Some(rule) => self.refuse(rule, word),
            None => Ok(()),
        }
    }

    fn tree_rule(&self, path: &str, is_all: bool, tree: Tree) -> Option<&'static str> {
        let work = self.place.work.as_deref();
        let mut closed = self.place.closed.iter();
        if self.is_closed(path) || closed.any(|dir| is_below(dir, path) && self.is_in_scratch(path))
        {
            return Some("agent-settings");
        }
        // A home may lie there, too: that of a container, or of a test.
        if self.is_in_scratch(path) && !any_path(&self.rules.roots, path, &self.place.home) {
            return None;
        }
        if tree != Tree::Permissions && tree != Tree::Clean {
            let last = file_name(path);
            let inside_git = path.rsplit('/').nth(1) == Some(".git");
            if last == ".git" || (inside_git && OF_GIT.contains(&last)) {
                return Some("delete-git");
            }
        }
        let of_root = match tree {
            Tree::Permissions => "permissions-of-root",
            Tree::Delete | Tree::Move | Tree::Clean => "delete-root",
        };
        if work.is_some_and(|work| is_below(path, work)) {
            let settings = format!("{path}/settings.json");
            let is_protected = self.protecting(path).is_some()
                || (file_name(path) == ".claude" && self.protecting(&settings).is_some());
            return (is_protected && tree != Tree::Clean).then_some("agent-settings");
        }
        if work == Some(path) && !self.is_root(path) {
            let is_harmless = match tree {
                Tree::Permissions | Tree::Clean => true,
                Tree::Move => is_all,
                Tree::Delete => false,
            };
            return (!is_harmless).then_some("delete-work");
        }
        if self.is_root(path) {
            return Some(of_root);
        }
        if any_path(&self.rules.scratch, path, &self.place.home) {
            return Some(if tree == Tree::Permissions { of_root } else { "delete-scratch" });
        }
        if work.is_some_and(|work| is_below(work, path)) {
            return Some(if tree == Tree::Permissions { of_root } else { "delete-work" });
        }
        if let Some(rule) = self.protecting(path) {
            return Some(rule);
        }
        match tree {
            Tree::Move => None,
            Tree::Permissions => Some(of_root),
            Tree::Delete | Tree::Clean => Some("delete-outside"),
        }
    }

    /// The root of the disk, a system's tree or a part of it, somebody's home.
    pub fn is_root(&self, path: &str) -> bool {
        let home = &self.place.home;
        let in_system = || {
            any_below(&self.rules.system, &["**"], path, home)
                && !any_path(&self.rules.writable, path, home)
                && !any_path(&self.rules.scratch, path, home)
                && !self.is_in_scratch(path)
        };
        let in_work = self.place.work.as_deref().is_some_and(|work| is_below(path, work));
        path == "/" || any_path(&self.rules.roots, path, home) || (!in_work && in_system())
    }

    /// Below a directory for temporary files.
    pub fn is_in_scratch(&self, path: &str) -> bool {
        any_below(&self.rules.scratch, &["*", "**"], path, &self.place.home)
    }

    /// `path`, and what it is when links are followed.
    pub fn ways(&self, path: &str, goes_in: bool, state: &State) -> Vec<String> {
        let mut ways = vec![path.to_owned()];
        // `rm link` takes the link away, `rm link/` what it leads to.
        let all = emptied(path);
        let (dir, rest) = match all {
            Some(dir) => (dir, &path[dir.len()..]),
            None if goes_in => (path, ""),
            None => match path.rsplit_once('/') {
                Some((dir, _)) => (dir, &path[dir.len()..]),
                None => (path, ""),
            },
        };
        for (link, target) in &state.links {
            if is_at_or_below(dir, link) {
                ways.push(normal(&format!("{target}{}{rest}", &dir[link.len()..])));
            }
        }
        if is_exact(dir) && !state.is_remote && !dir.is_empty() {
            let real = normal(&format!("{}/{rest}", self.world.real(dir)));
            if !ways.contains(&real) {
                ways.push(real);
            }
        }
        ways
    }

    /// Where `cd word` leads.
    pub fn directory(&self, word: &str, state: &State) -> String {
        let path = state.absolute(word);
        match path.starts_with('/') {
            true => {
                let known = state.links.iter().find(|(link, _)| is_at_or_below(&path, link));
                known.map_or(path.clone(), |(link, target)| {
                    format!("{target}{}", &path[link.len()..])
                })
            }
            false => nowhere(),
        }
    }
}

impl State {
    /// `word` as a path; relative when nobody knows to what.
    pub fn absolute(&self, word: &str) -> String {
        if word.starts_with('/') {
            return normal(word);
        }
        if word.starts_with(|c| is_hole(c) && c != crate::guard::text::SOME) {
            return word.to_owned();
        }
        match self.cwd.starts_with('/') {
            true => normal(&format!("{}/{word}", self.cwd)),
            false => format!("{}/{word}", self.cwd),
        }
    }
}
