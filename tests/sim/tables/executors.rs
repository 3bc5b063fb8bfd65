//! The executors of a desk: each order is carried out at once, and answered.

use claude_failover::core::action::{Action, LaunchAgent};
use claude_failover::core::event::{AgentHome, AgentSeen, Event, ProbeEnd};
use claude_failover::ids::PaneId;

use crate::seasons;
use crate::tables::desk::Desk;

impl Desk {
    pub fn carry_out(&mut self, order: Action) {
        let failed = || "it failed".to_owned();
        match order {
            Action::ObserveSessions => self.list(),
            Action::ObserveAgents { order } => self.observe(Some(order)),
            Action::CheckTarget { order, account } => {
                let good = !self.broken.contains(&account);
                let result = if good { Ok(()) } else { Err(failed()) };
                self.send(Event::TargetChecked { order, result });
            }
            Action::ProbeAccount { order, account } => {
                self.probed.push(account.clone());
                let result = match self.refusal_of(&account) {
                    Some(reading) => Ok(ProbeEnd::Refused(reading)),
                    None => self.probe.clone(),
                };
                self.send(Event::AccountProbed { order, account, result });
            }
            Action::TellSession { text, .. } => {
                self.told_first |= self.stops.is_empty();
                self.told.push(text);
            }
            Action::StopAgents { order, agents } => {
                let (endure, end): (Vec<_>, Vec<_>) =
                    agents.into_iter().partition(|process| self.endure.contains(process));
                let ended = self.agents.extract_if(.., |agent| end.contains(&agent.process));
                let ended: Vec<AgentSeen> = ended.collect();
                self.stops.extend(end);
                let survivors = endure.into_iter().map(|process| (process, failed())).collect();
                let left_behind = ended.iter().filter(|_| self.leave_tools_behind);
                let left_behind = left_behind.map(|agent| (agent.process, failed())).collect();
                for agent in ended {
                    if self.in_a_loop.contains(&agent.session) {
                        let name = agent.session.as_str();
                        self.add_agent(name, AgentHome::Linked, None);
                        self.agent(name).conversation = agent.conversation;
                        self.observe(None);
                    }
                }
                self.send(Event::AgentsStopped { order, survivors, left_behind });
            }
            Action::FlipLink { order, to } => {
                let good = !self.flips_fail.contains(&to);
                if good {
                    self.link = to;
                }
                let result = if good { Ok(()) } else { Err(failed()) };
                self.send(Event::LinkFlipped { order, result });
            }
            Action::CreateSession { order, session, .. } => {
                let good = !self.creations_fail;
                if good && !self.end_at_once {
                    self.sessions.push(session.to_string());
                }
                if good {
                    self.created.push(session.clone());
                }
                let result = if good { Ok(PaneId(0)) } else { Err(failed()) };
                self.send(Event::SessionCreated { order, session, result });
            }
            Action::LaunchAgent(launch) => self.launch(launch),
            Action::ReadPane { order, session, .. } => {
                let result = Ok(self.resume_rows.clone());
                self.send(Event::PaneRead { order, session, result });
            }
            other => self.carry_out_task(other),
        }
    }

    fn launch(&mut self, launch: LaunchAgent) {
        let (order, session) = (launch.order, launch.session.clone());
        let pane = self.pane(session.as_str());
        let again = self
            .launches
            .iter()
            .any(|earlier| earlier.fence == launch.fence && earlier.session == session);
        if again {
            self.send(Event::AgentLaunched { order, session, result: Ok(pane) });
            return;
        }
        let beyond = |later: &LaunchAgent| later.session == session && later.fence > launch.fence;
        let passed = self.launches.iter().any(beyond).then(|| "its fence is passed".to_owned());
        if let Some(why) = self.no_launch.clone().or(passed) {
            self.refused_launches += 1;
            self.send(Event::AgentLaunched { order, session, result: Err(why) });
            return;
        }
        if let Some(state) = self.comes_up.clone() {
            let home = AgentHome::Homed(launch.account.clone());
            self.add_agent(session.as_str(), home, None);
            let agent = self.agents.last_mut().expect("just added");
            agent.conversation = Some(launch.conversation.clone());
            agent.state = state;
            let process = agent.process;
            let nudged = launch.argv.last().is_some_and(|last| last.contains("o on"));
            if nudged && !self.plans.is_empty() {
                let (state, ending) = seasons::answers(self, &launch.account);
                self.endings.insert(process, ending);
                self.agents.last_mut().expect("just added").state = state;
            }
        }
        self.launches.push(launch);
        self.send(Event::AgentLaunched { order, session, result: Ok(pane) });
        self.observe(None);
    }
}
