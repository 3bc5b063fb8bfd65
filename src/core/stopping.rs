//! The agents of moves are ended here, and what they printed when they ended is read: an agent that
//! told nobody its conversation may have named it on its screen.

use crate::core::Core;
use crate::core::action::{Action, NoteLevel, OrderId};
use crate::core::durable::Phase;
use crate::core::orders::Slot;
use crate::core::record::{Move, MoveCause, MoveOutcome, MoveStage, Record};
use crate::ids::{ConversationId, OpId, PaneId, ProcessRef, SessionName};

impl Core {
    pub(in crate::core) fn order_stop(&mut self) {
        let nobody: Vec<SessionName> = self
            .durable
            .moves
            .values()
            .filter(|moving| moving.stage == MoveStage::Stopping)
            .filter(|moving| moving.agent.process == ProcessRef::NOBODY)
            .map(|moving| moving.session.clone())
            .collect();
        for session in nobody {
            self.persist(Record::MoveStopped { session });
        }
        // How a stuck swap goes on an operator says.
        let stuck = self.durable.swap.as_ref().filter(|swap| swap.phase == Phase::Stuck);
        let stuck = stuck.map(|swap| swap.op);
        let stopping: Vec<(SessionName, ProcessRef)> = self
            .durable
            .moves
            .values()
            .filter(|moving| moving.stage == MoveStage::Stopping && Some(moving.op) != stuck)
            .filter(|moving| self.config.group(&moving.session).is_some())
            .map(|moving| (moving.session.clone(), moving.agent.process))
            .collect();
        self.order_end(&Slot::Stop, stopping);
        self.order_end(&Slot::StopForTasks, self.processes_to_end());
    }

    fn order_end(&mut self, slot: &Slot, processes: Vec<(SessionName, ProcessRef)>) {
        if processes.is_empty() {
            return;
        }
        let covers = processes.iter().map(|(session, _)| session.clone()).collect();
        if let Some(order) = self.open_order(slot.clone(), covers) {
            let agents: Vec<ProcessRef> =
                processes.into_iter().map(|(_, process)| process).collect();
            self.orders.ends(slot, &agents);
            self.out.push(Action::StopAgents { order, agents });
        }
    }

    pub(in crate::core) fn agents_stopped(
        &mut self,
        order: OrderId,
        survivors: &[(ProcessRef, String)],
        left_behind: &[(ProcessRef, String)],
    ) {
        if let Some(pending) = self.orders.answer(&Slot::StopForTasks, order) {
            // Whatever works on is at work on the task.
            let at_work = [survivors, left_behind].concat();
            for (session, process) in pending.covers.iter().zip(&pending.ends) {
                self.note_ended(session, *process, survivors);
            }
            for session in pending.covers {
                self.agent_of_job_ended(&session, &pending.ends, &at_work);
            }
        }
        let Some(pending) = self.orders.answer(&Slot::Stop, order) else {
            return;
        };
        for session in pending.covers {
            let Some(moving) = self.durable.moves.get(&session) else {
                continue;
            };
            let process = moving.agent.process;
            if !pending.ends.contains(&process) {
                continue;
            }
            match moving.stage {
                MoveStage::Stopping => {}
                MoveStage::Staying { .. } => {
                    // It was saved anew, to finish its turn, while its end was on its way.
                    if survivors.iter().any(|(survivor, _)| *survivor == process) {
                        continue;
                    }
                    let (session, finished, until) = (session.clone(), false, None);
                    self.persist(Record::MoveStopping { session, process, finished, until });
                }
                _ => continue,
            }
            self.note_ended(&session, process, survivors);
            if let Some((_, why)) = left_behind.iter().find(|(gone, _)| *gone == process) {
                // It keeps nobody from going on with the conversation.
                let text = format!("session={session} its agent has ended, and left behind: {why}");
                self.note(NoteLevel::Warn, text);
            }
            match survivors.iter().find(|(survivor, _)| *survivor == process) {
                None => self.move_stopped(session, process),
                Some((_, why)) => {
                    let reason = format!("process {process} could not be ended: {why}");
                    self.outlived(&session, process, reason);
                }
            }
        }
    }

    /// By the word of who ended it, not by silence.
    fn note_ended(
        &mut self,
        session: &SessionName,
        process: ProcessRef,
        survivors: &[(ProcessRef, String)],
    ) {
        let lives = survivors.iter().any(|(survivor, _)| *survivor == process);
        if let Some(seen) = self.sessions.get_mut(session).filter(|_| !lives) {
            seen.ended = Some(process);
        }
    }

    fn outlived(&mut self, session: &SessionName, process: ProcessRef, reason: String) {
        if let Some(seen) = self.sessions.get_mut(session) {
            seen.outlived = Some((process, self.now.monotonic));
        }
        self.end_move(session, MoveOutcome::Failed { reason });
    }

    fn move_stopped(&mut self, session: SessionName, process: ProcessRef) {
        // Somebody may have begun another there meanwhile.
        if self.agent_in(&session).is_none_or(|agent| agent.process == process) {
            self.hits.remove(&session);
            if let Some(seen) = self.sessions.get_mut(&session) {
                seen.agent_is_gone();
            }
        }
        self.persist(Record::MoveStopped { session });
    }

    /// Nobody answered: whoever is still seen there, or cannot be looked at, counts as alive.
    pub(in crate::core) fn stop_for_tasks_failed(&mut self, ends: &[ProcessRef], why: &str) {
        let here = |session: &SessionName, process: ProcessRef| {
            let seen = self.sessions.get(session).filter(|seen| seen.is_looked_into());
            seen.is_none() || self.agents_seen_in(session).any(|agent| agent.process == process)
        };
        let survivors: Vec<(ProcessRef, String)> = self
            .processes_to_end()
            .into_iter()
            .filter(|(session, process)| here(session, *process))
            .map(|(_, process)| (process, why.to_owned()))
            .collect();
        for (session, _) in self.processes_to_end() {
            self.agent_of_job_ended(&session, ends, &survivors);
        }
    }

    pub(in crate::core) fn stop_failed(&mut self, ends: &[ProcessRef], why: &str) {
        let stopping: Vec<(SessionName, ProcessRef)> = self
            .durable
            .moves
            .values()
            .filter(|moving| moving.stage == MoveStage::Stopping)
            .map(|moving| (moving.session.clone(), moving.agent.process))
            .filter(|(_, process)| ends.contains(process))
            .collect();
        for (session, process) in stopping {
            // Nobody answered, but perhaps it was done: then nobody is seen there any more.
            if self.agents_seen_in(&session).any(|agent| agent.process == process) {
                let reason = format!("its agent could not be ended: {why}");
                self.outlived(&session, process, reason);
            } else {
                self.move_stopped(session, process);
            }
        }
    }

    /// Asks the screens of stopped agents without an id. True while an answer is awaited.
    pub(in crate::core) fn order_resume_rows(&mut self, op: OpId) -> bool {
        let nameless: Vec<(SessionName, PaneId)> = self
            .durable
            .moves
            .values()
            .filter(|m| m.op == op && m.cause == MoveCause::Swap && m.stage == MoveStage::Stopped)
            .filter(|moving| moving.agent.conversation.is_none())
            // Whose session is not ours any more is dropped: there is nothing to ask for.
            .filter(|moving| self.config.group(&moving.session).is_some())
            .filter_map(|moving| Some((moving.session.clone(), moving.pane?)))
            .collect();
        let any = !nameless.is_empty();
        for (session, pane) in nameless {
            if let Some(order) = self.open_order(Slot::Read(session.clone()), Vec::new()) {
                self.out.push(Action::ReadPane { order, session, pane });
            }
        }
        any
    }

    pub(in crate::core) fn pane_read(
        &mut self,
        order: OrderId,
        session: &SessionName,
        result: Result<Vec<ConversationId>, String>,
    ) {
        if self.orders.answer(&Slot::Read(session.clone()), order).is_none() {
            return;
        }
        // Somebody else's move may be open there by now.
        let asks = self.durable.moves.get(session).filter(|moving| {
            // One that was held over its swap is asked for when its turn comes, too.
            let waits = matches!(moving.stage, MoveStage::Stopped | MoveStage::Held);
            waits && moving.agent.conversation.is_none()
        });
        let Some(process) = asks.map(|moving| moving.agent.process) else { return };
        // Rows of earlier clients stand there too, and a daemon that began anew has not seen them before.
        let fresh = result.ok().and_then(|ids| {
            let shown = self.sessions.get(session).map(|seen| &seen.resume_ids_seen);
            let is_new = |id: &ConversationId| !shown.is_some_and(|old| old.contains(id));
            // What stands above a row that was seen before is older than that.
            let mut of_now = ids.into_iter().rev().take_while(is_new);
            of_now.find(|id| self.is_free_for(session, process, id))
        });
        match fresh {
            Some(conversation) => {
                let session = session.clone();
                self.persist(Record::MoveIdentified { session, conversation });
            }
            None => self.resume_row_missing(session),
        }
    }

    /// One that was not ended with the others of its swap: its screen has not been asked yet. True when the
    /// state changed.
    pub(in crate::core) fn ask_who_it_was(&mut self, moving: &Move) -> bool {
        let session = moving.session.clone();
        let Some(pane) = moving.pane else {
            self.resume_row_missing(&session);
            return true;
        };
        if let Some(order) = self.open_order(Slot::Read(session.clone()), Vec::new()) {
            self.out.push(Action::ReadPane { order, session, pane });
        }
        false
    }

    /// A client that was ended before it had told anybody who it is leaves no row: what it was started
    /// with is what it was to go on with.
    pub(in crate::core) fn resume_row_missing(&mut self, session: &SessionName) {
        let Some(moving) = self.durable.moves.get(session) else { return };
        match self.conversation_it_was_started_with(session, &moving.agent) {
            Some(conversation) => {
                let session = session.clone();
                self.persist(Record::MoveIdentified { session, conversation });
            }
            None => {
                let reason =
                    "no conversation id is known: the session stays at its shell".to_owned();
                self.end_move(session, MoveOutcome::Failed { reason });
            }
        }
    }
}
