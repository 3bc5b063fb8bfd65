//! The steps of the demo, in order, each with the time at which it was seen to be done.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::cli::demo::errands::{Errand, LONG, QUICK};
use crate::cli::demo::outside::{self, Agent, Transcript};
use crate::cli::demo::patience::Patience;
use crate::cli::demo::phases::Phases;
use crate::cli::demo::say;
use crate::cli::demo::server::{self, Pane};
use crate::cli::demo::stage::{self, Stage};
use crate::cli::demo::troupe::Troupe;
use crate::clock::Clock;
use crate::task::TaskResult;

const STEP_TIMEOUT: Duration = Duration::from_secs(6);
/// From the refusal to all agents idle on the other account.
const SWAP_TIMEOUT: Duration = Duration::from_secs(15);
/// For a task, with a swap in its middle.
const TASK_TIMEOUT: Duration = Duration::from_secs(20);
/// How far away the made-up limit's reset is.
const RESET_IN: Duration = Duration::from_secs(2 * 3600);

const FIRST_PROMPT: &str = "remember the word";
const REFUSED_PROMPT: &str = "go on with the work";
const LAST_PROMPT: &str = "what was the first thing I said?";

pub fn play(troupe: &mut Troupe, patience: &Patience) -> anyhow::Result<()> {
    let mut play = Play { troupe, patience, clock: Clock::start(), panes: Vec::new() };
    play.tell("daemon healthy; accounts a and b, link to a");
    play.wait_for_sessions()?;
    let before = play.start_agents()?;
    play.ask_first(&before)?;
    // Not before: a session whose agent the daemon has not seen yet could be chosen, and given back.
    QUICK.submit(play.stage())?;
    let quick = play.wait_for_result(&QUICK)?;
    play.give_long_task()?;
    let refused_at = play.exhaust(&before)?;
    let after = play.watch_swap(&before)?;
    play.ask_last(&before)?;
    let long = play.wait_for_result(&LONG)?;
    play.verify(&before, &after)?;
    QUICK.verify(play.stage(), &quick, &['a'])?;
    LONG.verify(play.stage(), &long, &['a', 'b'])?;
    play.sum_up(&after, &refused_at)
}

struct Play<'a> {
    troupe: &'a Troupe,
    patience: &'a Patience,
    /// Counts from the moment the daemon was healthy.
    clock: Clock,
    /// Our sessions' panes as the daemon made them, in the order of `Stage::sessions`.
    panes: Vec<Pane>,
}

impl Play<'_> {
    fn stage(&self) -> &Stage {
        self.troupe.stage()
    }

    fn tell(&self, what: &str) {
        let passed_ms = self.clock.now().monotonic.0;
        say(&format!("{:>3}.{:03} s  {what}", passed_ms / 1000, passed_ms % 1000));
    }

    fn wait_for_sessions(&mut self) -> anyhow::Result<()> {
        let wanted = Stage::sessions();
        self.panes = self.patience.until("four sessions exist", STEP_TIMEOUT, || {
            Ok(one_pane_each(&wanted, &self.troupe.tmux().panes()))
        })?;
        self.tell(&format!("sessions up: {}", wanted.join(", ")));
        Ok(())
    }

    /// What an operator does: types the client's name into each session's shell.
    fn start_agents(&self) -> anyhow::Result<Vec<Agent>> {
        for pane in &self.panes {
            self.patience.until("a shell shows its prompt", STEP_TIMEOUT, || {
                let screen = self.troupe.tmux().screen(&pane.id)?;
                Ok((!screen.trim().is_empty()).then_some(()))
            })?;
        }
        let lines: Vec<String> = self.panes.iter().map(|pane| self.start_line(pane)).collect();
        self.type_into_each(&lines)?;
        let home = self.stage().home_a();
        let agents = self.wait_for_idle_agents(&home, "four agents are idle on account a")?;
        self.tell("agents started on a by hand: the dedicated one through the link, three homed");
        Ok(agents)
    }

    fn start_line(&self, pane: &Pane) -> String {
        let agent = shell_word(&self.stage().agent().to_string_lossy());
        let home = shell_word(&self.stage().home_a().to_string_lossy());
        let sandbox = if rustix::process::geteuid().is_root() { "IS_SANDBOX=1 " } else { "" };
        if pane.session == stage::DEDICATED {
            return format!("{sandbox}{agent} --dangerously-skip-permissions");
        }
        format!("{sandbox}CLAUDE_CONFIG_DIR={home} {agent} --dangerously-skip-permissions")
    }

    /// Those that were started by hand, on one account.
    fn agents_on(&self, home: &Path) -> Vec<Agent> {
        let ours = Stage::sessions();
        let mut panes = self.troupe.tmux().panes();
        panes.retain(|pane| ours.contains(&pane.session));
        outside::agents(home, &panes)
    }

    fn wait_for_idle_agents(&self, home: &Path, what: &str) -> anyhow::Result<Vec<Agent>> {
        self.patience.until(what, STEP_TIMEOUT, || {
            let agents = self.agents_on(home);
            let all = agents.len() == self.panes.len() && agents.iter().all(|agent| agent.idle);
            Ok(all.then_some(agents))
        })
    }

    fn type_into_each(&self, lines: &[String]) -> anyhow::Result<()> {
        let lines: Vec<(&str, &str)> = self
            .panes
            .iter()
            .map(|pane| pane.id.as_str())
            .zip(lines.iter().map(String::as_str))
            .collect();
        self.troupe.tmux().type_lines(&lines)
    }

    fn transcript(&self, agent: &Agent) -> Transcript {
        outside::transcript(&self.stage().projects(), &agent.conversation)
    }

    fn ask_first(&self, agents: &[Agent]) -> anyhow::Result<()> {
        let lines: Vec<String> =
            self.panes.iter().map(|pane| first_prompt(&pane.session)).collect();
        self.type_into_each(&lines)?;
        for agent in agents {
            let what = format!("{} answers its first prompt", agent.session);
            self.patience.until(&what, STEP_TIMEOUT, || {
                Ok(self
                    .transcript(agent)
                    .last_answer
                    .starts_with("OK acct=home-a turns=1")
                    .then_some(()))
            })?;
        }
        self.tell("first prompts answered by a");
        Ok(())
    }

    fn wait_for_result(&self, errand: &Errand) -> anyhow::Result<TaskResult> {
        let what = format!("task {} has left the inbox", errand.id);
        let result = self.patience.until(&what, TASK_TIMEOUT, || errand.result(self.stage()))?;
        let name = |name: Option<String>| name.unwrap_or_else(|| "nobody".to_owned());
        self.tell(&format!(
            "task {} is {} on account {} in {}",
            errand.id,
            if result.done { "done" } else { "failed" },
            name(result.account.as_ref().map(ToString::to_string)),
            name(result.session.as_ref().map(ToString::to_string)),
        ));
        Ok(result)
    }

    fn give_long_task(&self) -> anyhow::Result<()> {
        LONG.submit(self.stage())?;
        let (session, conversation) =
            self.patience
                .until("task long is at work", STEP_TIMEOUT, || Ok(LONG.at_work(self.stage())))?;
        self.tell(&format!("task {} is at work in {session}: {conversation}", LONG.id));
        Ok(())
    }

    /// Account A runs out; the time of the first refusal, RFC 3339.
    fn exhaust(&self, agents: &[Agent]) -> anyhow::Result<String> {
        self.stage().exhaust_a(self.clock.wall() + RESET_IN)?;
        self.type_into_each(&vec![REFUSED_PROMPT.to_owned(); self.panes.len()])?;
        let refused_at = self.patience.until("an agent is refused", STEP_TIMEOUT, || {
            Ok(agents.iter().filter_map(|agent| self.transcript(agent).refused_at).min())
        })?;
        self.tell("account a refuses: \"You've hit your 5-hour limit\"");
        Ok(refused_at)
    }

    /// Prints what the daemon says it does, until the link and all agents have moved.
    fn watch_swap(&self, before: &[Agent]) -> anyhow::Result<Vec<Agent>> {
        let mut phases = Phases::default();
        let home = self.stage().home_b();
        let mut seen = Vec::new();
        let after = self.patience.until("all agents are idle on account b", SWAP_TIMEOUT, || {
            let status = self.status();
            for news in phases.news(&self.stage().log_text(), &status) {
                self.tell(&news);
            }
            seen = self.agents_on(&home);
            let settled = seen.len() == before.len() && seen.iter().all(|agent| agent.idle);
            let done = settled && last_swap(&status)["to"] == "b";
            Ok(done.then(|| seen.clone()))
        });
        let after = after.with_context(|| format!("on account b were {}", names(&seen)))?;
        for agent in &after {
            self.tell(&format!(
                "{} resumed on b: {} pid {} pane {}",
                agent.session, agent.conversation, agent.process.pid, agent.pane
            ));
        }
        Ok(after)
    }

    /// `GET /status`; null while it cannot be read.
    fn status(&self) -> Value {
        server::get(self.stage().port, "/status")
            .ok()
            .and_then(|(_, body)| serde_json::from_str(&body).ok())
            .unwrap_or_default()
    }

    /// The answer tells which account gave it and how much of the conversation it knows.
    fn ask_last(&self, before: &[Agent]) -> anyhow::Result<()> {
        // A pool agent that was cut in its turn may still be busy with the daemon's nudge.
        self.wait_for_idle_agents(&self.stage().home_b(), "four agents are idle on account b")?;
        let asked: Vec<usize> =
            before.iter().map(|agent| self.transcript(agent).prompts.len()).collect();
        self.type_into_each(&vec![LAST_PROMPT.to_owned(); self.panes.len()])?;
        for (agent, asked) in before.iter().zip(asked) {
            let answer = self.patience.until("each agent answers on b", STEP_TIMEOUT, || {
                let transcript = self.transcript(agent);
                let new = transcript.prompts.len() > asked
                    && transcript.last_answer.contains(&format!("turns={}", asked + 1));
                Ok(new.then_some(transcript.last_answer))
            })?;
            let expected = format!(
                "OK acct=home-b turns={} first='{}'",
                asked + 1,
                first_prompt(&agent.session)
            );
            ensure!(
                answer == expected,
                "{} lost its context: it answered {answer:?}, not {expected:?}",
                agent.session
            );
            self.tell(&format!("{} answers: {answer}", agent.session));
        }
        Ok(())
    }

    fn verify(&self, before: &[Agent], after: &[Agent]) -> anyhow::Result<()> {
        let stage = self.stage();
        let named = fs_err::read_link(stage.link())?;
        ensure!(named == stage.home_b(), "the link names {}, not home-b", named.display());
        let now = one_pane_each(&Stage::sessions(), &self.troupe.tmux().panes());
        let now = now.context("a session has lost its pane or got a second one")?;
        for (was, is) in self.panes.iter().zip(&now) {
            ensure!(was.id == is.id, "{} was in pane {}, now {}", was.session, was.id, is.id);
        }
        for (was, is) in before.iter().zip(after) {
            ensure!(
                (&was.session, &was.pane, &was.conversation)
                    == (&is.session, &is.pane, &is.conversation),
                "{was:?} came back as {is:?}"
            );
        }
        let left = outside::agents(&stage.home_a(), &self.troupe.tmux().panes());
        ensure!(left.is_empty(), "agents are left on account a: {left:?}");
        Ok(())
    }

    fn sum_up(&self, after: &[Agent], refused_at: &str) -> anyhow::Result<()> {
        let last_start = after.iter().map(|agent| agent.started_at).max().unwrap_or_default();
        let refused_ms = epoch_ms(refused_at)?;
        let swap = last_swap(&self.status());
        say("");
        say("verified from outside: the link names home-b; four sessions, the same panes; four");
        say(
            "conversations with the same ids, answered by b with their whole context; no agent on a",
        );
        say(
            "two tasks, each told to one agent once: quick was done by a; long was cut by the limit",
        );
        say("and done by b in the same conversation, at its first attempt");
        say(&format!(
            "refusal written -> last agent process started: {} ms (transcript, session files)",
            last_start - refused_ms
        ));
        say(&format!(
            "decision -> last agent process started: {} (the daemon's word)",
            milliseconds(&swap["relaunch_ms"])
        ));
        say(&format!(
            "decision -> swap done: {} (the daemon's word)",
            milliseconds(&swap["took_ms"])
        ));
        Ok(())
    }
}

/// The panes of `wanted`, in that order; `None` unless each session has exactly one.
fn one_pane_each(wanted: &[String], panes: &[Pane]) -> Option<Vec<Pane>> {
    let of = |session: &String| {
        let mut panes = panes.iter().filter(|pane| pane.session == *session);
        panes.next().filter(|_| panes.next().is_none()).cloned()
    };
    wanted.iter().map(of).collect()
}

fn names(agents: &[Agent]) -> String {
    if agents.is_empty() {
        return "none".to_owned();
    }
    let name =
        |agent: &Agent| format!("{}{}", agent.session, if agent.idle { "" } else { " (not idle)" });
    agents.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn first_prompt(session: &str) -> String {
    format!("{FIRST_PROMPT} {session}")
}

fn last_swap(status: &Value) -> Value {
    status["swap"]["last"].clone()
}

fn milliseconds(value: &Value) -> String {
    value.as_u64().map_or_else(|| "not told".to_owned(), |ms| format!("{ms} ms"))
}

fn epoch_ms(text: &str) -> anyhow::Result<i64> {
    let format = &time::format_description::well_known::Rfc3339;
    let Ok(at) = time::OffsetDateTime::parse(text, format) else {
        bail!("a transcript's time is not RFC 3339: {text}");
    };
    Ok(i64::try_from(at.unix_timestamp_nanos() / 1_000_000)?)
}

/// As one word for a POSIX shell.
fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pane(session: &str, id: &str) -> Pane {
        Pane { session: session.to_owned(), id: id.to_owned(), leader_pid: 1 }
    }

    #[test]
    fn each_session_has_exactly_one_pane_or_none_count() {
        let wanted = ["a".to_owned(), "b".to_owned()];
        let (a, b) = (pane("a", "%1"), pane("b", "%2"));
        let found = one_pane_each(&wanted, &[b.clone(), a.clone(), pane("x", "%9")]);
        assert_eq!(found, Some(vec![a.clone(), b.clone()]));
        assert_eq!(one_pane_each(&wanted, std::slice::from_ref(&a)), None);
        assert_eq!(one_pane_each(&wanted, &[a.clone(), b, pane("a", "%3")]), None);
    }

    #[test]
    fn a_word_with_quotes_survives_the_shell() {
        assert_eq!(shell_word("/tmp/it's here"), r"'/tmp/it'\''s here'");
    }

    #[test]
    fn transcript_times_are_milliseconds() {
        assert_eq!(epoch_ms("2026-11-22T15:23:24.858Z").unwrap(), 1_795_361_004_858);
        assert!(epoch_ms("yesterday").is_err());
    }
}
