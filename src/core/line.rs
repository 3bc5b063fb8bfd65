//! The log line of each record: what changed, with ids, for the operator at 3 am.

use std::fmt;

use crate::core::job::Fate;
use crate::core::kind::Subject;
use crate::core::record::{MoveOutcome, MoveStage, Record};
use crate::core::standing::Limit;
use crate::core::steer::PauseEnd;
use crate::core::trigger::{EvidenceSource, Trigger};
use crate::ids::SessionName;
use crate::task::Offer;

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Record::DaemonStarted { version, pid } => {
                write!(f, "daemon started version={version} pid={pid}")
            }
            Record::CleanStop => f.write_str("daemon stopped cleanly"),
            Record::Compacted { .. } => f.write_str("journal compacted"),
            Record::Paused { .. }
            | Record::PauseEnded { .. }
            | Record::SessionsDrained { .. }
            | Record::SessionsResumed { .. } => self.fmt_steering(f),
            Record::RowLeft { session, row } => {
                write!(f, "session={session} banner is history row={row:?}")
            }
            Record::NewcomerSeen { session } => {
                write!(f, "session={session} an agent started: its first screen is history")
            }
            Record::TurnTaken { session } => {
                write!(f, "session={session} took a turn: its banners are news again")
            }
            Record::ActiveFound { account, .. } => {
                write!(f, "account={account} is active by the link")
            }
            Record::AgentAdopted { session, agent } => {
                let id = agent.conversation.as_ref().map_or("unknown", |id| id.as_str());
                write!(f, "session={session} agent={} conversation={id}", agent.process)
            }
            Record::AgentEnded { session } => {
                write!(f, "session={session} agent ended, session lives")
            }
            Record::SessionLost { session, at, agent } => {
                let with = if agent.is_some() { "with its agent" } else { "empty" };
                write!(f, "session={session} lost {with} at={at}")
            }
            Record::SessionCreated { session } => write!(f, "session={session} created"),
            Record::RestorePlanned { op, session, target, .. } => {
                write!(f, "op={op} session={session} restore on account={target}")
            }
            Record::StuckCleared { op, verb } => write!(f, "op={op} stuck ended by {verb:?}"),
            Record::MoveStopping { session, process, until: Some(until), .. } => {
                write!(f, "session={session} staying agent={process} until={until}")
            }
            Record::MoveStopping { session, process, .. } => {
                write!(f, "session={session} stopping agent={process}")
            }
            Record::MoveStopped { session } => write!(f, "session={session} agent is stopped"),
            Record::MoveIdentified { session, conversation } => {
                write!(f, "session={session} conversation={conversation} known now")
            }
            Record::MoveLaunching { session, fence } => {
                write!(f, "session={session} launching fence={fence}")
            }
            Record::MoveLaunched { session, pane, .. } => {
                write!(f, "session={session} launched pane={pane}")
            }
            Record::MoveEnded { session, outcome } => write!(f, "session={session} {outcome}"),
            _ => match self.subject() {
                Subject::Account => self.fmt_account(f),
                Subject::Swap => self.fmt_swap(f),
                Subject::Task => self.fmt_task(f),
                Subject::Daemon | Subject::Session | Subject::Move => f.write_str(self.name()),
            },
        }
    }
}

impl Record {
    fn fmt_steering(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |sessions: &[SessionName]| {
            sessions.iter().map(SessionName::as_str).collect::<Vec<_>>().join(",")
        };
        match self {
            Record::Paused { until: None, .. } => f.write_str("paused by the operator"),
            Record::Paused { until: Some(until), .. } => {
                write!(f, "paused by the operator until={until}")
            }
            Record::PauseEnded { by: PauseEnd::Operator, .. } => {
                f.write_str("pause ended by the operator")
            }
            Record::PauseEnded { by: PauseEnd::Time, .. } => {
                f.write_str("pause ended: its time is over")
            }
            Record::SessionsDrained { sessions, .. } => {
                write!(f, "sessions={} drained by the operator", names(sessions))
            }
            Record::SessionsResumed { sessions, .. } => {
                write!(f, "sessions={} take tasks again by the operator", names(sessions))
            }
            _ => f.write_str(self.name()),
        }
    }

    fn fmt_account(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Record::AccountRefused { account, window, limit } => {
                let Limit { until, evidence, row, printed, .. } = limit;
                let by = if *printed { "" } else { " (not printed)" };
                write!(
                    f,
                    "account={account} exhausted window={window} until={until}{by} \
                     evidence={evidence} row={row:?}"
                )
            }
            Record::LimitReset { account, window, .. } => {
                write!(f, "account={account} window={window} reset: an answer must prove it")
            }
            Record::AccountProven { account, session: Some(session), .. } => {
                write!(f, "account={account} answers again session={session}")
            }
            Record::AccountProven { account, session: None, .. } => {
                write!(f, "account={account} answers again by=probe")
            }
            Record::AccountTrusted { account, reason, .. } => {
                write!(f, "account={account} could not be asked, taken on trust: {reason}")
            }
            Record::LoginFailed { account, reason, .. } => {
                write!(f, "account={account} auth failed: {reason}")
            }
            Record::LoginMended { account, .. } => {
                write!(f, "account={account} has a new login: an answer must prove it")
            }
            Record::AccountRejected { account, reason, until, .. } => {
                write!(f, "account={account} rejected until={until}: {reason}")
            }
            Record::RejectionOver { account, .. } => {
                write!(f, "account={account} can be tried again")
            }
            Record::AccountHeld { account, .. } => {
                write!(f, "account={account} held by the operator")
            }
            Record::AccountReleased { account, .. } => {
                write!(f, "account={account} released by the operator")
            }
            Record::AccountPinned { account, .. } => {
                write!(f, "account={account} pinned by the operator")
            }
            Record::FiguresHeard { account, used } => {
                write!(f, "account={account} used")?;
                let figures = used.figures;
                for (name, window) in [("five_hour", figures.five_hour), ("weekly", figures.weekly)]
                {
                    if let Some(window) = window {
                        let (whole, tenth) = (window.used_permille / 10, window.used_permille % 10);
                        write!(f, " {name}={whole}.{tenth}%")?;
                    }
                }
                Ok(())
            }
            Record::Parked { until, reasons, .. } => {
                let until = until.map_or("unknown".to_owned(), |until| until.to_string());
                write!(f, "parked until={until} no account can be taken:")?;
                for (account, reason) in reasons {
                    write!(f, " {account}: {reason};")?;
                }
                Ok(())
            }
            _ => f.write_str(self.name()),
        }
    }
}

impl Record {
    fn fmt_swap(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Record::SwapPlanned { op, source, target, trigger, because, passed_over, .. } => {
                write!(f, "op={op} phase=Planned from={source} to={target} {trigger}")?;
                write!(f, " because={because:?}")?;
                for (account, reason) in passed_over {
                    write!(f, " not_{account}={reason:?}")?;
                }
                Ok(())
            }
            Record::SwapProbing { op, canary } => {
                write!(f, "op={op} phase=Probing canary={} to={}", canary.session, canary.target)
            }
            Record::SwapProbed { op } => write!(f, "op={op} phase=Checked after=Probing"),
            Record::SwapRetargeted { op, rejected, reason, target } => {
                write!(f, "op={op} phase=Planned to={target} after={rejected} reason={reason:?}")
            }
            Record::SwapSaved { op, moves } => {
                let staying =
                    moves.iter().filter(|m| matches!(m.stage, MoveStage::Staying { .. })).count();
                let ids = moves.iter().filter(|m| m.agent.conversation.is_some()).count();
                write!(f, "op={op} phase=Saved agents={} ids={ids} staying={staying}", moves.len())
            }
            Record::SwapCanaryProven { op, session: Some(session) } => {
                write!(f, "op={op} canary={session} proven")
            }
            Record::SwapCanaryProven { op, session: None } => write!(f, "op={op} canary=none"),
            Record::SwapChecked { op } => write!(f, "op={op} phase=Checked"),
            Record::SwapStopped { op } => write!(f, "op={op} phase=Stopped"),
            Record::SwapFlipped { op, .. } => write!(f, "op={op} phase=Flipped"),
            Record::SwapRelaunched { op, .. } => write!(f, "op={op} phase=Relaunched"),
            Record::SwapVerified { op } => write!(f, "op={op} phase=Verified"),
            Record::SwapDone { op, .. } => write!(f, "op={op} phase=Done"),
            Record::SwapAborting { op, reason } => {
                write!(f, "op={op} phase=Aborting reason={reason:?}")
            }
            Record::SwapUnflipped { op, .. } => write!(f, "op={op} phase=Unflipped"),
            Record::SwapRestored { op } => write!(f, "op={op} phase=Restored"),
            Record::SwapRolledBack { op, .. } => write!(f, "op={op} phase=RolledBack"),
            Record::SwapStuck { op, reason } => write!(
                f,
                "op={op} phase=Stuck reason={reason:?} remedy=\"claude-failover swap --resume | \
                 --rollback | --clear\""
            ),
            _ => f.write_str(self.name()),
        }
    }
}

impl Record {
    fn fmt_task(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Record::TaskClaimed { session, offer, attempt, .. } => {
                let Offer { task, title, .. } = &**offer;
                write!(f, "session={session} task={task} claimed attempt={attempt} title={title:?}")
            }
            Record::TaskMarked { session, conversation } => {
                write!(f, "session={session} task marked conversation={conversation}")
            }
            Record::TaskMakingRoom { session, process } => {
                write!(f, "session={session} ending idle agent={process} to make room for a task")
            }
            Record::TaskReady { session } => write!(f, "session={session} ready for its task"),
            Record::TaskLaunching { session, fence, account } => {
                write!(f, "session={session} task launching fence={fence} account={account}")
            }
            Record::TaskLaunched { session, pane, .. } => {
                write!(f, "session={session} task launched pane={pane}")
            }
            Record::TaskNotLaunched { session } => write!(f, "session={session} task not launched"),
            Record::TaskReceived { session, .. } => write!(f, "session={session} task received"),
            Record::TaskTakenUp { session, attempt, reason } => {
                write!(
                    f,
                    "session={session} task taken up again attempt={attempt} after={reason:?}"
                )
            }
            Record::TaskBackground { session, on } => {
                let word = if *on { "goes on" } else { "has ended" };
                write!(f, "session={session} what its task left in the background {word}")
            }
            Record::TaskLost { session, session_gone: true, .. } => {
                write!(f, "session={session} task lost with its session")
            }
            Record::TaskLost { session, session_gone: false, .. } => {
                write!(f, "session={session} the agent of its task is gone")
            }
            Record::TaskEnding { session, fate, .. } => write!(f, "session={session} task {fate}"),
            Record::TaskLeft { session } => {
                write!(f, "session={session} nobody works on its task any more")
            }
            Record::TaskClosed { session, .. } => write!(f, "session={session} task closed"),
            Record::TaskDecided { task, decision, .. } => {
                write!(f, "task={task} decided by a person: {decision:?}")
            }
            Record::TaskUndecided { task } => write!(f, "task={task} waits for a person again"),
            Record::TaskSettled { task } => write!(f, "task={task} settled"),
            Record::DialogHandling { session, fence } => {
                write!(f, "session={session} looking at its dialog fence={fence}")
            }
            _ => f.write_str(self.name()),
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Done { reason } => write!(f, "done reason={reason:?}"),
            Fate::Failed { reason } => write!(f, "failed reason={reason:?}"),
            Fate::Requeued { reason } => write!(f, "goes back to the queue reason={reason:?}"),
            Fate::GivenBack { reason } => write!(f, "given back uncounted reason={reason:?}"),
            Fate::Unknown { reason } => write!(
                f,
                "unknown: a person decides reason={reason:?} remedy=\"claude-failover tasks retry | \
                 cancel\""
            ),
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trigger::Refusal { session, row, evidence } => {
                write!(f, "trigger_session={session} evidence={evidence} row={row:?}")
            }
            Trigger::AccountReturned => f.write_str("trigger=account_returned"),
            Trigger::Operator => f.write_str("trigger=operator"),
            Trigger::LoginFailed { reason } => write!(f, "trigger=login_failed reason={reason:?}"),
            Trigger::SetAside => f.write_str("trigger=set_aside"),
            Trigger::Preempt { window, used_permille, .. } => {
                let (whole, tenth) = (used_permille / 10, used_permille % 10);
                write!(f, "trigger=preempt window={window} used={whole}.{tenth}%")
            }
            Trigger::Preferred => f.write_str("trigger=preferred"),
        }
    }
}

impl fmt::Display for EvidenceSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EvidenceSource::Pane => "pane",
            EvidenceSource::Hook => "hook",
            EvidenceSource::Probe => "probe",
            EvidenceSource::Transcript => "transcript",
        })
    }
}

impl fmt::Display for MoveOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MoveOutcome::Verified => f.write_str("resumed"),
            MoveOutcome::Blocked { reason } => write!(f, "blocked: {reason}"),
            MoveOutcome::Failed { reason } => write!(f, "not resumed: {reason}"),
            MoveOutcome::Held => f.write_str("held until it can be resumed"),
            MoveOutcome::Dropped { reason } => write!(f, "left as it is: {reason}"),
        }
    }
}
