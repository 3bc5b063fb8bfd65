//! `claude-failover guard`: whether a command of an agent is destructive.
//!
//! As a hook of the client (`PreToolUse`) it reads the tool call on stdin. Exit code 2 refuses the
//! call, in every permission mode, and gives the agent what stands on stderr. Whatever goes wrong
//! here refuses, too. By hand, `--explain` says what it would make of a command.

use std::env;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;

use crate::cli::exit;
use crate::cli::say;
use crate::files;
use crate::guard::rules::{FILE_BYTES_MAX, Rules};
use crate::guard::tool::Call;
use crate::guard::{Place, World, judge};

/// Of the client's JSON: a file that is written is in it whole.
const INPUT_BYTES_MAX: u64 = 16 << 20;
/// Of `.git/HEAD` and of a `.git` that is a file.
const GIT_FILE_BYTES_MAX: usize = 4 << 10;
/// Directories above one in which a repository is looked for.
const PARENTS_MAX: usize = 64;
/// A decision takes milliseconds; the client waits for a minute, and then lets the tool run.
const DECIDE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Say what it would make of this command; exit code 1 when it would be refused
    #[arg(long, value_name = "COMMAND")]
    explain: Option<String>,
    /// Your own rules: what `agent.guard_rules` names
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// The directory that the agent works in [default: that of the call, or this one]
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Directories that agents must not write to (used by the daemon)
    #[arg(long, value_name = "DIR", hide = true)]
    closed: Vec<PathBuf>,
    /// Directories inside those that they write to (used by the daemon)
    #[arg(long, value_name = "DIR", hide = true)]
    open: Vec<PathBuf>,
}

pub fn run(args: &Args) -> u8 {
    let rules = read_rules(args.rules.as_deref());
    match &args.explain {
        Some(command) => explain(command, args, rules),
        None => hook(args, rules),
    }
}

fn explain(command: &str, args: &Args, rules: Result<Rules, String>) -> u8 {
    let rules = match rules {
        Ok(rules) => rules,
        Err(why) => {
            say::error(why);
            return exit::CONFIG;
        }
    };
    let cwd = match env::current_dir() {
        Ok(cwd) => cwd.display().to_string(),
        Err(error) => {
            say::error(format_args!("finding the current directory: {error}"));
            return exit::FAILED;
        }
    };
    let (text, code) = match judge(command, &rules, &place(args, &cwd), &Disk) {
        Ok(()) => ("allowed: no rule names it".to_owned(), exit::OK),
        Err(refusal) => (refusal.to_string(), exit::FAILED),
    };
    // Nobody reads on: the exit code is still worth something.
    let _ = writeln!(io::stdout(), "{text}");
    code
}

fn hook(args: &Args, rules: Result<Rules, String>) -> u8 {
    let judged = read_call().and_then(|call| {
        if !call.is_judged() {
            return Ok(());
        }
        let rules = rules?;
        let place = place(args, &call.cwd);
        in_time(move || call.judge(&rules, &place, &Disk).map_err(|refusal| refusal.to_string()))
    });
    match judged {
        Ok(()) => exit::OK,
        Err(why) => {
            // Without a reader the exit code still refuses.
            let _ = writeln!(io::stderr(), "claude-failover guard: {why}");
            exit::TOOL_REFUSED
        }
    }
}

/// The thread is not waited for when it is late: it goes with the process.
fn in_time(judge: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), String> {
    let (sender, verdict) = bounded(1);
    #[expect(clippy::disallowed_methods, reason = "one thread, which ends with the process")]
    thread::Builder::new()
        .name("judge".to_owned())
        .spawn(move || {
            // Nobody waits any more.
            let _ = sender.send(judge());
        })
        .map_err(|error| format!("refused: starting to judge: {error}: try again"))?;
    verdict.recv_timeout(DECIDE_TIMEOUT).unwrap_or_else(|_| {
        Err("refused: the command is too much to judge: write it in several ones".to_owned())
    })
}

fn read_call() -> Result<Call, String> {
    let mut json = Vec::new();
    io::stdin()
        .take(INPUT_BYTES_MAX + 1)
        .read_to_end(&mut json)
        .map_err(|error| format!("refused: reading the tool call: {error}"))?;
    if json.len() as u64 > INPUT_BYTES_MAX {
        return Err("refused: the tool call is larger than 16 MiB: split it".to_owned());
    }
    Call::parse(&json).map_err(|why| {
        format!(
            "refused: this tool call cannot be read ({why}): ask the operator to look at \
             agent.guard, which may not fit this client"
        )
    })
}

fn read_rules(file: Option<&Path>) -> Result<Rules, String> {
    let Some(file) = file else {
        return Rules::load(None).map_err(|why| format!("the rules that are built in: {why}"));
    };
    let remedy = "the operator has to put agent.guard_rules right; until then all is refused";
    let text = files::read_at_most(file, FILE_BYTES_MAX)
        .map_err(|error| format!("refused: reading the guard's rules: {error}: {remedy}"))?;
    Rules::load(Some(&text)).map_err(|why| format!("refused: {}: {why}: {remedy}", file.display()))
}

fn place(args: &Args, cwd: &str) -> Place {
    let variable = |name: &str| env::var(name).ok().filter(|value| value.starts_with('/'));
    let home = variable("HOME").unwrap_or_else(|| "/root".to_owned());
    let given = args.work.as_ref().map(|work| work.display().to_string());
    // The client names the directory that it was started in.
    let work = given.or_else(|| variable("CLAUDE_PROJECT_DIR")).unwrap_or_else(|| cwd.to_owned());
    let paths = |paths: &[PathBuf]| -> Vec<String> {
        paths.iter().map(|path| path.display().to_string()).collect()
    };
    let mut closed = paths(&args.closed);
    closed.extend(variable("CLAUDE_CONFIG_DIR"));
    let real: Vec<String> = closed.iter().map(|dir| Disk.real(dir)).collect();
    closed.extend(real);
    closed.retain(|dir| dir != "/");
    let mut open = paths(&args.open);
    let real: Vec<String> = open.iter().map(|dir| Disk.real(dir)).collect();
    open.extend(real);
    Place {
        cwd: cwd.to_owned(),
        work: (work != "/").then(|| Disk.real(&work)),
        home,
        user: env::var("USER").unwrap_or_default(),
        closed,
        open,
    }
}

struct Disk;

impl World for Disk {
    fn real(&self, path: &str) -> String {
        // What does not exist yet is below what does.
        let mut known = Path::new(path);
        let mut rest = Vec::new();
        loop {
            if let Ok(real) = known.canonicalize() {
                let path = rest.iter().rev().fold(real, |path, name| path.join(name));
                return path.display().to_string();
            }
            let (Some(name), Some(parent)) = (known.file_name(), known.parent()) else {
                return path.to_owned();
            };
            rest.push(name);
            known = parent;
        }
    }

    fn branch(&self, dir: &str) -> Option<String> {
        let dirs = Path::new(dir).ancestors().take(PARENTS_MAX);
        let git = dirs.map(|dir| dir.join(".git")).find(|git| git.exists())?;
        // In a worktree or a submodule it is a file that says where.
        let git = match git.is_dir() {
            true => git,
            false => {
                let text = files::read_at_most(&git, GIT_FILE_BYTES_MAX).ok()?;
                git.parent()?.join(text.strip_prefix("gitdir:")?.trim())
            }
        };
        let head = files::read_at_most(&git.join("HEAD"), GIT_FILE_BYTES_MAX).ok()?;
        head.trim().strip_prefix("ref: refs/heads/").map(str::to_owned)
    }
}
