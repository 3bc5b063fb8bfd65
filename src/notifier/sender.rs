//! The thread of one channel: one message after the other, so that a server that hangs holds up its own
//! channel and nothing else.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender as Inbox, bounded};

use crate::clock::Clock;
use crate::component::LeaveOnDrop;
use crate::notifier::channel::Channel;
use crate::notifier::failure::Failure;
use crate::notifier::http::Client;
use crate::notifier::message::Message;

/// The last round has been waited for already.
const PATIENCE: Duration = Duration::from_millis(50);

pub struct Job {
    pub channel: Arc<dyn Channel>,
    pub message: Message,
    /// Of the notices in it.
    pub ids: Vec<u64>,
    /// Of the outbox that they lie in.
    pub generation: u64,
}

/// What came of a job.
pub struct Done {
    pub name: &'static str,
    pub generation: u64,
    pub ids: Vec<u64>,
    pub result: Result<(), Failure>,
}

/// INVARIANT: field order is shutdown order; the inbox closes before the thread is waited for.
pub struct Sender {
    inbox: Inbox<Job>,
    _thread: LeaveOnDrop,
}

impl Sender {
    pub fn spawn(
        name: &'static str,
        client: Client,
        clock: Clock,
        done: Inbox<Done>,
    ) -> io::Result<Self> {
        let (inbox, jobs) = bounded::<Job>(1);
        let thread = LeaveOnDrop::spawn(&format!("notify-{name}"), PATIENCE, move || {
            for Job { channel, message, ids, generation } in jobs {
                let result = channel.send(&message, &client, clock.wall());
                if done.send(Done { name, generation, ids, result }).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { inbox, _thread: thread })
    }

    /// False when it has another one; there is never more than one.
    pub fn send(&self, job: Job) -> bool {
        self.inbox.try_send(job).is_ok()
    }
}
