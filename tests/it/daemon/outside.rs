//! What anybody on this host can see: processes, session files, transcripts. Asks neither the
//! daemon nor tmux.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use claude_failover::process::table;
use serde_json::Value;

/// Parents looked at from a process up to its pane.
const ANCESTORS_MAX: usize = 64;

/// A live agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    pub pid: i32,
    /// As given in its environment; `None`: it follows the link.
    pub homed: Option<PathBuf>,
    /// What follows the script's name.
    pub args: Vec<String>,
    /// From its session file, in whichever home it is; `None` before there is one.
    pub conversation: Option<String>,
    pub status: Option<String>,
}

/// All processes, with what the kernel says of them now.
pub fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Every live process that runs the script `agent`, its own subshells left out, and so whoever is
/// only asked for the version, or asked one question.
pub fn agents(root: &Path) -> Vec<Agent> {
    let script = root.join("bin/claude");
    let script = script.to_str().unwrap();
    let runs: Vec<(i32, Vec<String>)> = pids()
        .into_iter()
        .filter_map(|pid| Some((pid, table::args(pid).unwrap()?)))
        .filter(|(pid, args)| args.get(1).is_some_and(|arg| arg == script) && is_alive(*pid))
        .filter(|(_, args)| args.get(2).is_none_or(|arg| arg != "--version" && arg != "--print"))
        .collect();
    let all: BTreeSet<i32> = runs.iter().map(|(pid, _)| *pid).collect();
    runs.into_iter()
        .filter(|(pid, _)| {
            table::parent(*pid).unwrap().is_some_and(|parent| !all.contains(&parent))
        })
        .map(|(pid, args)| {
            let file = session_file(root, pid).unwrap_or_default();
            let text = |name: &str| file[name].as_str().map(str::to_owned);
            Agent {
                pid,
                homed: table::env_value(pid, "CLAUDE_CONFIG_DIR").ok().flatten().map(PathBuf::from),
                args: args[2..].to_vec(),
                conversation: text("sessionId"),
                status: text("status"),
            }
        })
        .collect()
}

fn session_file(root: &Path, pid: i32) -> Option<Value> {
    let homes = fs::read_dir(root.join("user")).unwrap();
    let started = table::started_ticks(pid).unwrap()?.to_string();
    homes
        .filter_map(|home| {
            let path = home.unwrap().path().join(format!("sessions/{pid}.json"));
            serde_json::from_str::<Value>(&fs::read_to_string(path).ok()?).ok()
        })
        .find(|facts| facts["procStart"] == started.as_str())
}

/// Not a zombie.
pub fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// `pid` itself, its parent, and so on.
pub fn ancestors(pid: i32) -> Vec<i32> {
    std::iter::successors(Some(pid), |pid| {
        table::parent(*pid).unwrap().filter(|parent| *parent > 0)
    })
    .take(ANCESTORS_MAX)
    .collect()
}

/// Everything that was started in `root` or with it as its home, whoever its parent is now.
pub fn processes_of(root: &Path) -> Vec<i32> {
    let root = root.as_os_str().as_bytes();
    let names = |pid: i32, file: &str| {
        let text = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        text.windows(root.len()).any(|part| part == root)
    };
    let own = i32::try_from(std::process::id()).unwrap();
    pids()
        .into_iter()
        .filter(|pid| *pid != own && is_alive(*pid))
        .filter(|pid| names(*pid, "environ") || names(*pid, "cmdline"))
        .collect()
}

/// What somebody who looks at a process would say of it.
pub fn told_of(pid: i32) -> String {
    let args = table::args(pid).ok().flatten().unwrap_or_default().join(" ");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let of = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    let waits = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
    format!("{pid}: {args} [{} {} waits in {waits}]", of("State:"), of("PPid:"))
}

/// The prompts of a conversation and the text of its last answer.
pub fn transcript(root: &Path, conversation: &str) -> (Vec<String>, String) {
    let projects = root.join("user/.claude-projects-shared");
    let folders = fs::read_dir(projects).unwrap();
    let name = format!("{conversation}.jsonl");
    let text = folders
        .filter_map(|folder| fs::read_to_string(folder.unwrap().path().join(&name)).ok())
        .next()
        .unwrap_or_default();
    let mut prompts = Vec::new();
    let mut answer = String::new();
    for record in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        match record["type"].as_str() {
            Some("user") => {
                prompts.push(record["message"]["content"].as_str().unwrap().to_owned());
            }
            Some("assistant") => {
                let text = record["message"]["content"][0]["text"].as_str();
                text.unwrap_or_default().clone_into(&mut answer);
            }
            _ => {}
        }
    }
    (prompts, answer)
}
