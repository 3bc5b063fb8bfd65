//! A text as configuration, what is made of a good one, and the operator's rules for the guard.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use claude_failover::agent_settings;
use claude_failover::agent_settings::client_version::ClientVersion;
use claude_failover::config::load::{Base, Loaded, Problem, parse};
use claude_failover::config::reload::summary;
use claude_failover::config::{Autonomous, Config, Group};
use claude_failover::guard::rules::Rules;
use claude_failover::harmless::is_plain;
use claude_failover::task::prompt::Facts;
use serde_json::Value;

use crate::fuzz::target::{hash, words_of};

const EXAMPLE: &str = include_str!("../../etc/config.example.yaml");
const PREDECESSOR: &str = include_str!("../it/fixtures/predecessor.yaml");
/// One configuration each, between lines of `===`.
const FILES: &str = include_str!("corpus/configs.yaml");
const RULES: &str = include_str!("corpus/rules.yaml");

/// A hundred, and that there are more.
const PROBLEMS_MAX: usize = 101;
/// A word that a shell would take apart.
const LAUNCHER: &str = "/opt/it's here/claude-failover";

pub const WORDS: &[&str] = &[
    "accounts:",
    "name: a",
    "home: ~/a",
    "priority: 1",
    "link: ~/.claude\n",
    "state_dir: /var/lib/x\n",
    "runtime_dir: /run/x\n",
    "pool:\n",
    "  autonomous:",
    "  dedicated:",
    "prefix: \"ccl-auto-\"",
    "start_index: 10",
    "min: 3",
    "max: 3",
    "workdir: ~",
    "project: /srv/a",
    "nudge: go on",
    "agent:\n",
    "command: [claude, --print]",
    "env: {A: \"b\"}",
    "GITHUB_TOKEN: x",
    "tmux:\n",
    "socket: null",
    "quota:\n",
    "preempt_at: 0.95",
    "patterns: [usage limit is gone]",
    "swap:\n",
    "dispatcher:\n",
    "trusted_uids: [0]",
    "prompt: \"Read {path}, {done}, {failed}\"",
    "notifications:\n",
    "telegram:",
    "webhook: {url: \"https://a.example/x\"}",
    "quiet_hours: \"23:00-07:00\"",
    "http: {listen: null}",
    "http: {listen: \"[::1]:1\"}",
    "allow_remote: true",
    "rules:\n",
    "- deny: ",
    "- allow: ",
    "30s",
    "1h30m",
    "18446744073709551615d",
    "64MiB",
    "4294967295",
    "-1",
    "1e999",
    ".nan",
    "~",
    "null",
    "&a ",
    "*a",
    "<<: *a",
    "!tag ",
    "---\n",
    "...\n",
    "- ",
    "? ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "|\n  ",
    ">-\n",
    "\"",
    "'",
    "\\u202e",
    "\\x1b[31m",
    "\\0",
    "\u{1b}]0;x\u{7}",
    "\u{202e}",
    "\u{2028}",
    "\u{85}",
    "\u{feff}",
    "\t",
    "\r\n",
    "/../",
    "#{pid}",
    "'; rm -rf /'",
];

pub fn corpus() -> Vec<Vec<u8>> {
    let pieces = FILES.split("===\n").chain([EXAMPLE, PREDECESSOR]);
    pieces.map(|text| text.as_bytes().to_vec()).collect()
}

pub fn rules_corpus() -> Vec<Vec<u8>> {
    RULES.split("===\n").map(|text| text.as_bytes().to_vec()).collect()
}

pub fn read(input: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(input);
    let base = Base::new("/home/u");
    match parse(&text, &base) {
        Ok(loaded) => {
            assert_eq!(parse(&text, &base).as_ref(), Ok(&loaded), "read twice");
            good(&loaded)
        }
        Err(problems) => bad(&text, &problems),
    }
}

/// All problems are told, each as one line that a terminal can be given, where it stands.
fn bad(text: &str, problems: &[Problem]) -> u64 {
    assert!((1..=PROBLEMS_MAX).contains(&problems.len()), "{} problems", problems.len());
    // Everything that YAML 1.1 has for a line break.
    let is_break = |c: &char| ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'].contains(c);
    // What is missing at the end is missed on the line after it.
    let lines = text.chars().filter(is_break).count() + 2;
    for problem in problems {
        plain(&problem.in_file(Path::new("c.yaml")));
        assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{problem}");
    }
    let first = &problems[0];
    hash(&(words_of(&first.message), first.line.is_some(), problems.len().min(3)))
}

fn good(loaded: &Loaded) -> u64 {
    let config = &loaded.config;
    loaded.warnings.iter().for_each(|warning| plain(warning));
    plain(&summary(config));
    accounts(config);
    sessions(config);
    settings(config);
    assert_eq!(config.restart_keys(config), [""; 0]);
    for word in &config.agent.command {
        plain(word);
    }
    for value in config.agent.env.values() {
        assert!(!value.contains(['\0', '\n']), "{value:?}");
    }
    let facts = Facts {
        id: &"t-1".parse().unwrap(),
        title: "a\ntitle \u{1b}[0m",
        path: Path::new("/srv/a b"),
        done: Path::new("/run/d\n"),
        failed: Path::new("/run/f"),
    };
    plain(&config.dispatcher.prompt.line(&facts));
    let notifications = &config.notifications;
    hash(&(
        config.accounts.len().min(3),
        config.pool.dedicated.len().min(3),
        config.pool.autonomous.is_some(),
        (config.agent.guard, config.agent.env.len().min(2), config.agent.command.len().min(3)),
        (notifications.telegram.is_some(), notifications.resend.is_some()),
        (notifications.webhook.is_some(), notifications.time_zone.is_some()),
        (config.http.listen.is_some(), config.tmux.socket.is_some()),
        (config.quota.preempt_at.is_some(), config.quota.patterns.len().min(2)),
        loaded.warnings.iter().map(|warning| words_of(warning)).collect::<BTreeSet<_>>(),
    ))
}

fn accounts(config: &Config) {
    let accounts = &config.accounts;
    assert!(!accounts.is_empty(), "nobody to work on");
    assert!(accounts.is_sorted_by_key(|account| account.priority));
    let names: BTreeSet<_> = accounts.iter().map(|account| &account.name).collect();
    let homes: BTreeSet<_> = accounts.iter().map(|account| &account.home).collect();
    assert_eq!((names.len(), homes.len()), (accounts.len(), accounts.len()), "two are one");
    assert!(!homes.contains(&config.link), "the link is a home");
    assert!(config.selection.pin.as_ref().is_none_or(|pin| names.contains(pin)));
    let own = [&config.link, &config.state_dir, &config.runtime_dir, &config.pool.shared.projects];
    for path in homes.into_iter().chain(own).chain([&config.watcher.done_signal_dir]) {
        let is_plain = path.components().all(|part| part != Component::ParentDir);
        assert!(path.is_absolute() && is_plain, "{path:?}");
    }
}

/// Each session has one name, one group and one place.
fn sessions(config: &Config) {
    let desired = config.desired_sessions();
    let names: BTreeSet<_> = desired.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), desired.len(), "{desired:?}");
    for (name, dir) in &desired {
        assert_eq!(config.workdir(name).as_ref(), Some(dir));
        assert!(dir.is_absolute(), "{dir:?}");
    }
    for name in config.pool.autonomous.iter().flat_map(Autonomous::names) {
        assert_eq!(config.group(&name), Some(Group::Pool), "{name}");
        assert_eq!(config.dedicated(&name), None);
    }
    for session in &config.pool.dedicated {
        assert_eq!(config.group(&session.name), Some(Group::Dedicated));
    }
}

/// What agents are launched with: JSON, whose commands a shell takes apart as they were meant.
fn settings(config: &Config) {
    let launcher = Path::new(LAUNCHER);
    let guarded = agent_settings::guarded_text(launcher, config, ClientVersion::Unknown).unwrap();
    let settings: Value = serde_json::from_str(&guarded).unwrap();
    let command = |hook: &str| {
        let text = settings["hooks"][hook][0]["hooks"][0]["command"].as_str().unwrap();
        shell_words(text)
    };
    let runtime_dir = config.runtime_dir.to_str().unwrap();
    assert_eq!(command("Stop"), [LAUNCHER, "hook", "--runtime-dir", runtime_dir]);
    let guard = command("PreToolUse");
    assert_eq!(guard[..2], [LAUNCHER, "guard"]);
    assert_eq!(guard[guard.len() - 3..], ["||", "exit", "2"]);
    let options = &guard[2..guard.len() - 3];
    assert!(options.len().is_multiple_of(2), "{guard:?}");
    for option in options.chunks(2) {
        assert!(["--closed", "--open", "--rules"].contains(&&*option[0]), "{guard:?}");
        assert!(option[1].starts_with('/'), "{guard:?}");
    }
    let closed = |path: &Path| options.chunks(2).any(|option| Path::new(&option[1]) == path);
    assert!(config.accounts.iter().all(|account| closed(&account.home)), "{guard:?}");
}

/// Words as a shell has them that knows spaces, `'…'` and `\'` alone.
fn shell_words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let word = words.last_mut().unwrap();
        match c {
            '\'' => word.extend(chars.by_ref().take_while(|c| *c != '\'')),
            '\\' => word.extend(chars.next()),
            ' ' => words.push(String::new()),
            c => {
                assert!(c.is_ascii_alphanumeric() || "-|/.".contains(c), "{c:?} in {text:?}");
                word.push(c);
            }
        }
    }
    words
}

/// The operator's own file of the guard: rules, or one line that says what is wrong.
pub fn read_rules(input: &[u8]) -> u64 {
    match Rules::load(Some(&String::from_utf8_lossy(input))) {
        Ok(rules) => hash(&format!("{rules:?}").len()),
        Err(why) => {
            assert!(!why.is_empty());
            plain(&why);
            hash(&words_of(&why))
        }
    }
}

#[track_caller]
fn plain(line: &str) {
    assert!(line.chars().all(is_plain), "{line:?}");
}
