//! The words for a task: claims, deliveries, attempts, and what it came to.

use crate::core::job::{Decision, Fate, JobStage};
use crate::core::record::Record;
use crate::core::why::{Said, Why, said};
use crate::ids::SessionName;

impl Why {
    pub(in crate::core::why) fn of_task(&self, record: &Record) -> Option<Said> {
        Some(match record {
            Record::TaskClaimed { session, offer, attempt, .. } => {
                let what = match self.is_session() {
                    true => format!("gets task {}, attempt {attempt}", offer.task),
                    false => format!("claimed for {session}, attempt {attempt}"),
                };
                said(what).because(format!(
                    "it was the head of the queue (priority {}) and the session was free",
                    format!("{:?}", offer.priority).to_lowercase()
                ))
            }
            Record::TaskMarked { conversation, .. } => {
                said(format!("marked as ours; it will run in conversation {conversation}"))
            }
            Record::TaskMakingRoom { process, .. } => {
                said(format!("the idle agent there (pid {}) is ended", process.pid))
                    .because("it had nothing to do, and the task needs the session")
            }
            Record::TaskReady { .. } => said("the session is ready for it"),
            Record::TaskLaunching { account, .. } => {
                said(format!("an agent is launched for it on {account}"))
            }
            Record::TaskLaunched { pane, .. } => said(format!("the agent is up in pane {pane}")),
            Record::TaskNotLaunched { .. } => {
                said("the launch is not done, and will not be").because("the task is over already")
            }
            Record::TaskReceived { .. } => said("the agent has the task and works on it"),
            Record::TaskTakenUp { attempt, reason, .. } => {
                said(format!("taken up again in the same conversation, attempt {attempt}"))
                    .because(reason.clone())
            }
            Record::TaskBackground { on: true, .. } => {
                said("something of it goes on behind the turn")
            }
            Record::TaskBackground { on: false, .. } => {
                said("nothing goes on behind the turn any more")
            }
            Record::TaskLost { session_gone, .. } => match session_gone {
                true => said("its session went, and its agent with it"),
                false => said("its agent is gone"),
            },
            Record::TaskEnding { session, fate, .. } => self.ending(session, fate),
            Record::TaskLeft { .. } => said("nobody works on it any more"),
            Record::TaskClosed { session, .. } => self.closed(session),
            Record::TaskDecided { decision, .. } => said(match decision {
                Decision::Retry => "to be tried again",
                Decision::Cancel => "to be ended",
            })
            .because("a person decided so"),
            Record::TaskUndecided { .. } => {
                said("waits for a person again").because("what was decided could not be done")
            }
            Record::TaskSettled { .. } => said("what was decided is done"),
            Record::DialogHandling { .. } => {
                said("a dialog is in its way: the daemon looks at it, and answers those it knows")
            }
            _ => return None,
        })
    }

    fn ending(&self, session: &SessionName, fate: &Fate) -> Said {
        let job = self.state.jobs.get(session);
        let which = match (self.is_session(), job) {
            (true, Some(job)) => format!("task {} ", job.task()),
            _ => String::new(),
        };
        let (what, reason) = words(fate);
        said(format!("{which}{what}")).because(reason)
    }

    fn closed(&self, session: &SessionName) -> Said {
        let stage = self.state.jobs.get(session).map(|job| &job.stage);
        said(match stage {
            Some(JobStage::Closing { fate: Fate::Done { .. } }) => {
                "its file is in done/, and the session is free"
            }
            Some(JobStage::Closing { fate: Fate::Failed { .. } }) => {
                "its file is in failed/, and the session is free"
            }
            Some(JobStage::Closing { fate: Fate::Unknown { .. } }) => {
                "its file and marker stay in the inbox, and the session is free"
            }
            _ => "its file stays in the inbox, and the session is free",
        })
    }
}

/// What a fate means, and its reason.
pub(in crate::core::why) fn words(fate: &Fate) -> (&'static str, &str) {
    match fate {
        Fate::Done { reason } => ("is done", reason),
        Fate::Failed { reason } => ("has failed", reason),
        Fate::Requeued { reason } => ("goes back to the queue; the attempt counts", reason),
        Fate::GivenBack { reason } => ("goes back to the queue, not counted", reason),
        Fate::Unknown { reason } => ("waits for a person: nobody can tell", reason),
    }
}
