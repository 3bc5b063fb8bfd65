//! The prober with scripted clients: real processes, real homes, its own directory for each test.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use claude_failover::clock::Clock;
use claude_failover::component::Component;
use claude_failover::config::Config;
use claude_failover::core::action::OrderId;
use claude_failover::core::event::{Event, ProbeEnd};
use claude_failover::ids::AccountName;
use claude_failover::prober::{self, Order, Settings};
use claude_failover::process::run::OUTPUT_BYTES_MAX;
use claude_failover::quota::verdict::{LimitKind, Reading, Verdict};
use crossbeam_channel::{Receiver, unbounded};

use crate::support::eventually;
use crate::switcher::config;

const WAIT: Duration = Duration::from_secs(20);
/// Longer than any script here that ends by itself.
const PATIENT: Duration = Duration::from_secs(15);
/// Enough for a script to start on a busy machine.
const SHORT: Duration = Duration::from_secs(2);

struct Place {
    dir: tempfile::TempDir,
    config: Config,
}

impl Place {
    /// A client of this version that carries out `body` when it is asked something.
    fn with_version(version: &str, body: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        for account in &config.accounts {
            std::fs::create_dir(&account.home).unwrap();
        }
        std::fs::create_dir(&config.runtime_dir).unwrap();
        let client = dir.path().join("client");
        let text = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && {{ echo '{version} (Claude Code)'; exit; }}\n\
             at='{}'\n{body}\n",
            dir.path().display()
        );
        std::fs::write(&client, text).unwrap();
        std::fs::set_permissions(&client, PermissionsExt::from_mode(0o755)).unwrap();
        config.agent.command =
            vec![client.display().to_string(), "--dangerously-skip-permissions".to_owned()];
        Self { dir, config }
    }

    fn new(body: &str) -> Self {
        Self::with_version("2.1.330", body)
    }

    /// A client that prints this and ends with this status.
    fn saying(output: &str, status: i32) -> Self {
        let place = Self::new(&format!("cat \"$at/output\"; exit {status}"));
        std::fs::write(place.path("output"), output).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn home(&self) -> &Path {
        &self.config.accounts[0].home
    }

    fn name(&self) -> AccountName {
        self.config.accounts[0].name.clone()
    }

    fn prober(&self, timeout: Duration) -> (Component<Order>, Receiver<Event>) {
        let (events, answers) = unbounded();
        let settings = Settings {
            config: Arc::new(self.config.clone()),
            clock: Clock::start(),
            zone: None,
            timeout,
        };
        (prober::spawn(settings, events).unwrap(), answers)
    }

    fn ask_within(&self, timeout: Duration) -> Result<ProbeEnd, String> {
        let (prober, answers) = self.prober(timeout);
        ask(&prober, &answers, 7, &self.name())
    }

    fn ask(&self) -> Result<ProbeEnd, String> {
        self.ask_within(PATIENT)
    }

    #[track_caller]
    fn refused(&self) -> Reading {
        match self.ask() {
            Ok(ProbeEnd::Refused(reading)) => reading,
            other => panic!("{other:?}"),
        }
    }

    /// What was noted under this name.
    fn noted(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn has_noted(&self, name: &str) -> bool {
        self.path(name).exists()
    }
}

/// The one answer to one question.
fn ask(
    prober: &Component<Order>,
    answers: &Receiver<Event>,
    number: u64,
    account: &AccountName,
) -> Result<ProbeEnd, String> {
    let order = OrderId(number);
    prober.order(Order::Probe { order, account: account.clone() }).unwrap();
    match answers.recv_timeout(WAIT).unwrap() {
        Event::AccountProbed { order: answered, account: whose, result } => {
            assert_eq!((answered, &whose), (order, account));
            result
        }
        other => panic!("{other:?}"),
    }
}

/// As 2.1.330 prints it for an answer.
fn answer() -> String {
    serde_json::json!([
        {"type": "system", "subtype": "init"},
        {"type": "assistant", "message": {"model": "claude-haiku-5-5",
            "content": [{"type": "text", "text": "Yes."}]}},
        {"type": "result", "subtype": "success", "is_error": false, "result": "Yes.",
            "usage": {"output_tokens": 4}},
    ])
    .to_string()
}

/// As 2.1.250 prints it for an error of the API.
fn failure(error: &str, text: &str) -> String {
    serde_json::json!([
        {"type": "system", "subtype": "init"},
        {"type": "assistant", "error": error, "message": {"model": "<synthetic>",
            "content": [{"type": "text", "text": text}]}},
        {"type": "result", "subtype": "success", "is_error": true, "result": text,
            "usage": {"output_tokens": 0}},
    ])
    .to_string()
}

/// A living process; a zombie is none.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[test]
fn an_answer_is_an_answer() {
    assert_eq!(Place::saying(&answer(), 0).ask(), Ok(ProbeEnd::Answered));
}

#[test]
fn refusals_of_the_plan_and_dead_logins_are_told_with_their_reading() {
    for (error, text, kind) in [
        ("rate_limit", "You've hit your 5-hour limit · resets 3:18pm (UTC)", "five hours"),
        ("rate_limit", "You've hit your session limit · resets 3:18pm (UTC)", "five hours"),
        ("rate_limit", "You've hit your weekly limit · resets Nov 28, 8:49pm (UTC)", "weekly"),
        ("rate_limit", "You've hit your limit · resets 4:18pm (UTC)", "unnamed"),
        ("rate_limit", "Limit reached · resets 3:20pm (UTC) · /upgrade to Max 20x", "unnamed"),
        ("rate_limit", "You've hit your monthly spend limit · raise it at claude.ai", "spend"),
        (
            "authentication_failed",
            "Failed to authenticate: OAuth session expired and could not be refreshed",
            "login",
        ),
        ("authentication_failed", "Not logged in · Please run /login", "login"),
        ("oauth_org_not_allowed", "Your organization has disabled Claude subscription", "login"),
        ("billing_error", "Credit balance is too low", "login"),
    ] {
        let reading = Place::saying(&failure(error, text), 1).refused();
        let found = match reading.verdict {
            Verdict::Exhausted { limit: LimitKind::FiveHour, resets_at: Some(_) } => "five hours",
            Verdict::Exhausted { limit: LimitKind::Weekly, resets_at: Some(_) } => "weekly",
            Verdict::Exhausted { limit: LimitKind::Unnamed, resets_at: Some(_) } => "unnamed",
            Verdict::SpendLimit { .. } => "spend",
            Verdict::AuthFailed => "login",
            ref other => panic!("{text}: {other:?}"),
        };
        assert_eq!(found, kind, "{text}");
        assert!(text.starts_with(&reading.row) || reading.row.starts_with(text), "{reading:?}");
    }
}

#[test]
fn what_passes_tells_nothing_about_the_account() {
    let throttled = "API Error: Server is temporarily limiting requests (not your usage limit)";
    for (error, text, why) in [
        ("server_error", "API Error: 500 Internal server error.", "the server failed"),
        ("server_error", "API Error: Connection dropped (ECONNRESET)", "the server failed"),
        ("rate_limit", throttled, "it was throttled"),
        ("rate_limit", "You've hit your Opus limit · resets 3pm (UTC)", "one model's limit"),
        ("model_not_found", "There's an issue with the selected model", "not the account's"),
        ("invalid_request", "API Error: 400 something is wrong", "not the account's"),
    ] {
        let error = Place::saying(&failure(error, text), 1).ask().unwrap_err();
        assert!(error.contains(why) && error.contains(&text[..20]), "{error}");
    }
}

#[test]
fn what_is_no_answer_of_the_client_is_told_as_it_is() {
    for (body, part) in [
        ("echo 'it is broken' >&2; exit 1", "it is broken"),
        ("echo \"error: unknown option '--tools'\" >&2; exit 1", "unknown option"),
        ("echo Execution error; exit 0", "Execution error"),
        ("exit 1", "exit status: 1"),
        ("exit 0", "exit status: 0"),
        ("kill -9 $$", "signal: 9"),
        ("printf '\\377\\000[}'", "exit status: 0"),
        ("echo '[{\"type\":\"result\",\"is_error\":false}]'", "exit status: 0"),
    ] {
        let error = Place::new(body).ask().unwrap_err();
        assert!(error.contains(part), "{body}: {error}");
    }
    let error = Place::saying(&answer(), 3).ask().unwrap_err();
    assert!(error.contains("exit status: 3"), "said well and ended badly: {error}");
}

#[test]
fn what_stands_in_the_way_is_told_before_anybody_is_asked() {
    let mut place = Place::new(": > \"$at/asked\"");
    let (prober, answers) = place.prober(PATIENT);
    let nobody = ask(&prober, &answers, 1, &"nobody".parse().unwrap()).unwrap_err();
    assert!(nobody.contains("no account nobody"), "{nobody}");

    std::fs::remove_dir(place.home()).unwrap();
    let homeless = ask(&prober, &answers, 2, &place.name()).unwrap_err();
    assert!(homeless.contains("log in once with CLAUDE_CONFIG_DIR="), "{homeless}");
    std::fs::create_dir(place.home()).unwrap();

    place.config.agent.command = vec!["no-such-client".to_owned()];
    prober.order(Order::Reconfigure(Arc::new(place.config.clone()))).unwrap();
    let missing = ask(&prober, &answers, 3, &place.name()).unwrap_err();
    assert!(missing.contains("agent.command: no program"), "{missing}");
    assert!(!place.has_noted("asked"));

    for version in ["2.0.69", "1.0.128", "nonsense"] {
        let place = Place::with_version(version, ": > \"$at/asked\"");
        let error = place.ask().unwrap_err();
        assert!(error.contains("2.0.70 or later is needed"), "{error}");
        assert!(!place.has_noted("asked"), "{version}");
    }
    let oldest = Place::with_version("2.0.70", "exit 5").ask().unwrap_err();
    assert!(oldest.contains("exit status: 5"), "{oldest}");
}

#[test]
fn one_that_hangs_is_ended_gently_and_then_with_all_it_started() {
    let place = Place::new(
        "sleep 1000 & echo $! > \"$at/child\"\n\
         (trap '' TERM HUP; sleep 1000 & echo $! > \"$at/grandchild\"; wait) &\n\
         trap 'echo tidy > \"$at/tidied\"; exit 143' TERM\n\
         while [ ! -s \"$at/grandchild\" ]; do sleep 0.01; done\n\
         echo $$ > \"$at/client\"; wait",
    );
    let error = place.ask_within(SHORT).unwrap_err();
    assert!(error.contains("did not end within 2s"), "{error}");
    assert_eq!(place.noted("tidied"), "tidy\n");
    for name in ["client", "child", "grandchild"] {
        let pid = place.noted(name);
        eventually(name, WAIT, || (!lives(&pid)).then_some(()));
    }
}

#[test]
fn a_deaf_one_is_killed() {
    let place = Place::new("trap '' TERM; echo $$ > \"$at/client\"; while :; do sleep 0.02; done");
    let started = Instant::now();
    let error = place.ask_within(SHORT).unwrap_err();
    assert!(error.contains("did not end within"), "{error}");
    assert!(started.elapsed() < WAIT / 2, "{:?}", started.elapsed());
    assert!(!lives(&place.noted("client")));
}

#[test]
fn one_that_floods_is_ended() {
    for target in ["", " >&2"] {
        let place = Place::new(&format!("echo $$ > \"$at/client\"; exec yes{target}"));
        let error = place.ask().unwrap_err();
        assert!(error.contains(&format!("more than {OUTPUT_BYTES_MAX} bytes")), "{error}");
        assert!(!lives(&place.noted("client")));
    }
}

#[test]
fn our_end_waits_for_no_answer() {
    let place = Place::new("echo $$ > \"$at/client\"; exec sleep 1000");
    let (prober, answers) = place.prober(10 * WAIT);
    for number in 1..=3 {
        let (order, account) = (OrderId(number), place.name());
        prober.order(Order::Probe { order, account }).unwrap();
    }
    let client = eventually("it is being asked", WAIT, || {
        std::fs::read_to_string(place.path("client")).ok().filter(|pid| pid.ends_with('\n'))
    });
    let started = Instant::now();
    drop(prober);
    assert!(started.elapsed() < WAIT / 2, "{:?}", started.elapsed());
    assert!(!lives(&client));
    let said: Vec<Event> = answers.try_iter().collect();
    let exited = matches!(said.last(), Some(Event::ComponentExited { error: None, .. }));
    assert!(exited && said.len() <= 2, "the questions behind it are not asked: {said:?}");
}

#[test]
fn orders_that_come_meanwhile_are_carried_out_in_their_order() {
    let place = Place::new(
        "echo x >> \"$at/count\"; while [ ! -e \"$at/go\" ]; do sleep 0.01; done\n\
         cat \"$at/output\"",
    );
    std::fs::write(place.path("output"), answer()).unwrap();
    let (prober, answers) = place.prober(PATIENT);
    let probe = |number| Order::Probe { order: OrderId(number), account: place.name() };
    prober.order(probe(1)).unwrap();
    eventually("the first question", WAIT, || place.has_noted("count").then_some(()));
    prober.order(probe(2)).unwrap();
    let mut other = place.config.clone();
    other.accounts.remove(0);
    prober.order(Order::Reconfigure(Arc::new(other))).unwrap();
    prober.order(probe(3)).unwrap();
    // Longer than the prober takes to look into its inbox while the client runs.
    eventually("half a second", WAIT, {
        let started = Instant::now();
        move || (started.elapsed() > Duration::from_millis(500)).then_some(())
    });
    std::fs::write(place.path("go"), "").unwrap();
    let mut answered = Vec::new();
    for _ in 1..=3 {
        match answers.recv_timeout(WAIT).unwrap() {
            Event::AccountProbed { order, result, .. } => answered.push((order.0, result.is_ok())),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(answered, [(1, true), (2, true), (3, false)]);
    assert_eq!(place.noted("count"), "x\nx\n");
}

/// The environment of this test holds what cargo and the machine put there; `CARGO_MANIFEST_DIR`
/// is one that is surely set, and no agent gets it.
#[test]
fn the_environment_is_that_of_agents_and_the_directory_ours() {
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let mut place = Place::new(
        "env > \"$at/env\"; pwd > \"$at/pwd\"; for arg; do echo \"$arg\"; done > \"$at/args\"\n\
         cat > \"$at/stdin\"; cat \"$at/output\"",
    );
    std::fs::write(place.path("output"), answer()).unwrap();
    for (name, value) in [
        ("HTTPS_PROXY", "http://127.0.0.1:9"),
        ("ANTHROPIC_API_KEY", "sk-secret"),
        ("CLAUDE_CODE_OAUTH_TOKEN", "sk-secret"),
        ("CLAUDE_CONFIG_DIR", "/elsewhere"),
        ("CLAUDE_CODE_MAX_RETRIES", "99"),
        ("TMUX_PANE", "%1"),
        ("CLAUDE_CODE_RETRY_WATCHDOG", "1"),
    ] {
        place.config.agent.env.insert(name.to_owned(), value.to_owned());
    }
    assert_eq!(place.ask(), Ok(ProbeEnd::Answered));

    let environment = place.noted("env");
    let has = |row: &str| environment.lines().any(|line| line == row);
    assert!(has(&format!("CLAUDE_CONFIG_DIR={}", place.home().display())), "{environment}");
    for row in ["HTTPS_PROXY=http://127.0.0.1:9", "CLAUDE_CODE_MAX_RETRIES=2"] {
        assert!(has(row), "{environment}");
    }
    for part in ["sk-secret", "CARGO_MANIFEST_DIR", "TMUX", "WATCHDOG"] {
        assert!(!environment.contains(part), "{part} in {environment}");
    }

    let cwd = place.config.runtime_dir.join("probe");
    assert_eq!(Path::new(place.noted("pwd").trim_end()), cwd);
    let mode = std::fs::metadata(&cwd).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(place.noted("stdin"), "");

    let args = place.noted("args");
    let args: Vec<&str> = args.lines().collect();
    assert!(!args.contains(&"--dangerously-skip-permissions"), "{args:?}");
    assert!(args.contains(&"--no-session-persistence") && args.last() == Some(&"Ready?"));
}

#[test]
fn nothing_is_left_behind() {
    let place = Place::saying(&answer(), 0);
    let listed = |dir: &Path| {
        let mut names: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let before = listed(place.dir.path());
    assert_eq!(place.ask(), Ok(ProbeEnd::Answered));
    assert_eq!(listed(place.dir.path()), before);
    assert_eq!(listed(place.home()), Vec::<String>::new());
    assert_eq!(listed(&place.config.runtime_dir), ["client-version.json", "probe"]);
    assert_eq!(listed(&place.config.runtime_dir.join("probe")), Vec::<String>::new());
}

#[test]
fn a_directory_that_others_could_have_made_is_refused() {
    let place = Place::new(": > \"$at/asked\"");
    std::os::unix::fs::symlink(place.home(), place.config.runtime_dir.join("probe")).unwrap();
    let error = place.ask().unwrap_err();
    assert!(error.contains("run/probe") && !place.has_noted("asked"), "{error}");
}
