//! Every key of the file with its default and its range, one function a section.
//!
//! The accounts and the pool are in [`crate::config::fleet`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::config::raw::KeyPath;
use crate::config::section::Section;
use crate::config::{
    Agent, Config, Dispatcher, Http, Janitor, Lifecycle, Quota, SWAPS_PER_HOUR_MAX, Swap, Tmux,
    Watcher, fleet, notifications,
};
use crate::quota::pattern;
use crate::task::prompt::{self, Template};
use crate::units;
use crate::yaml::Node;
use crate::yaml::value::{describe, line_of_text, whole_number};

const COMMAND_WORDS_MAX: usize = 64;
const ENV_MAX: usize = 100;
const PATTERNS_MAX: usize = 100;
/// A shorter phrase is on too many screens.
const PATTERN_CHARS_MIN: usize = 6;
const PATTERN_CHARS_MAX: usize = 200;
const UIDS_MAX: usize = 64;
/// Refusals are noticed this late at worst before the operator is told so.
const POLL_INTERVAL_UNWARNED_MAX: Duration = Duration::from_secs(5);
const DEFAULT_LISTEN: &str = "127.0.0.1:8765";

/// A configuration whose values are good one by one.
pub struct Draft {
    /// Accounts still in file order.
    pub config: Config,
    /// Where each of `config.accounts` stands.
    pub accounts_at: Vec<KeyPath>,
}

impl Draft {
    pub fn into_config(self) -> Config {
        let mut config = self.config;
        config.accounts.sort_by_key(|account| account.priority);
        config
    }
}

pub fn read_draft(root: &mut Section<'_, '_>) -> Draft {
    let link = root.path("link", "~/.claude");
    let (accounts_at, accounts) = fleet::accounts(root).into_iter().unzip();
    let state_dir = root.path("state_dir", "/var/lib/claude-failover");
    let runtime_dir = root.path("runtime_dir", "/run/claude-failover");
    let config = Config {
        link,
        accounts,
        selection: root.section("selection", fleet::selection),
        pool: fleet::pool(root),
        agent: root.section("agent", agent),
        tmux: root.section("tmux", tmux),
        lifecycle: root.section("lifecycle", |lifecycle| Lifecycle {
            interval: lifecycle.duration("interval", "15s", "100ms"..="1h"),
        }),
        quota: root.section("quota", quota),
        swap: root.section("swap", swap),
        watcher: root.section("watcher", |watcher| Watcher {
            interval: watcher.duration("interval", "1s", "100ms"..="10m"),
            idle_timeout: watcher.duration("idle_timeout", "60m", "1s"..="7d"),
            done_signal_dir: watcher
                .unless_null("done_signal_dir", |watcher| watcher.given_path("done_signal_dir"))
                .unwrap_or_else(|| runtime_dir.join("done")),
        }),
        dispatcher: root.section("dispatcher", dispatcher),
        janitor: root.section("janitor", |janitor| Janitor {
            interval: janitor.duration("interval", "1h", "1s"..="7d"),
            keep_done: janitor.duration("keep_done", "30d", "0s"..="3650d"),
            dry_run: janitor.flag("dry_run", false),
        }),
        notifications: root.section("notifications", notifications::read),
        http: http(root),
        state_dir,
        runtime_dir,
    };
    root.deprecated(
        "checkpoint",
        "no longer used: the journal in state_dir holds what checkpoints held",
    );
    Draft { config, accounts_at }
}

fn agent(agent: &mut Section<'_, '_>) -> Agent {
    let problems_before = agent.findings.problems.len();
    let mut command = Vec::new();
    for (at, node) in agent.items("command", COMMAND_WORDS_MAX) {
        match line_of_text(node) {
            Ok(word) if SESSION_ARGUMENTS.contains(&word) => agent.findings.problem(
                &at,
                format!("{word} is chosen for each launch: remove it from the command"),
            ),
            Ok(word) => command.push(word.to_owned()),
            Err(message) => agent.findings.problem(&at, message),
        }
    }
    if !agent.has("command") {
        command = vec!["claude".into(), "--dangerously-skip-permissions".into()];
    } else if command.is_empty() && agent.findings.problems.len() == problems_before {
        agent.problem("command", "names no program: write [claude] at least");
    }
    Agent {
        command,
        env: env(agent),
        models: agent.section("models", |models| {
            let mut model = |key, default| match models.text(key, default) {
                name if name.starts_with('-') || name.contains(char::is_whitespace) => {
                    models.problem(key, format!("{name:?} is no name of a model"));
                    (key.to_owned(), default.to_owned())
                }
                name => (key.to_owned(), name),
            };
            BTreeMap::from([model("critical", "opus"), model("default", "sonnet")])
        }),
        guard: agent.flag("guard", false),
        guard_rules: agent.unless_null("guard_rules", |agent| agent.given_path("guard_rules")),
    }
}

/// They say which conversation an agent has; the daemon adds them itself.
const SESSION_ARGUMENTS: [&str; 5] =
    ["--resume", "--continue", "--session-id", "--fork-session", "--print"];

fn env(agent: &mut Section<'_, '_>) -> BTreeMap<String, String> {
    let path = agent.at("env");
    let entries: &[(String, Node)] = match agent.node("env") {
        None | Some(Node::Null) => &[],
        Some(Node::Map(entries)) => entries,
        Some(other) => {
            let what = match other {
                Node::Text(_) => "text".to_owned(), // which may be NAME=secret
                other => describe(other),
            };
            agent.problem("env", format!("expected a mapping (NAME: \"value\"), got {what}"));
            &[]
        }
    };
    if entries.len() > ENV_MAX {
        agent.problem("env", format!("more than {ENV_MAX} variables"));
    }
    let mut env = BTreeMap::new();
    for (name, value) in entries.iter().take(ENV_MAX) {
        match env_value(name, value) {
            Ok(value) => {
                env.insert(name.clone(), value);
            }
            Err(message) => agent.findings.problem(&path.key(name), message),
        }
    }
    env
}

/// Never prints the value: it may be a secret in the wrong place.
fn env_value(name: &str, value: &Node) -> Result<String, String> {
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err("not the name of a variable (letters, digits and _)".to_owned());
    }
    if ["CLAUDE_CONFIG_DIR", "TMUX", "TMUX_PANE", "HOME"].contains(&name) {
        return Err("the daemon sets this variable for each agent: remove it".to_owned());
    }
    if is_secret(name) {
        return Err(
            "looks like a key or a token: agents use the login of their account's home, and \
             secrets do not stand in this file: remove it"
                .to_owned(),
        );
    }
    match value {
        Node::Text(text) if !text.contains(['\0', '\n', '\r']) => Ok(text.clone()),
        Node::Text(_) => Err("line breaks are not allowed in a value".to_owned()),
        Node::Null | Node::Bool(_) | Node::Int(_) | Node::Float(_) => {
            Err("the value is not text: put it in quotes".to_owned())
        }
        Node::List(_) | Node::Map(_) => Err("the value is not text".to_owned()),
    }
}

/// Logins by names that do not say so. Like those that do they would be kept from every agent.
const LOGINS: [&str; 2] = ["ANTHROPIC_CUSTOM_HEADERS", "AWS_BEARER_TOKEN_BEDROCK"];

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    if LOGINS.contains(&name.as_str()) {
        return true;
    }
    let ends = ["TOKEN", "SECRET", "API_KEY", "PASSWORD"];
    ends.iter().any(|end| {
        name.strip_suffix(end).is_some_and(|start| start.is_empty() || start.ends_with('_'))
    }) || (name.starts_with("AWS_") && name.contains("SECRET"))
}

fn tmux(tmux: &mut Section<'_, '_>) -> Tmux {
    let socket = tmux.unless_null("socket", |tmux| tmux.given_path("socket"));
    if let Some(message) = socket.as_deref().and_then(socket_too_long) {
        tmux.problem("socket", message);
    }
    let command = match tmux.text("command", "tmux") {
        program if program.contains('/') => tmux
            .given_path("command")
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default(),
        program if program.contains(char::is_whitespace) => {
            let message = "one program without arguments is expected: they are chosen here";
            tmux.problem("command", message);
            program
        }
        program => program,
    };
    Tmux { socket, command, start_server: tmux.flag("start_server", true) }
}

/// What is wrong with the length of a Unix socket's path, if anything.
pub fn socket_too_long(path: &Path) -> Option<String> {
    /// `sun_path` of Linux without its closing zero.
    const SOCKET_BYTES_MAX: usize = 107;
    (path.as_os_str().len() > SOCKET_BYTES_MAX).then(|| {
        format!(
            "{} has more than {SOCKET_BYTES_MAX} bytes, which no socket can have: choose a \
             shorter path",
            path.display()
        )
    })
}

fn quota(quota: &mut Section<'_, '_>) -> Quota {
    let poll_interval = quota.duration("poll_interval", "500ms", "100ms"..="5m");
    if poll_interval > POLL_INTERVAL_UNWARNED_MAX {
        let path = quota.at("poll_interval");
        let message = format!(
            "more than {}: a refusal that only the screen shows is \
             noticed that late; 500ms costs next to nothing",
            units::print_duration(POLL_INTERVAL_UNWARNED_MAX)
        );
        quota.findings.warn(&path, message);
    }
    for key in ["window_5h_threshold", "window_week_threshold"] {
        quota.deprecated(key, "no longer used: quota.preempt_at is the threshold now");
    }
    Quota {
        poll_interval,
        reactivate_cooldown: quota.duration("reactivate_cooldown", "5m", "0s"..="1d"),
        unknown_reset: quota.duration("unknown_reset", "30m", "1s"..="7d"),
        preempt_at: quota.unless_null("preempt_at", |quota| quota.read("preempt_at", share)),
        statusline: quota.flag("statusline", false),
        patterns: patterns(quota),
    }
}

fn share(node: &Node) -> Result<f64, String> {
    let value = match node {
        Node::Float(value) => *value,
        Node::Int(1) => 1.0,
        Node::Int(_) => f64::NAN,
        other => return Err(format!("expected a number, got {}", describe(other))),
    };
    if value > 0.0 && value <= 1.0 {
        return Ok(value);
    }
    Err(format!(
        "{} is no share: write more than 0 and at most 1, for example 0.95",
        describe(node)
    ))
}

fn patterns(quota: &mut Section<'_, '_>) -> Vec<String> {
    let mut patterns = Vec::new();
    for (at, node) in quota.items("patterns", PATTERNS_MAX) {
        match line_of_text(node).and_then(phrase) {
            Ok(text) => patterns.push(text),
            Err(message) => quota.findings.problem(&at, message),
        }
    }
    patterns
}

/// A phrase that would swap accounts on a text of the client that means no such thing is refused.
fn phrase(text: &str) -> Result<String, String> {
    let text = pattern::normal(text);
    if !(PATTERN_CHARS_MIN..=PATTERN_CHARS_MAX).contains(&text.chars().count()) {
        return Err(format!("a phrase has {PATTERN_CHARS_MIN} to {PATTERN_CHARS_MAX} characters"));
    }
    match pattern::harmless(&text) {
        Some(known) => Err(format!(
            "{text:?} would also match the client's own {known:?}, with which the quota is not \
             out: write more of the text that it is meant for"
        )),
        None => Ok(text),
    }
}

fn swap(swap: &mut Section<'_, '_>) -> Swap {
    Swap {
        stop_grace: swap.duration("stop_grace", "3s", "100ms"..="5m"),
        busy_grace: swap.duration("busy_grace", "10m", "0s"..="1d"),
        verify_timeout: swap.duration("verify_timeout", "30s", "1s"..="30m"),
        ramp_interval: swap.duration("ramp_interval", "2s", "0s"..="10m"),
        max_per_hour: swap.count("max_per_hour", 12, 1..=SWAPS_PER_HOUR_MAX),
        attended_grace: swap.duration("attended_grace", "30s", "0s"..="1h"),
    }
}

fn dispatcher(dispatcher: &mut Section<'_, '_>) -> Dispatcher {
    let mut trusted_uids = Vec::new();
    for (at, node) in dispatcher.items("trusted_uids", UIDS_MAX) {
        match whole_number(node, &(0..=u32::MAX - 1)) {
            Ok(uid) => trusted_uids.push(uid),
            Err(message) => dispatcher.findings.problem(&at, message),
        }
    }
    let text = dispatcher.text("prompt", prompt::DEFAULT);
    let prompt = Template::parse(&text).unwrap_or_else(|why| {
        dispatcher.problem("prompt", why);
        Template::parse(prompt::DEFAULT).expect("the default is good")
    });
    Dispatcher {
        projects_dir: dispatcher.path("projects_dir", "/srv/projects"),
        rescan_interval: dispatcher.duration("rescan_interval", "60s", "100ms"..="1h"),
        cooldown: dispatcher.duration("cooldown", "5s", "0s"..="1h"),
        per_project: dispatcher.count("per_project", 1, 1..=fleet::POOL_MAX),
        max_bytes: dispatcher.size("max_bytes", "1MiB", "1KiB"..="64MiB"),
        trusted_uids,
        prompt,
    }
}

/// `mcp_http.listen` of the older system serves when `http.listen` is absent.
fn http(root: &mut Section<'_, '_>) -> Http {
    let older = root.deprecated(
        "mcp_http",
        "no longer used, except that its listen serves when http.listen is absent: write http",
    );
    let older_path = root.at("mcp_http").key("listen");
    let older_listen = match older {
        Some(Node::Map(entries)) => entries.iter().find(|(name, _)| name == "listen"),
        _ => None,
    };
    root.section("http", |http| {
        let (path, listen) = match older_listen {
            Some((_, node)) if !http.has("listen") => {
                http.node("listen");
                (older_path, Some(node))
            }
            _ => (http.at("listen"), http.node("listen")),
        };
        let listen = match listen {
            None => Ok(DEFAULT_LISTEN.parse().ok()),
            Some(Node::Null) => Ok(None),
            Some(node) => address(node).map(Some),
        };
        let allow_remote = http.flag("allow_remote", false);
        let listen = listen.and_then(|listen| match listen {
            Some(address) if !address.ip().is_loopback() && !allow_remote => Err(format!(
                "{address} can be reached from other hosts: write 127.0.0.1, or set \
                 http.allow_remote: true behind a proxy that checks who asks"
            )),
            listen => Ok(listen),
        });
        Http {
            listen: listen.unwrap_or_else(|message| {
                http.findings.problem(&path, message);
                None
            }),
            allow_remote,
        }
    })
}

fn address(node: &Node) -> Result<SocketAddr, String> {
    let text = line_of_text(node)?;
    text.parse().map_err(|_| {
        format!("{text:?} is no address with a port: write \"{DEFAULT_LISTEN}\", or null for none")
    })
}
