//! One client in a pane of its own, and what each of the three readers makes of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use claude_failover::moment::Wall;
use claude_failover::quota::verdict::{Context, Reading, Verdict};
use claude_failover::quota::{pane, report, transcript};

use crate::rig::Rig;
use crate::support::{PrivateTmux, eventually, eventually_or};
use crate::typing;

/// A client needs a second to start and as long to answer; here many share few processors.
pub const PATIENCE: Duration = Duration::from_secs(40);
const HOOKS: [&str; 6] =
    ["SessionStart", "UserPromptSubmit", "Stop", "StopFailure", "SessionEnd", "Notification"];

pub struct Agent<'a> {
    rig: &'a Rig,
    tmux: &'a PrivateTmux,
    pub account: String,
    pub work: PathBuf,
    /// Where its hooks leave what the client tells them.
    reports: PathBuf,
    pane: String,
}

impl<'a> Agent<'a> {
    /// An idle client, 80 columns wide, on an account and in a folder of its own.
    pub fn start(rig: &'a Rig, tmux: &'a PrivateTmux, name: &str) -> Self {
        Self::start_with(rig, tmux, name, &Value::Null)
    }

    /// The same, with this hook before each tool, if it is one.
    pub fn start_with(
        rig: &'a Rig,
        tmux: &'a PrivateTmux,
        name: &str,
        before_tools: &Value,
    ) -> Self {
        let account: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        rig.log_in(&account);
        rig.answer(&account, &["ok"]);
        let work = rig.work(&format!("{account}-{}", std::process::id()));
        let reports = tmux.path().join(&account);
        std::fs::create_dir(&reports).unwrap();
        let settings = reports.join("settings.json");
        std::fs::write(&settings, settings_text(&reports, before_tools)).unwrap();
        let start = format!(
            "exec env TZ=UTC CLAUDE_CONFIG_DIR={} {} --dangerously-skip-permissions --settings {}",
            rig.home(&account).display(),
            rig.client().display(),
            settings.display()
        );
        let (cwd, shape) = (work.to_str().unwrap(), ["-x", "80", "-y", "50", "-c"]);
        let new = ["new-session", "-d", "-P", "-F", "#{pane_id}"];
        let pane = tmux.run(&[&new[..], &shape, &[cwd, &start]].concat());
        let agent = Self { rig, tmux, account, work, reports, pane };
        eventually("an idle client", PATIENCE, || {
            (agent.is("idle") && agent.screen().contains("❯\u{a0}")).then_some(())
        });
        agent
    }

    /// Types a prompt that this conversation has not had yet, and sees to it that it is taken.
    #[track_caller]
    pub fn prompt(&self, text: &str) {
        typing::prompt(self.tmux, &self.pane, text, || self.conversation());
    }

    pub fn key(&self, key: &str) {
        typing::press(self.tmux, &self.pane, key);
    }

    pub fn screen(&self) -> String {
        typing::screen(self.tmux, &self.pane)
    }

    /// The client's own word: `idle`, `busy`, `waiting`.
    pub fn is(&self, status: &str) -> bool {
        self.session().is_some_and(|session| session["status"] == status)
    }

    #[track_caller]
    pub fn await_status(&self, status: &str) {
        let is_so = || self.is(status).then_some(());
        eventually_or(PATIENCE, is_so, || {
            let session = self.session().unwrap_or_default();
            format!("{status} on {}: {session:#}\n{}", self.account, self.screen())
        });
    }

    fn session(&self) -> Option<Value> {
        self.rig.session(&self.account, &self.work)
    }

    /// The conversation file; empty before the first prompt.
    pub fn conversation(&self) -> String {
        let find = || {
            let session = self.session()?;
            let name = format!("{}.jsonl", session["sessionId"].as_str()?);
            std::fs::read_dir(self.rig.home(&self.account).join("projects"))
                .ok()?
                .filter_map(Result::ok)
                .find_map(|project| std::fs::read_to_string(project.path().join(&name)).ok())
        };
        find().unwrap_or_default()
    }

    /// What the hooks left, oldest first.
    fn reports(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.reports).unwrap();
        let mut paths: Vec<PathBuf> = files
            .filter_map(|file| Some(file.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|kind| kind == "report"))
            .collect();
        paths.sort();
        paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }

    /// Until `count` turns have ended, by the hooks and in the conversation file, which comes later.
    pub fn wait_for_turns(&self, count: usize) {
        eventually("the end of the turn among the reports", PATIENCE, || {
            let ended = |report: &&String| report.contains(r#""hook_event_name":"Stop"#);
            (self.reports().iter().filter(ended).count() >= count).then_some(())
        });
        eventually("the end of the turn in the conversation file", PATIENCE, || {
            // By their time: an older client may write an answer before its prompt.
            let last = self
                .conversation()
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .filter(|record| record["type"] == "user" || record["type"] == "assistant")
                .max_by_key(|record| record["timestamp"].as_str().map(str::to_owned));
            last.is_some_and(|record| record["type"] == "assistant").then_some(())
        });
    }
}

/// The client is gone before its account is used again.
impl Drop for Agent<'_> {
    fn drop(&mut self) {
        let pid = self.session().and_then(|session| session["pid"].as_i64());
        let _ = self.tmux.output(&["kill-pane", "-t", &self.pane]);
        if let Some(pid) = pid.filter(|_| !std::thread::panicking()) {
            let process = PathBuf::from(format!("/proc/{pid}"));
            eventually("the client ended", PATIENCE, || (!process.exists()).then_some(()));
        }
    }
}

/// The readers, each by itself.
impl Agent<'_> {
    pub fn read_pane(&self) -> Reading {
        read_screen(&self.screen())
    }

    /// What the whole conversation file says at its end.
    pub fn read_transcript(&self) -> Reading {
        let mut ending = transcript::Ending::default();
        for line in self.conversation().lines() {
            if let Some(entry) = transcript::entry(line.as_bytes(), &context()) {
                ending.take(entry);
            }
        }
        assert!(ending.prompted_at.is_some(), "the file holds the prompt");
        ending.error.map_or_else(Reading::clear, |error| error.reading)
    }

    /// What the last report about a turn says.
    pub fn read_reports(&self) -> Reading {
        let texts = self.reports();
        let reports: Vec<report::Report> =
            texts.iter().filter_map(|line| report::parse(line.as_bytes(), &context())).collect();
        let prompted = |report: &report::Report| report.news == report::News::PromptSubmitted;
        assert!(reports.iter().any(prompted), "the hooks reported the prompt: {texts:#?}");
        reports.into_iter().fold(Reading::clear(), |reading, report| match report.news {
            report::News::TurnFailed { reading, .. } => reading,
            report::News::PromptSubmitted | report::News::TurnEnded { .. } => Reading::clear(),
            report::News::SessionStarted { .. }
            | report::News::SessionEnded { .. }
            | report::News::Notified { .. }
            | report::News::Figures(_) => reading,
        })
    }
}

pub fn read_screen(screen: &str) -> Reading {
    pane::read(screen, &context())
}

/// Hooks that pass nothing on and lose nothing: the reader is under test here, not the way to it.
fn settings_text(reports: &Path, before_tools: &Value) -> String {
    let file = reports.join("$(date +%s%N)-$$");
    let command = format!("f={}; cat > $f.part && mv $f.part $f.report", file.display());
    let hook = json!([{"hooks": [{"type": "command", "command": command}]}]);
    let mut hooks: serde_json::Map<String, Value> =
        HOOKS.iter().map(|name| ((*name).to_owned(), hook.clone())).collect();
    if !before_tools.is_null() {
        hooks.insert("PreToolUse".to_owned(), before_tools.clone());
    }
    json!({"autoContinueAtUsageLimit": false, "hooks": hooks}).to_string()
}

fn context() -> Context<'static> {
    Context { now: now(), zone: Some("UTC"), patterns: &[] }
}

pub fn now() -> Wall {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Wall(i64::try_from(since.as_millis()).unwrap())
}

/// `exhausted five_hour`, `model_limit`, `clear` …
pub fn word(verdict: &Verdict) -> String {
    let value = serde_json::to_value(verdict).unwrap();
    let kind = value["kind"].as_str().unwrap();
    value["limit"].as_str().map_or_else(|| kind.to_owned(), |limit| format!("{kind} {limit}"))
}
