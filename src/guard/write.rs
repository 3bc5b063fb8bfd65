//! Single files: which may be written to, and which commands write.

use crate::guard::call::denied;
use crate::guard::options::Options;
use crate::guard::path::{file_name, is_at_or_below, is_below, readings};
use crate::guard::rules::{any_below, any_path};
use crate::guard::text::UNKNOWN;
use crate::guard::walk::{Done, State, Walk};

impl Walk<'_> {
    /// `word` as it stands in the command.
    pub fn judge_write(&self, word: &str, state: &State) -> Done<()> {
        let home = &self.place.home;
        self.charge(1, 0)?;
        for reading in readings(word, &state.cwd, home) {
            for path in self.ways(&reading.path, true, state) {
                if let Some(pattern) = self.rules.denied_path(&path, home) {
                    return Err(denied(pattern, word));
                }
                if let Some(rule) = self.file_rule(&path, reading.is_guess) {
                    self.refuse(rule, word)?;
                }
            }
        }
        Ok(())
    }

    fn file_rule(&self, path: &str, is_guess: bool) -> Option<&'static str> {
        let home = &self.place.home;
        if self.rules.allowed_path(path, home) || self.is_open(path) {
            return None;
        }
        if self.is_closed(path) {
            return Some("agent-settings");
        }
        let in_work = self.place.work.as_deref().is_some_and(|work| is_below(path, work));
        let in_scratch = self.is_in_scratch(path);
        // What lies there is nobody's settings, unless somebody works or lives there.
        let is_free = in_scratch && !in_work && !is_at_or_below(path, home);
        if let Some(rule) = self.protecting(path).filter(|_| !is_free) {
            return Some(rule);
        }
        if is_guess || in_work || in_scratch {
            return None;
        }
        if any_path(&self.rules.writable, path, home) {
            return None;
        }
        let in_system = any_below(&self.rules.system, &["*", "**"], path, home);
        let of_device = if is_below(path, "/dev") { "block-device" } else { "write-system" };
        in_system.then_some(of_device)
    }

    fn is_open(&self, path: &str) -> bool {
        any_below(&self.place.open, &["*", "**"], path, &self.place.home)
    }

    /// Whether it lies in a directory that is closed to agents, and not where they may write to.
    pub fn is_closed(&self, path: &str) -> bool {
        let home = &self.place.home;
        let mut closed = self.place.closed.iter();
        closed.find(|dir| is_at_or_below(path, dir)).is_some_and(|dir| {
            let own = [format!("{dir}/plans/**"), format!("{dir}/projects/*/memory/**")];
            !any_path(&own, path, home) && !self.is_open(path)
        })
    }

    /// The rule that protects this file, by its name.
    pub fn protecting(&self, path: &str) -> Option<&'static str> {
        let home = &self.place.home;
        let rule = self.rules.of_path(path, home)?;
        FILE_RULES.into_iter().find(|name| *name == rule.name)
    }

    pub fn judge_writer(&self, name: &str, args: &[String], state: &mut State) -> Done<()> {
        let write = |file: &str| self.judge_write(file, state);
        match name {
            "tee" | "sponge" | "touch" | "mkfifo" | "patch" => {
                Options::read(args, "rdt", &[]).operands().try_for_each(write)?;
            }
            "truncate" => Options::read(args, "sr", &[]).operands().try_for_each(write)?,
            "cp" | "mv" | "install" | "scp" | "rsync" | "ln" => {
                let options =
                    Options::read(args, "tSmogeTB", &["target-directory", "mode", "exclude"]);
                self.judge_copy(&options, state)?;
            }
            "sed" | "perl" => {
                let edits = args.iter().any(|arg| {
                    arg.starts_with("--in-place")
                        || (arg.starts_with('-') && !arg.starts_with("--") && arg.contains('i'))
                });
                let options = Options::read(args, "eflE", &["expression", "file"]);
                let has_script =
                    ['e', 'f', 'E'].into_iter().any(|letter| options.value(letter).is_some())
                        || options.long_value("expression").is_some()
                        || options.long_value("file").is_some();
                if edits {
                    let skipped = usize::from(!has_script);
                    options.operands().skip(skipped).try_for_each(write)?;
                }
            }
            "curl" | "wget" | "aria2c" | "xh" => {
                let options = Options::read(
                    args,
                    "oOPXHdFuAbTmeKrxYyzCDE",
                    &["output", "output-document", "output-dir", "header", "data", "request"],
                );
                let is_wget = name == "wget";
                let files = [
                    options.value(if is_wget { 'O' } else { 'o' }),
                    options.long_value("output"),
                    options.long_value("output-document"),
                    options.value('P'),
                ];
                for file in files.into_iter().flatten().filter(|file| *file != "-") {
                    write(file)?;
                }
            }
            "tar" | "unzip" | "bsdtar" | "7z" => {
                let options = Options::read(args, "CdfbTXI", &["directory", "file"]);
                let extracts = name == "unzip"
                    || args.first().is_some_and(|arg| arg.contains('x'))
                    || options.has('x')
                    || options.has_long("extract", 2)
                    || options.has_long("get", 3);
                let target =
                    options.value('C').or(options.value('d')).or(options.long_value("directory"));
                if let Some(dir) = target.filter(|_| extracts) {
                    if self.is_root(&state.absolute(dir)) {
                        self.refuse("write-system", dir)?;
                    }
                    write(&format!("{dir}/{}", crate::guard::text::SOME))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The last operand is written to, as a file or as a directory.
    fn judge_copy(&self, options: &Options, state: &State) -> Done<()> {
        let given = options.value('t').or(options.long_value("target-directory"));
        let (target, sources) = match (given, options.operands.split_last()) {
            (Some(target), _) => (target, options.operands.as_slice()),
            (None, Some((target, sources))) => (target.as_str(), sources),
            (None, None) => return Ok(()),
        };
        self.judge_write(target, state)?;
        for source in sources {
            let name = file_name(source);
            if !name.starts_with('.') || name.len() > 2 {
                self.judge_write(&format!("{target}/{name}"), state)?;
            }
        }
        Ok(())
    }

    /// What is in a file, as far as this command has written it.
    pub fn content(&self, word: &str, state: &State) -> String {
        if ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].contains(&word) {
            return state.stdin.clone();
        }
        state.files.get(&state.absolute(word)).cloned().unwrap_or_else(|| UNKNOWN.to_string())
    }
}

/// The rules with paths, for which the program asks by name.
pub const FILE_RULES: [&str; 5] = ["agent-settings", "shell-startup", "logins", "units", "traces"];
