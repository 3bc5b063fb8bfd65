//! The daemon itself: does it answer, and what does it say of itself?

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::api::control::{self, AskError, Request};
use crate::cli::doctor::finding::{Finding, Verdict, fail, ok, skip, told, warn};
use crate::cli::units::Kind;
use crate::config::Config;
use crate::version::{COMMIT, VERSION};

const CHECK: &str = "daemon";
/// A status waits for nobody; longer than this and something hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Of the head of an answer over HTTP.
const HEAD_BYTES_MAX: u64 = 4096;

/// What the daemon says to `status`.
#[derive(Debug)]
pub enum Answer {
    Said { health: Value, status: Value },
    NotRunning,
    Failed(String),
}

impl Answer {
    pub fn ask(config: &Config) -> Self {
        let socket = control::socket_path(&config.runtime_dir);
        match control::ask(&socket, &Request::Status, ANSWER_TIMEOUT) {
            Ok(mut answer) => {
                Self::Said { health: answer["health"].take(), status: answer["status"].take() }
            }
            Err(AskError::NotRunning { .. }) => Self::NotRunning,
            Err(error) => Self::Failed(error.to_string()),
        }
    }

    /// `None` when it does not answer.
    pub fn status(&self) -> Option<&Value> {
        match self {
            Answer::Said { status, .. } => Some(status),
            Answer::NotRunning | Answer::Failed(_) => None,
        }
    }
}

pub fn check(config: &Config, answer: &Answer, kind: Kind) -> Vec<Finding> {
    let mut findings = said(config, answer, kind);
    if let (Some(listen), true) = (config.http.listen, answer.status().is_some()) {
        findings.push(http(listen, kind));
    }
    findings
}

fn said(config: &Config, answer: &Answer, kind: Kind) -> Vec<Finding> {
    match answer {
        Answer::NotRunning if config.state_dir.join("journal").exists() => vec![fail(
            CHECK,
            "it does not run, and has run before",
            format!(
                "{} start claude-failover; {} claude-failover -n 50 says why it ended",
                kind.systemctl(),
                kind.journalctl()
            ),
        )],
        Answer::NotRunning => vec![skip(CHECK, "it has not run yet")],
        Answer::Failed(why) => vec![fail(CHECK, why.clone(), restart(kind))],
        Answer::Said { health, status } => {
            let mut findings = vec![health_line(health)];
            findings.extend(another_version(status, kind));
            findings
        }
    }
}

/// The daemon's own words.
pub fn health_line(health: &Value) -> Finding {
    let state = health["state"].as_str().unwrap_or("unknown");
    let reasons: Vec<&str> =
        health["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let reasons = reasons.join("; ");
    let remedy = "claude-failover status says more";
    match (health["ok"].as_bool(), reasons.is_empty()) {
        (Some(true), true) => ok(CHECK, format!("it answers: {state}")),
        (Some(true), false) => warn(CHECK, format!("{state}: {reasons}"), remedy),
        _ => fail(CHECK, format!("{state}: {reasons}"), remedy),
    }
}

/// After an upgrade without a restart.
pub fn another_version(status: &Value, kind: Kind) -> Option<Finding> {
    let running = status["daemon"]["version"].as_str()?;
    let commit = status["daemon"]["commit"].as_str();
    if running == VERSION && (commit.is_none() || COMMIT.is_none() || commit == COMMIT) {
        return None;
    }
    let named = |version: &str, commit: Option<&str>| match commit {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    };
    Some(warn(
        CHECK,
        format!(
            "version {} runs, and {} is installed",
            named(running, commit),
            named(VERSION, COMMIT)
        ),
        restart(kind),
    ))
}

fn restart(kind: Kind) -> String {
    format!("{} restart claude-failover: no session is touched by that", kind.systemctl())
}

/// GET /health, as a monitor from outside would ask.
pub fn http(listen: SocketAddr, kind: Kind) -> Finding {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&listen, ANSWER_TIMEOUT)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        let request =
            format!("GET /health HTTP/1.1\r\nHost: {listen}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut head = Vec::new();
        stream.take(HEAD_BYTES_MAX).read_to_end(&mut head)?;
        Ok(String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned())
    };
    match ask() {
        Ok(line) if line.contains(" 200") => ok("http", format!("http://{listen}/health: 200")),
        Ok(line) if line.contains(" 503") => told(
            "http",
            Verdict::Warn,
            format!("http://{listen}/health: 503, for the reason that stands at \"daemon\""),
        ),
        Ok(line) => fail("http", format!("http://{listen}/health: {line:?}"), "who has that port?"),
        Err(error) => fail(
            "http",
            format!("http://{listen}/health: {error}"),
            format!("see the log: {} claude-failover", kind.journalctl()),
        ),
    }
}
