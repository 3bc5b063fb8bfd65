//! What must always hold of accounts and of whoever is moved between them: who may be a target, who is
//! asked whether it takes requests, and who is left alone. Kept apart from the core's own state, so
//! that a state that is wrong is noticed.

use std::collections::{BTreeMap, BTreeSet};

use claude_failover::config::Group;
use claude_failover::core::durable::{Durable, Phase};
use claude_failover::core::event::AgentHome;
use claude_failover::core::job::Job;
use claude_failover::core::record::{Move, MoveCause, MoveStage, Record};
use claude_failover::core::standing::AccountState;
use claude_failover::core::trigger::Trigger;
use claude_failover::ids::{AccountName, ProcessRef, SessionName};
use claude_failover::moment::Wall;

use crate::checks::REFUSED_MS;
use crate::run::Sim;
use crate::world::Agent;

/// A sensor's news are old after this.
const TOLD_MS: u64 = 5_000;

#[derive(Default)]
pub struct Choices {
    /// Set aside by the operator.
    held: BTreeSet<AccountName>,
    /// What stood against them is over, and nothing has been heard since.
    doubted: BTreeSet<AccountName>,
    /// Left by choice with little to spare, until then.
    spared: BTreeMap<AccountName, Wall>,
    /// The open swap has moved the link.
    flipped: bool,
    /// Sent ahead and up on the target when the open swap turned back: they wait there.
    refused_ahead: BTreeSet<ProcessRef>,
    /// Whose conversation this life of the daemon has been told.
    pub told: BTreeSet<ProcessRef>,
    /// The same account has worked since, and no swap was open.
    works_since: Option<(AccountName, u64, u32)>,
    /// Who of those that follow alone went last, when, and in which life.
    last_alone: Option<(SessionName, u64, u32)>,
}

impl Sim {
    /// `before` is what the journal said until this record.
    pub fn check_choices(&mut self, before: &Durable, record: &Record) {
        match record {
            Record::SwapPlanned { target, trigger, .. } => {
                self.checks.choices.flipped = false;
                self.check_wanted(before, target);
                self.check_moment(before, target, trigger);
            }
            Record::SwapRetargeted { target, .. } => self.check_wanted(before, target),
            Record::SwapProbing { canary, .. } => self.check_canary(canary),
            Record::SwapSaved { moves, .. } => self.check_list(before, moves),
            Record::SwapAborting { .. } => self.note_refused_ahead(before),
            Record::TaskMakingRoom { process, .. } => {
                assert!(
                    !self.is_at_work(process),
                    "{process} makes room in the middle of its turn"
                );
            }
            Record::SwapFlipped { .. } => {
                self.checks.choices.flipped |=
                    before.swap.as_ref().is_some_and(|swap| swap.source != swap.target);
            }
            Record::SwapDone { .. } => self.note_spared(before),
            Record::MoveStopping { session, process, .. } => {
                let stage = before.moves.get(session).map(|moving| &moving.stage);
                // Whom an order from before has ended is on record as that, wherever it may go.
                let lives = self.world.agents.get(&process.pid);
                let lives = lives.is_some_and(|agent| agent.process == *process);
                let ended = !lives && self.checks.ordered.contains(process);
                if !ended && matches!(stage, Some(MoveStage::Staying { .. })) {
                    let works = |active| before.account_state(active) == AccountState::Available;
                    assert!(
                        before.parked.is_none() && before.active.as_ref().is_some_and(works),
                        "{session} is ended and has nowhere to go"
                    );
                    self.check_row(before, session);
                }
            }
            Record::TaskClaimed { .. } => {
                assert!(before.parked.is_none(), "a task is given away while nobody can work");
            }
            Record::MoveLaunching { session, .. } => {
                assert!(
                    before.parked.is_none() || before.swap.is_some(),
                    "{session} is launched while nobody can work"
                );
                self.check_row(before, session);
                self.check_doubt(before, session);
            }
            Record::DaemonStarted { .. } => self.checks.choices.told.clear(),
            _ => self.note_account(before, record),
        }
    }

    fn note_account(&mut self, before: &Durable, record: &Record) {
        match record {
            Record::AccountHeld { account, .. } => {
                self.checks.choices.held.insert(account.clone());
            }
            Record::AccountReleased { account, .. } => {
                self.checks.choices.held.remove(account);
                self.checks.choices.spared.remove(account);
            }
            Record::LimitReset { account, window, .. } => {
                self.checks.choices.doubted.insert(account.clone());
                let after = self.checks.shadow.standing(account);
                let mut others = before.standing(account).limits.keys().filter(|w| *w != window);
                assert!(
                    others.all(|other| after.limits.contains_key(other)),
                    "with the {window} limit of {account} another one is forgotten"
                );
            }
            Record::LoginMended { account, .. } => {
                self.checks.choices.doubted.insert(account.clone());
            }
            Record::AccountProven { account, .. }
            | Record::AccountTrusted { account, .. }
            | Record::AccountRefused { account, .. }
            | Record::LoginFailed { account, .. } => {
                self.checks.choices.doubted.remove(account);
            }
            _ => {}
        }
    }

    /// The operator's word goes before everything.
    fn check_wanted(&self, before: &Durable, target: &AccountName) {
        let by_config = self.config_of_core().selection.pin.as_ref();
        let pin = before.pinned.as_ref().or(by_config);
        assert!(
            pin.is_none_or(|pin| pin == target),
            "{target} is made a target while {pin:?} is pinned"
        );
        let held = self.checks.choices.held.contains(target);
        assert!(!held, "{target} is made a target while it is held");
    }

    /// By choice nobody who works or types is disturbed, and nothing is won by going in circles.
    fn check_moment(&self, before: &Durable, target: &AccountName, trigger: &Trigger) {
        if !trigger.is_voluntary() || self.checks.clock_jumped {
            return;
        }
        let wall = Wall(self.wall());
        let spared = self.checks.choices.spared.get(target).filter(|until| **until > wall);
        assert!(spared.is_none(), "back by choice to {target}, spared until {spared:?}");
        // Agents on the link go along with it; all others are left out of the swap, see `check_list`.
        let linked = |agent: &&Agent| agent.home == AgentHome::Linked;
        let mut live = self.world.agents.values().filter(|agent| self.up(agent.process).is_some());
        let typed = live.find(|agent| linked(agent) && self.is_typed_in(&agent.session));
        let typed = typed.map(|agent| &agent.session);
        assert!(typed.is_none(), "a swap by choice while somebody types in {typed:?}");
        match trigger {
            Trigger::Preempt { until, .. } => {
                assert!(*until > wall, "a window is preempted that was over at {until}");
            }
            Trigger::Preferred => {
                let at_work = before.jobs.values().any(Job::is_out);
                assert!(!at_work, "back to the preferred account while a task is worked on");
            }
            _ => {}
        }
    }

    fn note_spared(&mut self, before: &Durable) {
        let Some(swap) = &before.swap else { return };
        if let Trigger::Preempt { until, .. } = swap.trigger {
            self.checks.choices.spared.insert(swap.source.clone(), until);
        }
    }

    /// Only who is told to go on finds out anything by being sent ahead.
    fn check_canary(&self, canary: &Move) {
        let config = self.config_of_core();
        let told = match config.group(&canary.session) {
            Some(Group::Dedicated) => {
                config.dedicated(&canary.session).is_some_and(|known| known.nudge.is_some())
            }
            Some(Group::Pool) => canary.cut,
            None => false,
        };
        assert!(told, "{} is sent ahead and has nothing to ask", canary.session);
    }

    fn check_list(&self, before: &Durable, moves: &[Move]) {
        let Some(swap) = &before.swap else { return };
        if swap.phase == Phase::Aborting {
            let again = moves.iter().find(|moving| {
                let process = moving.agent.process;
                self.up(process).is_some() && self.checks.choices.refused_ahead.contains(&process)
            });
            let again = again.map(|moving| &moving.session);
            assert!(
                again.is_none(),
                "{again:?} is refused on the target and ended for it once more"
            );
            let touched = |moving: &Move| {
                let known = before.moves.get(&moving.session);
                known.is_some_and(|known| known.op == swap.op)
            };
            let stray =
                moves.iter().find(|moving| !self.checks.choices.flipped && !touched(moving));
            let stray = stray.map(|moving| &moving.session);
            assert!(stray.is_none(), "{stray:?} is turned back and was never sent");
        } else if swap.trigger == Trigger::AccountReturned {
            let ended = moves.iter().find(|moving| {
                self.up(moving.agent.process).is_some() && moving.stage == MoveStage::Stopping
            });
            let ended = ended.map(|moving| &moving.session);
            assert!(ended.is_none(), "{ended:?} is ended before its turn to be woken");
        } else if swap.trigger.is_voluntary() {
            let works = moves.iter().find(|moving| {
                let has_a_task = before.jobs.contains_key(&moving.session);
                let waits_already = before.moves.contains_key(&moving.session);
                let attended =
                    !self.checks.clock_jumped && self.is_typed_in(moving.session.as_str());
                !waits_already && (has_a_task || attended || self.is_at_work(&moving.agent.process))
            });
            let works = works.map(|moving| &moving.session);
            assert!(works.is_none(), "{works:?} is at work and moved by choice");
        }
    }

    /// A person has typed there within the grace, and everybody has been told.
    fn is_typed_in(&self, session: &str) -> bool {
        let ours = session.parse().is_ok_and(|name| self.config_of_core().group(&name).is_some());
        let grace = self.config_of_core().swap.attended_grace.as_millis();
        let typed_at = self.world.tmux.get(session).and_then(|session| session.typed_at);
        ours && typed_at
            .is_some_and(|at| self.now - at > TOLD_MS && u128::from(self.now - at) < grace)
    }

    /// Alive, and for so long that everybody knows.
    fn up(&self, process: ProcessRef) -> Option<&Agent> {
        self.world.agents.get(&process.pid).filter(|agent| {
            agent.process == process
                && agent.pane.is_some()
                && agent.filed
                && !agent.ending
                && self.now - agent.launched_at > 2 * TOLD_MS
        })
    }

    fn is_at_work(&self, process: &ProcessRef) -> bool {
        self.up(*process).is_some_and(|agent| self.is_in_a_turn(agent) && !self.checks.clock_jumped)
    }

    /// Whoever was sent ahead and refused is as well off there as where it was. With the link on its
    /// way to a third account all go back together.
    fn note_refused_ahead(&mut self, before: &Durable) {
        if self.checks.choices.flipped {
            self.checks.choices.refused_ahead.clear();
            return;
        }
        let probing = before.swap.as_ref().filter(|swap| swap.phase == Phase::Probing);
        self.checks.choices.refused_ahead = before
            .moves
            .values()
            .filter(|moving| matches!(moving.stage, MoveStage::Launched { .. }))
            .filter(|moving| probing.is_some_and(|swap| swap.op == moving.op))
            .flat_map(|moving| {
                let here = |agent: &&Agent| {
                    agent.session == moving.session.as_str()
                        && Some(&agent.conversation) == moving.agent.conversation.as_ref()
                };
                self.world.agents.values().filter(here).map(|agent| agent.process)
            })
            .filter(|process| self.up(*process).is_some())
            .filter(|process| self.checks.choices.told.contains(process))
            .collect();
    }

    /// Nobody is left behind where he is refused.
    pub fn check_left_behind(&mut self) {
        let (now, number) = (self.now, self.life_number);
        let works = self.life.as_ref().filter(|life| life.connected).and_then(|life| {
            let core = &life.core;
            let calm = core.durable.swap.is_none() && core.draining_since.is_none();
            let calm = calm && !core.is_paused();
            core.working_account().filter(|_| calm).cloned()
        });
        let before = self.checks.choices.works_since.take();
        let Some(active) = works else { return };
        let since = before
            .filter(|(account, _, life)| *account == active && *life == number)
            .map_or(now, |(_, since, _)| since);
        self.checks.choices.works_since = Some((active.clone(), since, number));
        if now - since < REFUSED_MS {
            return;
        }
        // Of one that writes nothing there may be an old file, which has the last word.
        let known = |agent: &&Agent| agent.writes && !agent.unkillable && !agent.survived;
        if let Some(agent) = self.forgotten_refused(&active).filter(known) {
            panic!(
                "pid {} of {} sits refused on {:?} while {active} works",
                agent.process.pid, agent.session, agent.home
            );
        }
    }

    /// Those who follow a swap alone go one after the other.
    fn check_row(&mut self, before: &Durable, session: &SessionName) {
        let alone = |moving: &Move| moving.cause == MoveCause::Straggler;
        if !before.moves.get(session).is_some_and(alone) {
            return;
        }
        let interval = self.config_of_core().swap.ramp_interval.as_millis();
        let (now, life) = (self.now, self.life_number);
        let last = &mut self.checks.choices.last_alone;
        if last.as_ref().is_some_and(|(name, _, of)| name == session && *of == life) {
            return;
        }
        if let Some((name, at, of)) = last.replace((session.clone(), now, life)) {
            let apart = u128::from(now - at);
            assert!(of != life || apart >= interval, "{session} goes {apart} ms after {name}");
        }
    }

    /// A reset that has passed proves nothing.
    fn check_doubt(&self, before: &Durable, session: &SessionName) {
        let Some(swap) = &before.swap else { return };
        let mine = before.moves.get(session).is_some_and(|moving| moving.op == swap.op);
        let forward = swap.phase != Phase::Probing && swap.phase < Phase::Aborting;
        assert!(
            !mine
                || !forward
                || !self.checks.choices.doubted.contains(&swap.target)
                || self.checks.clock_jumped,
            "{session} goes to {}, of which nobody has heard since it came back",
            swap.target
        );
    }
}
