//! `GET /metrics`: the snapshot in Prometheus' text format. What is gauged comes from the document of
//! `/status`, what is counted from [`crate::snapshot::figures`].
//!
//! A name, once released, stays. Labels have few values: accounts, groups, states and kinds, never
//! sessions, tasks or texts. Counters begin at the daemon's start and show all their values from
//! then on, so that the first increase is seen.

mod fleet;
pub mod text;

use std::str::FromStr as _;
use std::time::Duration;

use serde_json::Value;

use crate::moment::Wall;
use crate::snapshot::figures::Driver;
use crate::snapshot::metrics::text::{Kind, Text, count, seconds, truth};
use crate::snapshot::tally::{Lengths, MOVE_ENDS, OUTCOMES, SWAP_BOUNDS_MS, TRIGGERS, Tally};
use crate::snapshot::{STATES, Snapshot};

/// All but what concerns the process, which its owner adds.
pub fn metrics(snapshot: &Snapshot) -> Text {
    let Snapshot { status, figures, .. } = snapshot;
    let mut text = Text::default();
    house(&mut text, snapshot);
    fleet::accounts(&mut text, status, &figures.tally);
    parked(&mut text, status, &figures.tally);
    swaps(&mut text, status, &figures.tally);
    fleet::sessions(&mut text, status);
    moves(&mut text, &figures.tally);
    fleet::tasks(&mut text, status, &figures.tally);
    fleet::channels(&mut text, status);
    driver(&mut text, &figures.driver);
    text
}

fn house(text: &mut Text, snapshot: &Snapshot) {
    let Snapshot { health, status, figures, .. } = snapshot;
    let version = status["daemon"]["version"].as_str().unwrap_or_default();
    let help = "Always 1; the version of the daemon is in the label.";
    text.family("claude_failover_build_info", Kind::Gauge, help)
        .sample(&[("version", version)], 1.0);

    let help =
        "1 for the state that the daemon is in, 0 for the others; see etc/reference.md, Status.";
    let mut family = text.family("claude_failover_state", Kind::Gauge, help);
    let new = (!STATES.contains(&health.state.as_str())).then_some(health.state.as_str());
    for state in STATES.into_iter().chain(new) {
        family.sample(&[("state", state)], truth(state == health.state));
    }
    let help = "Whether /health answers 200: 0 when stuck, a component dead or tmux unreachable.";
    text.gauge("claude_failover_healthy", truth(health.ok), help);
    let help = "Whether the tmux server answers.";
    text.gauge("claude_failover_terminal_up", truth(figures.terminal_up), help);
    let help = "Times that the tmux server went out of reach, since the daemon's start.";
    let losses = figures.driver.terminal_losses;
    text.counter("claude_failover_terminal_losses_total", losses, help);
    let help = "Threads of the daemon that have ended although they must not.";
    text.gauge("claude_failover_components_dead", length(&status["dead_components"]), help);
    let help = "Agents outside the configured sessions that follow the link.";
    text.gauge("claude_failover_linked_foreign_agents", number(&status["linked_foreign"]), help);
}

fn parked(text: &mut Text, status: &Value, tally: &Tally) {
    let help = "Whether nobody can work until an account comes back.";
    text.gauge("claude_failover_parked", truth(!status["parked"].is_null()), help);
    let help = "When the first account comes back; only while parked, and if any does by itself.";
    let until = moment(&status["parked"]["until"]);
    text.gauge_if("claude_failover_parked_until_timestamp_seconds", until, help);
    let at = status["at"].as_str().and_then(|at| Wall::from_str(at).ok()).unwrap_or_default();
    let help = "Time in which nobody could work, since the daemon's start, with what goes on.";
    text.family("claude_failover_parked_seconds_total", Kind::Counter, help)
        .sample(&[], seconds(tally.parked_until(at)));
    let help = "Times that no account could be taken, since the daemon's start.";
    text.counter("claude_failover_parkings_total", tally.parkings, help);
}

fn swaps(text: &mut Text, status: &Value, tally: &Tally) {
    let help = "Swaps that have ended, since the daemon's start.";
    let mut family = text.family("claude_failover_swaps_total", Kind::Counter, help);
    for outcome in OUTCOMES {
        for trigger in TRIGGERS {
            let ended = tally.swaps.get(&(outcome, trigger)).copied().unwrap_or(0);
            family.sample(&[("outcome", outcome), ("trigger", trigger)], count(ended));
        }
    }
    let help = "From the decision to swap to its end, for swaps since the daemon's start.";
    lengths(text, "claude_failover_swap_duration_seconds", &tally.swap_lengths, help);
    let help = "From the decision to swap to the start of the last agent that went along at once, \
        for swaps since the daemon's start.";
    lengths(text, "claude_failover_swap_relaunch_duration_seconds", &tally.relaunch_lengths, help);
    let help = "When the last swap ended; nothing before the first one on record.";
    let last = moment(&status["last_swap_at"]);
    text.gauge_if("claude_failover_last_swap_timestamp_seconds", last, help);
    let help = "When the swap that is open was planned; nothing while none is.";
    let planned = moment(&status["swap"]["open"]["planned_at"]);
    text.gauge_if("claude_failover_open_swap_planned_timestamp_seconds", planned, help);
}

fn lengths(text: &mut Text, name: &str, lengths: &Lengths, help: &str) {
    let mut family = text.family(name, Kind::Histogram, help);
    let mut below = 0;
    for (bound_ms, within) in SWAP_BOUNDS_MS.into_iter().zip(lengths.counts) {
        below += within;
        let bound = seconds(Duration::from_millis(bound_ms)).to_string();
        family.part("_bucket", &[("le", &bound)], count(below));
    }
    family.part("_bucket", &[("le", "+Inf")], count(lengths.count));
    family.part("_sum", &[], seconds(lengths.sum));
    family.part("_count", &[], count(lengths.count));
}

fn moves(text: &mut Text, tally: &Tally) {
    let help = "Agents that were taken along by a swap, or back to life, by how that ended, since \
        the daemon's start.";
    let mut family = text.family("claude_failover_moves_total", Kind::Counter, help);
    for outcome in MOVE_ENDS {
        let ended = tally.moves.get(outcome).copied().unwrap_or(0);
        family.sample(&[("outcome", outcome)], count(ended));
    }
    let help = "Sessions that were made, since the daemon's start.";
    text.counter("claude_failover_sessions_created_total", tally.sessions_created, help);
    let help = "Sessions that were lost, since the daemon's start.";
    text.counter("claude_failover_sessions_lost_total", tally.sessions_lost, help);
}

fn driver(text: &mut Text, driver: &Driver) {
    let help = "Events that wait for the coordinator; above 100000 the daemon ends.";
    let waiting = count(driver.events_waiting as u64);
    text.gauge("claude_failover_events_waiting", waiting, help);
    let help = "Events that the coordinator has handled, since the daemon's start.";
    text.counter("claude_failover_events_total", driver.events_handled, help);
    let help = "Size of the journal; it is compacted from 4 MiB on.";
    text.gauge("claude_failover_journal_size_bytes", count(driver.journal_bytes), help);
    let help = "Records written to the journal, since the daemon's start.";
    text.counter("claude_failover_journal_records_total", driver.journal_records, help);
    let help = "Time to write and flush records to the journal, and how often, since the daemon's \
        start.";
    let mut family =
        text.family("claude_failover_journal_append_duration_seconds", Kind::Summary, help);
    family.part("_sum", &[], seconds(driver.append_time));
    family.part("_count", &[], count(driver.appends));
    let help = "Compactions of the journal, since the daemon's start.";
    text.counter("claude_failover_journal_compactions_total", driver.compactions, help);
    let help = "Whether the last reload of the configuration was taken.";
    let taken = truth(!driver.config_refused);
    text.gauge("claude_failover_config_last_reload_successful", taken, help);
    let help = "When a configuration was last taken, at the start or by a reload.";
    let read_at = epoch_s(driver.config_read_at);
    text.gauge("claude_failover_config_last_reload_success_timestamp_seconds", read_at, help);
}

fn length(list: &Value) -> f64 {
    count(list.as_array().map_or(0, Vec::len) as u64)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

/// Seconds since 1970 of a moment of the document.
fn moment(text: &Value) -> Option<f64> {
    Wall::from_str(text.as_str()?).ok().map(epoch_s)
}

#[expect(clippy::cast_precision_loss, reason = "a monitor's numbers are floats")]
fn epoch_s(at: Wall) -> f64 {
    at.0 as f64 / 1000.0
}
