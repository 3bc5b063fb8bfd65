//! What must always hold, whatever happens outside.

use std::collections::{BTreeMap, BTreeSet};

use claude_failover::config::Config;
use claude_failover::core::durable::{Durable, Phase};
use claude_failover::core::event::{AgentHome, AgentSeen, AgentState, Event};
use claude_failover::core::record::{MoveOutcome, MoveStage, Record, SavedAgent};
use claude_failover::core::standing::AccountState;
use claude_failover::core::trigger::Trigger;
use claude_failover::ids::{AccountName, ConversationId, OpId, ProcessRef, SessionName};
use claude_failover::moment::Wall;

use crate::choices::Choices;
use crate::executors::FAULT;
use crate::run::Sim;
use crate::world::{Agent, Banner, World};

/// A sensor's news are old after this.
pub const TOLD_MS: u64 = 5_000;

/// The longest cooldown, and the time a swap takes.
pub const REFUSED_MS: u64 = 7 * 60_000;

pub type Held = (SessionName, ConversationId);

const LOST: &str = "its session was lost";

#[derive(Default)]
pub struct Checks {
    /// What the journal says, built record by record.
    pub shadow: Durable,
    /// The same before the last record.
    before: Durable,
    last_record: Option<Record>,
    pub clock_jumped: bool,
    pub flipped_by_hand: Option<u64>,
    /// When an operator last released each account.
    pub released: BTreeMap<AccountName, u64>,
    pub fences_run: BTreeMap<String, u64>,
    /// The move that each launch was ordered for, by its session and fence, and the swap that was open.
    pub launches: BTreeMap<(SessionName, u64), (OpId, Option<OpId>)>,
    last_op: OpId,
    /// Conversations that have to be somewhere, and why.
    pub owed: BTreeMap<Held, &'static str>,
    /// Sessions in which somebody started or ended agents: theirs may stand beside ours.
    pub worked_in_by_hand: BTreeSet<String>,
    /// The agent that was saved for a swap and those beside it, in which life of the daemon.
    pub present: BTreeMap<SessionName, (u32, BTreeSet<ProcessRef>)>,
    /// Processes that the journal has named.
    pub adopted: BTreeSet<ProcessRef>,
    /// Processes that were ordered to end.
    pub ordered: BTreeSet<ProcessRef>,
    /// Agents that were ordered to end because their task was over, or to make room for one.
    pub ended_for_tasks: BTreeSet<ProcessRef>,
    /// Agents whose time to finish a turn is over.
    pub stays_over: BTreeSet<ProcessRef>,
    /// When a client that tells nothing was last seen on an account, or ended there.
    pub silent_seen: BTreeMap<AccountName, u64>,
    /// Since when the screens of clients that tell nothing are in sight.
    undated: BTreeMap<ProcessRef, u64>,
    /// When each account's login was last found mended, and since when it had failed.
    mended: BTreeMap<AccountName, (u64, Wall)>,
    way_back_answers: u32,
    /// When swaps flipped the link, within the last hour.
    flips: Vec<u64>,
    pub choices: Choices,
    pub swaps_done: u64,
    pub swaps_rolled_back: u64,
}

impl Checks {
    /// Gives what the journal said before it. Both states are led on record by record: a copy of all of
    /// it for each one would take a third of the time.
    fn take_record(&mut self, record: &Record) -> Durable {
        let mut before = std::mem::take(&mut self.before);
        if let Some(last) = self.last_record.replace(record.clone()) {
            before.apply(&last).expect("the other state took it");
        }
        self.shadow.apply(record).expect("the journal refuses a record of the core");
        before
    }

    /// Notes what the core gets to know.
    pub fn event(&mut self, event: &Event, world: &mut World, now: u64) {
        match event {
            Event::AgentsObserved(seen) => {
                let silent = seen.agents.iter().filter(|agent| agent.conversation.is_none());
                let since = |agent: &AgentSeen| {
                    (agent.process, self.undated.get(&agent.process).copied().unwrap_or(now))
                };
                self.undated = silent.map(since).collect();
                for agent in &seen.agents {
                    if agent.conversation.is_some() {
                        self.choices.told.insert(agent.process);
                    } else if let AgentHome::Homed(account) = &agent.home {
                        self.silent_seen.insert(account.clone(), now);
                    }
                    if let Some(known) = world.agents.get_mut(&agent.process.pid)
                        && known.process == agent.process
                    {
                        known.busy_told =
                            agent.state == AgentState::Busy && known.state == AgentState::Busy;
                    }
                }
            }
            Event::LinkFlipped { result: Err(_), .. } => self.way_back_answers += 1,
            // What was drawn meanwhile is seen for the first time.
            Event::TerminalConnected => self.undated.values_mut().for_each(|since| *since = now),
            _ => {}
        }
    }

    /// One of our orders ends this agent: from now on its conversation is our debt.
    pub fn stopped(&mut self, agent: &Agent) {
        // A person has begun it a moment ago, and nothing tells which conversation it is to go on with.
        let is_named = agent.args.as_ref().is_some_and(|args| !args.is_empty());
        let unknown = agent.launched_fence.is_none() && !is_named && !agent.filed;
        if agent.old || unknown {
            return; // it may have told nobody its id
        }
        if let Ok(session) = agent.session.parse() {
            self.owed.insert((session, agent.conversation.clone()), "its agent was ended by us");
        }
    }

    /// Its session is gone, with an agent that the journal knows.
    pub fn lost(&mut self, session: &SessionName, restored: bool, world: &World) {
        if self.shadow.jobs.contains_key(session) {
            return; // the task is what must not be lost
        }
        let known = self.shadow.agents.get(session);
        let named = |agent| named_in(agent).filter(|id| !self.shadow.task_talks.contains(id));
        let id = known.and_then(|agent| agent.conversation.clone().or_else(|| named(agent)));
        let Some(id) = id else { return };
        let alive = world.agents.values().any(|agent| {
            agent.session == session.as_str()
                && agent.conversation == id
                && agent.pane.is_some()
                && !agent.ending
        });
        if restored && alive {
            self.owed.insert((session.clone(), id), LOST);
        }
    }

    /// The fence of a session goes with it: the last launch may be asked for once more.
    pub fn session_gone(&mut self, session: &str) {
        if let Some(fence) = self.fences_run.get_mut(session) {
            *fence = fence.saturating_sub(1);
        }
    }

    pub fn operator_took_over(&mut self, session: &str) {
        self.owed.retain(|(name, _), _| name.as_str() != session);
        self.worked_in_by_hand.insert(session.to_owned());
    }

    pub fn reconfigured(&mut self, config: &Config) {
        self.owed.retain(|(session, _), _| config.group(session).is_some());
    }

    pub fn settle(&mut self, session: &SessionName) {
        self.owed.retain(|(name, _), _| name != session);
    }

    /// A move is dropped for who is there by now. Who went with the session comes back still.
    fn left_as_it_is(&mut self, session: &SessionName) {
        self.owed.retain(|(name, _), why| name != session || *why == LOST);
    }
}

pub fn named_in(agent: &SavedAgent) -> Option<ConversationId> {
    let args = agent.args.as_deref().unwrap_or_default();
    let at = args.iter().position(|arg| arg == "--resume" || arg == "--session-id")?;
    args.get(at + 1)?.parse().ok()
}

impl Sim {
    pub fn check_record(&mut self, record: &Record) {
        let wall = Wall(self.wall());
        let before = self.checks.take_record(record);
        match record {
            Record::DaemonStarted { .. } => self.checks.undated.clear(),
            Record::SwapPlanned { op, source, target, trigger, .. } => {
                assert!(*op > self.checks.last_op, "op numbers do not rise");
                self.checks.last_op = *op;
                self.check_target(&before, source, target, trigger);
                if source != target && *trigger != Trigger::Operator {
                    self.check_rate();
                }
            }
            Record::SwapRetargeted { target, .. } => {
                let swap = before.swap.clone().expect("a swap is open");
                self.check_target(&before, &swap.source, target, &swap.trigger);
            }
            Record::RestorePlanned { op, session, agent, .. } => {
                assert!(*op > self.checks.last_op, "op numbers do not rise");
                self.checks.last_op = *op;
                self.note_present(session, agent.process);
            }
            Record::AccountRefused { account, .. } => self.check_refused(&before, account),
            Record::LimitReset { account, window, .. } => {
                let limit = &before.standing(account).limits[window];
                let answered = self.world.account(account).answered_last;
                let lifted = answered.is_some_and(|at| self.wall_of(at) > limit.since.0);
                // An answer in the moment of a flip by hand cannot be told apart.
                let by_hand = self.checks.flipped_by_hand.is_some_and(|at| self.now - at < TOLD_MS);
                assert!(
                    limit.until <= wall || lifted || by_hand || self.checks.clock_jumped,
                    "{account} comes back before its reset"
                );
            }
            Record::LoginMended { account, .. } => {
                if let Some(login) = &before.standing(account).login {
                    self.checks.mended.insert(account.clone(), (self.now, login.since));
                }
            }
            Record::AccountProven { account, .. } => self.check_proven(&before, account),
            Record::AccountReleased { account, .. } => {
                self.checks.released.insert(account.clone(), self.now);
            }
            Record::SwapAborting { .. } => self.checks.way_back_answers = 0,
            Record::SwapStuck { .. } => {
                let phase = before.swap.as_ref().map(|swap| swap.phase);
                assert_eq!(phase, Some(Phase::Aborting), "stuck without a way back");
                assert!(
                    self.checks.way_back_answers > 0 || self.answers_get_lost,
                    "stuck although nothing failed on the way back"
                );
                self.count("swaps stuck");
            }
            Record::SwapFlipped { .. } => self.note_flip(&before),
            Record::SwapDone { .. } => {
                self.checks.swaps_done += 1;
                let target = before.swap.as_ref().map(|swap| swap.target.clone());
                let by_hand = self.checks.flipped_by_hand.is_some_and(|at| {
                    before.swap.as_ref().is_some_and(|swap| swap.planned_at.0 <= self.wall_of(at))
                }) || self.checks.clock_jumped;
                assert!(by_hand || self.world.link == target, "a swap is done and the link is not");
            }
            Record::SwapSaved { moves, .. } => {
                self.check_saved(&before, moves);
                self.note_saved(moves);
            }
            Record::SwapRolledBack { .. } => self.checks.swaps_rolled_back += 1,
            Record::AgentAdopted { agent, .. } => {
                self.checks.adopted.insert(agent.process);
            }
            Record::MoveStopping { session, process, .. } => {
                let stage = before.moves.get(session).map(|moving| &moving.stage);
                if matches!(stage, Some(MoveStage::Staying { until }) if *until <= wall) {
                    self.checks.stays_over.insert(*process);
                }
            }
            Record::TaskMakingRoom { process, .. } => {
                self.checks.ended_for_tasks.insert(*process);
            }
            Record::TaskEnding { session, .. } => self.checks.settle(session),
            Record::MoveLaunching { session, .. } => self.check_launching(&before, session),
            Record::MoveEnded { session, outcome } => {
                if !matches!(outcome, MoveOutcome::Held) {
                    self.say(|| format!("   {session} {outcome}"));
                }
                if let MoveOutcome::Dropped { reason } = outcome
                    && reason.starts_with("its task is over")
                {
                    let talk = before.moves.get(session).map(|moving| &moving.agent.conversation);
                    let job = before.jobs.get(session).map(|job| &job.conversation);
                    assert!(
                        talk == Some(&None) || talk == job,
                        "{session} is left to its shell for the end of another agent's task"
                    );
                }
                if let MoveOutcome::Dropped { reason } = outcome
                    && reason.starts_with("another agent")
                {
                    self.check_newcomer(session);
                }
                if let MoveOutcome::Failed { reason } = outcome {
                    // What did not run is tried until it runs.
                    assert!(!reason.contains(FAULT), "{session} is left at its shell: {reason}");
                    if reason.starts_with("no conversation id") {
                        self.check_nameless(&before, session);
                    }
                }
                match outcome {
                    MoveOutcome::Failed { .. } | MoveOutcome::Blocked { .. } => {
                        self.checks.settle(session);
                    }
                    MoveOutcome::Dropped { .. } => self.checks.left_as_it_is(session),
                    MoveOutcome::Verified | MoveOutcome::Held => {}
                }
            }
            _ => {}
        }
        self.check_choices(&before, record);
        self.check_task_record(record);
        self.check_steering(&before, record);
        self.checks.before = before;
        self.check_ids();
    }

    fn wall_of(&self, at: u64) -> i64 {
        self.wall() - i64::try_from(self.now - at).expect("small")
    }

    fn check_target(
        &self,
        before: &Durable,
        source: &AccountName,
        target: &AccountName,
        trigger: &Trigger,
    ) {
        let wakes = *trigger == Trigger::AccountReturned;
        assert!(wakes || source != target, "the source is the target");
        let state = before.account_state(target);
        assert!(
            matches!(state, AccountState::Available | AccountState::Unproven),
            "{target} is made a target while it is {state:?}"
        );
        assert!(self.config.account(target).is_some(), "{target} is no account of ours");
    }

    /// Never more flips in an hour than the operator allows; what he orders himself he has allowed.
    fn check_rate(&mut self) {
        let hour = 60 * 60 * 1_000;
        let now = self.now;
        self.checks.flips.retain(|flip| now - flip < hour);
        let most = self.config_of_core().swap.max_per_hour as usize;
        let count = self.checks.flips.len();
        assert!(count < most || self.checks.clock_jumped, "{count} swaps in an hour");
    }

    fn note_flip(&mut self, before: &Durable) {
        if before.swap.as_ref().is_some_and(|swap| swap.source != swap.target) {
            self.checks.flips.push(self.now);
        }
    }

    fn check_refused(&self, before: &Durable, account: &AccountName) {
        let truth = self.world.account(account);
        // One that names no end is believed for longer, whenever it comes into sight.
        let believed = match truth.prints_reset {
            true => 12 * 60_000,
            false => self.config.quota.unknown_reset.as_millis(),
        };
        let lately = truth.refused_last.is_some_and(|at| u128::from(self.now - at) < believed);
        // The whole minute that is printed may come after the end, and what was seen before it is on record
        // a moment later.
        let refuses = truth.refuses_until + 60_000 + TOLD_MS > self.now;
        // A refusal in the moment of a flip by hand, or of one that nobody saw, cannot be told apart.
        let began = self.life.as_ref().map_or(0, |life| life.started_at);
        let unseen = |at| at < began && self.now - began < TOLD_MS;
        let by_hand =
            self.checks.flipped_by_hand.is_some_and(|at| self.now - at < TOLD_MS || unseen(at));
        let returned = before.standing(account).cleared_at.map_or(0, |at| at.0);
        let told_until = |at| self.wall_of(at + TOLD_MS.min(self.now - at));
        let since_return = truth.refused_last.is_some_and(|at| told_until(at) > returned);
        // Nothing dates what a client shows that tells nothing and came into sight after that.
        let undated = self.world.owned_agents(|_| true).any(|(_, agent)| {
            let shown = agent.pane.and_then(|pane| self.world.pane(pane));
            let refused =
                shown.is_some_and(|pane| matches!(pane.banner, Some(Banner::Limit { .. })));
            let seen = self.checks.undated.get(&agent.process);
            let came_later = seen.is_some_and(|at| self.wall_of(*at) >= returned);
            let is_there = self.world.account_of(&agent.home).as_ref() == Some(account);
            refused && came_later && is_there
        });
        assert!(
            since_return || undated || by_hand || self.checks.clock_jumped,
            "{account} is called exhausted by what it said before it came back"
        );
        assert!(
            lately || by_hand || refuses || self.checks.clock_jumped,
            "{account} is called exhausted and has refused nobody lately"
        );
    }

    /// Somebody has had an answer since its reset.
    fn check_proven(&self, before: &Durable, account: &AccountName) {
        let since = before.standing(account).unproven_since.expect("only in doubt it is proven");
        // An answer since a login failed is what may have told that it works.
        let mended = self.checks.mended.get(account).filter(|(at, _)| *at == self.now);
        let since = mended.map_or(since, |(_, failed)| *failed);
        let answered = self.world.account(account).answered_last;
        // What ends a limit early, or a failed login, is heard of a moment after it was said.
        let since_reset =
            answered.is_some_and(|at| self.wall_of(at) > since.0 || self.now - at < 12 * TOLD_MS);
        // A turn that takes its time is taken for an answer, and so is a client that tells nothing.
        let silent = self.world.owned_agents(|_| true).any(|(_, agent)| {
            agent.home == AgentHome::Homed(account.clone())
                && (agent.old || !agent.writes || agent.state == AgentState::Busy)
        });
        // It may have ended a moment ago, and nobody has been told yet.
        let seen = self.checks.silent_seen.get(account);
        let silent = silent || seen.is_some_and(|at| self.now - at < TOLD_MS);
        assert!(
            since_reset || silent || self.checks.clock_jumped,
            "{account} is called proven and has answered nobody"
        );
    }

    /// And the core has been told so.
    pub fn is_in_a_turn(&self, agent: &Agent) -> bool {
        agent.state == AgentState::Busy && agent.busy_told && self.now - agent.state_since > TOLD_MS
    }

    pub fn check_step(&self) {
        let Some(life) = &self.life else { return };
        assert!(life.core.durable == self.checks.shadow, "the state is not what its records say");
        assert!(self.world.link.is_some(), "the link names no account");
    }
}
