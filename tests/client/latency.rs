//! From a refusal of the real client to the plan of a swap: how long it takes from the moment the
//! client gives its record, and from the one its screen shows it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::agent::now;
use crate::failover::{Daemon, STARTS, SWAPS, is_idle, write_config};
use crate::rig::Rig;
use crate::support::{PrivateTmux, eventually, journal_records};
use crate::typing::{screen, type_line};

/// Each refuses once; the last is where the conversation ends up.
const ACCOUNTS: [&str; 4] = ["latency1", "latency2", "latency3", "latency4"];
const BANNER: &str = "You've hit your";
const PLANNED_WITHIN_MS: i64 = 1_000;

/// In milliseconds since 1970.
struct Round {
    /// As the record says; the client takes its time to write it.
    recorded: i64,
    /// Seen in the file by then.
    written: i64,
    shown: i64,
    planned: i64,
}

/// Logged in, trusting the folder, without a refusal of an earlier run, and sharing conversations.
fn furnish(rig: &Rig, account: &str) {
    rig.log_in(account);
    rig.answer(account, &["ok"]);
    rig.share_projects(account);
}

/// When the client recorded each error of this conversation, by its own clock.
fn recorded_ms(rig: &Rig, conversation: &str) -> BTreeSet<i64> {
    let folders = fs::read_dir(rig.shared_projects()).unwrap();
    let name = format!("{conversation}.jsonl");
    let text = folders
        .filter_map(|folder| fs::read_to_string(folder.unwrap().path().join(&name)).ok())
        .next()
        .unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|record| record["isApiErrorMessage"] == true)
        .map(|record| rfc3339_ms(record["timestamp"].as_str().unwrap()))
        .collect()
}

fn rfc3339_ms(text: &str) -> i64 {
    let format = &time::format_description::well_known::Rfc3339;
    let nanos = time::OffsetDateTime::parse(text, format).unwrap().unix_timestamp_nanos();
    i64::try_from(nanos / 1_000_000).unwrap()
}

/// When each swap was planned, as the journal has it.
fn planned_ms(state_dir: &Path) -> BTreeSet<i64> {
    let records = journal_records(state_dir).into_iter();
    records
        .filter(|(_, record)| record["type"] == "swap_planned")
        .map(|(_, record)| record["at"].as_i64().unwrap())
        .collect()
}

#[test]
fn a_swap_is_planned_soon_after_the_client_is_refused() {
    let rig = Rig::up();
    for account in ACCOUNTS {
        furnish(&rig, account);
    }
    let tmux = PrivateTmux::new();
    let work = rig.work(&format!("latency-{}", std::process::id()));
    let config = write_config(&rig, &tmux, &work, &ACCOUNTS);
    let daemon = Daemon::start(&config, tmux.path().join("daemon.log"));
    let pane = eventually("the dedicated session", STARTS, || {
        let panes = tmux.output(&["list-panes", "-t", "=work-1:", "-F", "#{pane_id}"]);
        panes.status.success().then(|| String::from_utf8_lossy(&panes.stdout).trim().to_owned())
    });
    let start = format!(
        "CLAUDE_CONFIG_DIR={} {} --dangerously-skip-permissions",
        rig.home(ACCOUNTS[0]).display(),
        rig.client().display()
    );
    type_line(&tmux, &pane, &start);
    let mut rounds = Vec::new();
    for accounts in ACCOUNTS.windows(2) {
        let idle = || rig.session(accounts[0], &work).filter(is_idle);
        let session = eventually("an idle client on the next account", SWAPS, idle);
        let conversation = session["sessionId"].as_str().unwrap().to_owned();
        eventually("the swap before is over", SWAPS, || {
            (daemon.log().matches("phase=Done").count() == rounds.len()).then_some(())
        });
        rounds.push(refused_round(&rig, &tmux, &pane, accounts[0], &conversation, rounds.len()));
    }
    for (account, Round { recorded, written, shown, planned }) in ACCOUNTS.iter().zip(&rounds) {
        println!(
            "{account}: planned {} ms after the moment in the record, {} ms after it was in the \
             file, {} ms after the screen",
            planned - recorded,
            planned - written,
            planned - shown
        );
        let late = planned - recorded.min(shown);
        assert!((0..=PLANNED_WITHIN_MS).contains(&late), "{late} ms\n{}", daemon.log());
    }
}

/// The account refuses from now on, and the operator types something.
fn refused_round(
    rig: &Rig,
    tmux: &PrivateTmux,
    pane: &str,
    account: &str,
    conversation: &str,
    before: usize,
) -> Round {
    let state_dir = tmux.path().join("state");
    let banners = || screen(tmux, pane).matches(BANNER).count();
    let banners_before = banners();
    rig.answer(account, &["quota5h", "reset_in=7200"]);
    type_line(tmux, pane, "next step please");
    let (mut shown, mut written) = (None, None);
    eventually("the refusal on the screen, its record and the plan", SWAPS, || {
        if shown.is_none() && banners() > banners_before {
            shown = Some(now().0);
        }
        let recorded = recorded_ms(rig, conversation);
        if written.is_none() && recorded.len() > before {
            written = Some(now().0);
        }
        let planned = planned_ms(&state_dir);
        let planned = planned.last().filter(|_| planned.len() > before).copied();
        Some(Round {
            recorded: *recorded.last()?,
            written: written?,
            shown: shown?,
            planned: planned?,
        })
    })
}
