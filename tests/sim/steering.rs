//! An operator pauses the daemon and drains sessions, and what may not happen then.

use claude_failover::core::durable::Durable;
use claude_failover::core::event::Verb;
use claude_failover::core::record::Record;
use claude_failover::ids::SessionName;

use crate::run::{Sim, Step};

impl Sim {
    pub fn steer(&mut self) {
        let names = self.session_names();
        let session = self.rng.pick(&names).cloned();
        let verb = match self.rng.below(6) {
            0 => Verb::Pause { length: None },
            1 | 2 => {
                let length_s = self.rng.within(1..900);
                Verb::Pause { length: Some(std::time::Duration::from_secs(length_s)) }
            }
            3 => Verb::Drain { session },
            4 => Verb::Drain { session: None },
            _ => Verb::Resume { session: session.filter(|_| self.rng.chance(500)) },
        };
        self.say(|| format!("## {verb}"));
        let life = self.life_number;
        self.at(1, Step::Deliver { life, event: verb.into() });
    }

    fn session_names(&self) -> Vec<SessionName> {
        self.config.desired_sessions().into_iter().map(|(name, _)| name).collect()
    }

    /// In the calm nothing is paused or drained for long.
    pub fn resume_all(&mut self) {
        let Some(life) = &self.life else { return };
        let durable = &life.core.durable;
        if durable.paused.is_some() || !durable.drained.is_empty() {
            let event = Verb::Resume { session: None }.into();
            self.at(1, Step::Deliver { life: self.life_number, event });
        }
    }

    /// While paused nothing is begun, and who is drained gets nothing.
    pub fn check_steering(&mut self, before: &Durable, record: &Record) {
        let paused = before.paused.is_some();
        match record {
            Record::Paused { .. } => self.count("pauses"),
            Record::SessionsDrained { .. } => self.count("drains"),
            Record::AccountRefused { .. } if paused => self.count("refusals while paused"),
            Record::TaskEnding { session, .. } if before.drained.contains_key(session) => {
                self.count("tasks ended in drained sessions");
            }
            Record::SwapPlanned { op, .. } => assert!(!paused, "swap {op} is planned in a pause"),
            Record::Parked { .. } => assert!(!paused, "all is parked in a pause"),
            Record::SwapFlipped { op, .. } => {
                let open = before.swap.as_ref().is_some_and(|swap| swap.op == *op);
                assert!(open, "the link is flipped and no swap is open");
                if paused {
                    self.count("swaps finished while paused");
                }
            }
            // A task that was at work is gone on with.
            Record::RestorePlanned { session, cut: true, .. } => {
                let finishes = before.jobs.contains_key(session);
                assert!(!paused || finishes, "{session} is moved in a pause");
            }
            Record::TaskClaimed { session, .. } | Record::TaskLaunching { session, .. } => {
                assert!(!paused, "{session} gets a task in a pause");
                assert!(!before.drained.contains_key(session), "{session} is drained: no task");
            }
            _ => {}
        }
    }
}
