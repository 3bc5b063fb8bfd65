//! Which file is taken for a task.

use rustix::fs::FileType;
use rustix::process::geteuid;

use crate::config::Dispatcher;
use crate::queue::dir::Found;

/// What every task file keeps to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    pub bytes_max: u64,
    /// Whose files are taken: our own user's and those of `dispatcher.trusted_uids`.
    pub uids: Vec<u32>,
}

/// Why something in an inbox is no task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("a link; links are refused")]
    Link,
    #[error("no plain file")]
    NotPlain,
    /// A second name may lie outside the inbox.
    #[error("a file with {0} names; hard links are refused")]
    Linked(u64),
    #[error("{bytes} bytes, more than dispatcher.max_bytes ({bytes_max})")]
    TooLarge { bytes: u64, bytes_max: u64 },
    #[error("it belongs to user {0}: chown it, or add the user to dispatcher.trusted_uids")]
    Owner(u32),
}

impl Rules {
    pub fn of(config: &Dispatcher) -> Self {
        let uids = [geteuid().as_raw()].into_iter().chain(config.trusted_uids.iter().copied());
        Self { bytes_max: config.max_bytes, uids: uids.collect() }
    }

    pub fn check(&self, found: &Found) -> Result<(), Refusal> {
        match found.kind {
            FileType::RegularFile => {}
            FileType::Symlink => return Err(Refusal::Link),
            _ => return Err(Refusal::NotPlain),
        }
        if found.links > 1 {
            return Err(Refusal::Linked(found.links));
        }
        if !self.uids.contains(&found.uid) {
            return Err(Refusal::Owner(found.uid));
        }
        let bytes = found.stamp.size_bytes;
        if bytes > self.bytes_max {
            return Err(Refusal::TooLarge { bytes, bytes_max: self.bytes_max });
        }
        Ok(())
    }
}
