//! `status.json` of one project: what runs, waits and cannot be used there, for people and scripts.
//!
//! ```json
//! {
//!   "claude_failover": 1,
//!   "project": "shop",
//!   "tasks": [
//!     {"id": "t1", "title": "…", "state": "running", "session": "ccl-auto-11", "account": "primary",
//!      "conversation": "…", "attempt": 1, "since": "2026-11-22T15:23:24Z", "reason": null}
//!   ],
//!   "queued": {"ready": 2, "blocked": 0, "later": 0, "foreign": 0, "not_for_us": 0, "refused": 0}
//! }
//! ```
//! `claude_failover` is the version of the shape. `state` is one of `claimed`, `sending`, `running`,
//! `blocked` (a dialog waits for a person), `ending`, `unknown` (a person decides). `queued` counts what
//! is not in our hands. Written when it changes, whole; a file there that is not ours is kept once as
//! `status.json.old`.

use std::io;

use rustix::fs::FileType;
use serde::Serialize;

use crate::ids::{AccountName, ConversationId};
use crate::queue::Queue;
use crate::queue::dir::{Dir, Found};
use crate::task::HeldTask;

const VERSION: u32 = 1;
const FILE: &str = "status.json";
const OLD: &str = "status.json.old";
/// Of somebody's file, to find our field in it.
const BYTES_MAX: u64 = 16 << 20;

#[derive(Debug, Serialize)]
pub struct Status<'a, Counts> {
    claude_failover: u32,
    project: &'a str,
    tasks: Vec<Row<'a>>,
    queued: Counts,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    id: &'a str,
    title: &'a str,
    state: crate::task::HeldState,
    session: &'a str,
    account: Option<&'a str>,
    conversation: Option<&'a str>,
    attempt: u32,
    since: String,
    reason: Option<&'a str>,
}

impl<'a, Counts: Serialize> Status<'a, Counts> {
    /// `held` are those of this project.
    pub fn new(project: &'a str, held: &'a [HeldTask], queued: Counts) -> Self {
        let tasks = held.iter().map(|held| Row {
            id: held.task.id.as_str(),
            title: &held.title,
            state: held.state,
            session: held.session.as_str(),
            account: held.account.as_ref().map(AccountName::as_str),
            conversation: held.conversation.as_ref().map(ConversationId::as_str),
            attempt: held.attempt,
            since: held.since.to_string(),
            reason: held.reason.as_deref(),
        });
        Self { claude_failover: VERSION, project, tasks: tasks.collect(), queued }
    }

    pub fn text(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("words and numbers, which JSON can hold") + "\n"
    }
}

/// Puts the text in the place of what was there, unless it is the same. A power cut may take it: it is
/// written anew at the next start.
pub fn write(queue: &Queue, text: &str) -> io::Result<()> {
    let found = queue.dir.look(FILE)?;
    if let Some(found) = found {
        let bytes = content(&queue.dir, &found)?;
        if bytes == text.as_bytes() {
            return Ok(());
        }
        // Kept once: a second one that is not ours is replaced.
        if !is_ours(&bytes) {
            queue.dir.rename_new(FILE, &queue.dir, OLD)?;
        }
    }
    queue.dir.replace_quick(FILE, text.as_bytes(), 0o644)
}

/// Empty for what is no plain file.
fn content(dir: &Dir, found: &Found) -> io::Result<Vec<u8>> {
    if found.kind != FileType::RegularFile {
        return Ok(Vec::new());
    }
    Ok(dir.read(FILE, BYTES_MAX)?.map(|(_, bytes)| bytes).unwrap_or_default())
}

fn is_ours(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(bytes)
        .is_ok_and(|value| value.get("claude_failover").is_some_and(serde_json::Value::is_u64))
}
