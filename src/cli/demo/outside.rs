//! What anybody on this host can see: processes, the client's session files, transcripts.
//! Reads only; asks neither the daemon nor tmux.

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::Value;

use crate::cli::demo::server::Pane;
use crate::ids::ProcessRef;

/// Ancestors looked at before a chain of parents counts as broken.
const ANCESTORS_MAX: usize = 64;

/// A live agent, by its own session file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    pub session: String,
    pub pane: String,
    pub process: ProcessRef,
    pub conversation: String,
    pub idle: bool,
    /// Milliseconds since 1970.
    pub started_at: i64,
}

/// The live agents of one home that run in one of `panes`.
pub fn agents(home: &Path, panes: &[Pane]) -> Vec<Agent> {
    let Ok(entries) = fs::read_dir(home.join("sessions")) else {
        return Vec::new();
    };
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut agents: Vec<Agent> = files
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .filter_map(|path| agent(&path, panes))
        .collect();
    agents.sort_by(|one, other| one.session.cmp(&other.session));
    agents
}

fn agent(file: &Path, panes: &[Pane]) -> Option<Agent> {
    let facts: Value = serde_json::from_str(&fs::read_to_string(file).ok()?).ok()?;
    let pid = i32::try_from(facts["pid"].as_i64()?).ok()?;
    let process = alive(pid)?;
    // A file left behind by a killed client names a pid that another process may have now.
    if facts["procStart"].as_str()? != process.started_ticks.to_string() {
        return None;
    }
    let ancestors = ancestors(pid);
    let pane = panes.iter().find(|pane| ancestors.contains(&pane.leader_pid))?;
    Some(Agent {
        session: pane.session.clone(),
        pane: pane.id.clone(),
        process,
        conversation: facts["sessionId"].as_str()?.to_owned(),
        idle: facts["status"] == "idle",
        started_at: facts["startedAt"].as_i64()?,
    })
}

/// The process with this pid, unless it has ended (a zombie has).
pub fn alive(pid: i32) -> Option<ProcessRef> {
    let stat = stat(pid)?;
    (stat.state != 'Z').then_some(ProcessRef { pid, started_ticks: stat.started_ticks })
}

/// `pid` itself, its parent, and so on up to the first process.
fn ancestors(pid: i32) -> Vec<i32> {
    std::iter::successors(Some(pid), |pid| Some(stat(*pid)?.parent_pid))
        .take_while(|pid| *pid > 0)
        .take(ANCESTORS_MAX)
        .collect()
}

/// Every live process that descends from `server` (itself included) or runs the script `agent`.
pub fn processes_of(server: Option<i32>, agent: &Path) -> Vec<ProcessRef> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            server.is_some_and(|server| ancestors(*pid).contains(&server)) || runs(*pid, agent)
        })
        .filter_map(alive)
        .collect()
}

fn runs(pid: i32, script: &Path) -> bool {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let script = script.as_os_str().as_encoded_bytes();
    arguments.split(|byte| *byte == 0).take(2).any(|argument| argument == script)
}

struct Stat {
    state: char,
    parent_pid: i32,
    started_ticks: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The program's name may hold spaces and parentheses; what follows its last one may not.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent_pid: fields.get(1)?.parse().ok()?,
        started_ticks: fields.get(19)?.parse().ok()?,
    })
}

/// One conversation as it stands on disk.
#[derive(Debug, Default)]
pub struct Transcript {
    /// What a person (or the daemon's nudge) asked, in order.
    pub prompts: Vec<String>,
    /// Text of the last assistant record.
    pub last_answer: String,
    /// When a plan limit was refused, RFC 3339; the last one.
    pub refused_at: Option<String>,
}

/// Reads `<projects>/*/<conversation>.jsonl`; empty when it is not there yet.
pub fn transcript(projects: &Path, conversation: &str) -> Transcript {
    let text = transcript_path(projects, conversation)
        .and_then(|path| fs::read_to_string(path).ok())
        .unwrap_or_default();
    read_transcript(&text)
}

fn transcript_path(projects: &Path, conversation: &str) -> Option<PathBuf> {
    let name = format!("{conversation}.jsonl");
    let folders = fs::read_dir(projects).ok()?;
    folders.filter_map(|folder| Some(folder.ok()?.path().join(&name))).find(|path| path.exists())
}

fn read_transcript(text: &str) -> Transcript {
    let mut transcript = Transcript::default();
    for line in text.lines() {
        let Ok(record) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        match record["type"].as_str() {
            Some("user") if record["isMeta"] != true => {
                let prompt = record["message"]["content"].as_str().unwrap_or_default();
                transcript.prompts.push(prompt.to_owned());
            }
            Some("assistant") => {
                let text = record["message"]["content"][0]["text"].as_str();
                transcript.last_answer = text.unwrap_or_default().to_owned();
                if record["apiError"] == "usage_limit_reached" {
                    transcript.refused_at = record["timestamp"].as_str().map(str::to_owned);
                }
            }
            _ => {}
        }
    }
    transcript
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let tail = (4..=22).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        let stat = parse_stat(&format!("7 (a) b) (c) S {tail} 23")).unwrap();
        assert_eq!((stat.state, stat.parent_pid, stat.started_ticks), ('S', 4, 22));
        assert!(parse_stat("7 (a) S 1 2").is_none());
    }

    #[test]
    fn this_process_is_alive_and_its_own_first_ancestor() {
        let pid = std::process::id().cast_signed();
        assert_eq!(alive(pid).map(|process| process.pid), Some(pid));
        assert_eq!(ancestors(pid)[0], pid);
    }

    #[test]
    fn a_transcript_gives_prompts_the_last_answer_and_the_refusal() {
        let text = concat!(
            r#"{"type":"user","message":{"content":"one"}}"#,
            "\n",
            r#"{"type":"user","isMeta":true,"message":{"content":"meta"}}"#,
            "\n{ torn\n",
            r#"{"type":"assistant","apiError":"usage_limit_reached","timestamp":"T","message":{"content":[{"text":"no"}]}}"#,
            "\n",
            r#"{"type":"assistant","message":{"content":[{"text":"yes"}]}}"#,
        );
        let transcript = read_transcript(text);
        assert_eq!(transcript.prompts, ["one"]);
        assert_eq!(transcript.last_answer, "yes");
        assert_eq!(transcript.refused_at.as_deref(), Some("T"));
    }
}
