//! The verb `demo`: the real daemon and real tmux, two made-up accounts and a scripted agent.
//!
//! Everything lives in one temporary directory and on one private tmux socket; no real home, no
//! default tmux server and no network is touched. What it claims it has read from outside: the
//! link, session files, transcripts, panes and processes, not the daemon's word.

mod errands;
mod outside;
mod patience;
mod phases;
mod server;
mod stage;
mod story;
mod troupe;

use std::io::Write;

use crate::cli::demo::patience::Patience;
use crate::cli::demo::stage::Stage;
use crate::cli::demo::troupe::Troupe;
use crate::cli::exit;
use crate::shell_word::shell_word;

/// Rows of the daemon's log that are shown when something failed.
const LOG_TAIL_ROWS: usize = 25;

/// What happens to the cast after the last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Nothing is left: no process, no tmux server, no file.
    CleanUp,
    /// Daemon, tmux server and agents go on; the operator is told how to look and how to end.
    KeepRunning,
}

/// Plays the failover once. `exit::OK` only when everything was verified from outside.
pub fn run(ending: Ending) -> u8 {
    match play(ending) {
        Ok(()) => exit::OK,
        Err(error) => {
            say(&format!("demo failed: {error:#}"));
            exit::FAILED
        }
    }
}

fn play(ending: Ending) -> anyhow::Result<()> {
    let patience = Patience::start()?;
    let stage = Stage::build()?;
    let mut troupe = Troupe::enter(stage, &patience)?;
    let outcome = story::play(&mut troupe, &patience);
    if outcome.is_err() {
        show_log(&troupe);
    }
    match ending {
        Ending::CleanUp => outcome,
        Ending::KeepRunning => {
            explain_how_to_end(&troupe);
            troupe.leave_running();
            outcome
        }
    }
}

fn show_log(troupe: &Troupe) {
    let log = troupe.stage().log_text();
    let rows: Vec<&str> = log.lines().collect();
    say(&format!("last rows of {}:", troupe.stage().log().display()));
    for row in &rows[rows.len().saturating_sub(LOG_TAIL_ROWS)..] {
        say(&format!("    {row}"));
    }
}

fn explain_how_to_end(troupe: &Troupe) {
    let stage = troupe.stage();
    let socket = stage.socket();
    say("");
    say("it keeps running:");
    say(&format!("    watch   tmux -S {} attach -t demo-dedicated", shell_word(&socket)));
    say(&format!("    status  http://127.0.0.1:{}/status", stage.port));
    say(&format!("    config  {}", stage.config().display()));
    say(&format!("    log     {}", stage.log().display()));
    say(&format!(
        "    scripts {}/home-a/.demo-script and home-b (see etc/demo/README.md)",
        stage.root().display()
    ));
    say(&format!(
        "    end     kill {} && tmux -S {} kill-server && sleep 1 && rm -rf {}",
        troupe.daemon_pid(),
        shell_word(&socket),
        shell_word(stage.root())
    ));
}

/// A reader that went away is no reason to end without cleaning up.
fn say(row: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{row}").and_then(|()| out.flush());
}
