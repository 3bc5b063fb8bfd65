//! The prober with the real client: what one headless request comes to, what runs beside it, and
//! what stays of it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use claude_failover::clock::Clock;
use claude_failover::component::Component;
use claude_failover::config::Config;
use claude_failover::config::load::load;
use claude_failover::core::action::OrderId;
use claude_failover::core::event::{Event, ProbeEnd};
use claude_failover::prober::{self, Order, Settings};
use crossbeam_channel::{Receiver, unbounded};

use crate::agent::{now, word};
use crate::failover::write_config;
use crate::rig::Rig;
use crate::support::PrivateTmux;

const WAIT: Duration = Duration::from_secs(90);
/// The client retries for 180 s unless it is told otherwise.
const BOUNDED: Duration = Duration::from_secs(30);
const HOURS_2_MS: i64 = 7_200_000;
/// The client's figure is exact; the answer and our look at it are seconds apart.
const RESET_TOLERANCE_MS: i64 = 60_000;

struct Probing<'a> {
    rig: &'a Rig,
    account: &'a str,
    tmux: PrivateTmux,
    config: Arc<Config>,
    prober: Component<Order>,
    answers: Receiver<Event>,
}

impl<'a> Probing<'a> {
    /// On an account of its own, with hooks and instructions that must not run.
    fn of(rig: &'a Rig, account: &'a str, timeout: Duration) -> Self {
        let tmux = PrivateTmux::new();
        let ran = tmux.path().join("hooks-ran");
        let command = format!("echo ran >> {}", ran.display());
        let hook = serde_json::json!([{"hooks": [{"type": "command", "command": command}]}]);
        let hooks = ["SessionStart", "UserPromptSubmit", "Stop", "StopFailure", "SessionEnd"];
        let hooks: serde_json::Map<_, _> =
            hooks.into_iter().map(|name| (name.to_owned(), hook.clone())).collect();
        let settings = serde_json::json!({ "hooks": hooks, "verbose": true }).to_string();
        // No folder trusted but one that is not used: nobody must have trusted ours.
        rig.log_in_with(account, &rig.strange(account), &["--settings", &settings]);
        rig.share_projects(account);
        std::fs::write(rig.home(account).join("CLAUDE.md"), "Answer in verse.").unwrap();
        let path = write_config(rig, &tmux, &rig.work(account), &[account]);
        let config = Arc::new(load(&path).unwrap().config);
        std::fs::create_dir(&config.runtime_dir).unwrap();
        let (events, answers) = unbounded();
        let settings =
            Settings { config: config.clone(), clock: Clock::start(), zone: None, timeout };
        let prober = prober::spawn(settings, events).unwrap();
        Self { rig, account, tmux, config, prober, answers }
    }

    fn ask(&self, scenario: &[&str]) -> Result<ProbeEnd, String> {
        self.rig.answer(self.account, scenario);
        let (order, account) = (OrderId(1), self.account.parse().unwrap());
        self.prober.order(Order::Probe { order, account }).unwrap();
        match self.answers.recv_timeout(WAIT).unwrap() {
            Event::AccountProbed { order: OrderId(1), result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    /// As `word` has it for a refusal.
    fn says(&self, scenario: &[&str]) -> String {
        match self.ask(scenario) {
            Ok(ProbeEnd::Answered) => "answered".to_owned(),
            Ok(ProbeEnd::Refused(reading)) => word(&reading.verdict),
            Err(why) => why,
        }
    }

    /// No hook ran, and neither a conversation nor a running client is on record.
    fn check_traces(&self) {
        assert!(!self.tmux.path().join("hooks-ran").exists(), "a hook of the settings ran");
        let cwd = self.config.runtime_dir.join("probe");
        assert!(is_empty(&cwd));
        let home = self.rig.home(self.account);
        assert!(is_empty(&home.join("sessions")), "a session file is left");
        assert!(!home.join("session-env").exists() && !home.join("history.jsonl").exists());
        let folder: String = cwd
            .to_str()
            .unwrap()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let folder = self.rig.shared_projects().join(folder);
        assert!(!folder.exists(), "{} is left", folder.display());
    }
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none())
}

#[test]
fn an_account_answers_is_refused_and_answers_again() {
    let rig = Rig::up();
    let probing = Probing::of(&rig, "Probe1", WAIT);
    assert_eq!(probing.says(&["ok"]), "answered");
    for (scenario, expected) in [
        (&["quota5h", "reset_in=7200"][..], "exhausted five_hour"),
        (&["quota7d", "reset_in=200000"], "exhausted weekly"),
        (&["quota_spend", "reset_in=7200"], "spend_limit"),
        (&["quota_noclaim", "reset_in=7200"], "exhausted unnamed"),
        (&["err403_org"], "auth_failed"),
        (&["ok"], "answered"),
    ] {
        assert_eq!(probing.says(scenario), expected, "{scenario:?}");
    }
    let asked_at = now();
    let Ok(ProbeEnd::Refused(reading)) = probing.ask(&["quota5h", "reset_in=7200"]) else {
        panic!("not refused");
    };
    let reset = reading.verdict.resets_at().expect("the client says when");
    let off_ms = reset.0 - (asked_at.0 + HOURS_2_MS);
    assert!(off_ms.abs() < RESET_TOLERANCE_MS, "off by {off_ms} ms: {reading:?}");
    probing.check_traces();
}

#[test]
fn a_dead_login_is_told() {
    let rig = Rig::up();
    let probing = Probing::of(&rig, "Probe2", WAIT);
    assert_eq!(probing.says(&["err401_oauth", "refresh=deny"]), "auth_failed");
    probing.check_traces();
}

#[test]
fn a_login_that_has_to_be_refreshed_answers() {
    let rig = Rig::up();
    let probing = Probing::of(&rig, "Probe3", WAIT);
    assert_eq!(probing.says(&["err401_oauth"]), "answered");
}

#[test]
fn faults_of_the_server_are_no_word_about_the_account_and_soon_told() {
    let rig = Rig::up();
    let probing = Probing::of(&rig, "Probe4", WAIT);
    for (scenario, why) in [
        ("err500", "the server failed"),
        ("err529", "the server failed"),
        ("err429", "it was throttled"),
        ("drop", "the server failed"),
        ("quota_opus", "one model's limit refused it"),
    ] {
        let started = Instant::now();
        let error = probing.ask(&[scenario]).unwrap_err();
        assert!(error.starts_with(why), "{scenario}: {error}");
        assert!(started.elapsed() < BOUNDED, "{scenario}: {:?}", started.elapsed());
    }
    probing.check_traces();
}

/// An end that it did not see coming would leave its session file.
#[test]
fn an_api_that_is_silent_is_left_and_the_client_tidies_up() {
    let rig = Rig::up();
    let probing = Probing::of(&rig, "Probe5", Duration::from_secs(10));
    let error = probing.ask(&["hang"]).unwrap_err();
    assert!(error.contains("did not end within 10s"), "{error}");
    assert!(rig.home("Probe5").join("sessions").exists(), "it was on record meanwhile");
    probing.check_traces();
}
