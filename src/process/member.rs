//! One process that is to be ended: named by pid and start time, signalled through a pidfd.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::ids::ProcessRef;
use crate::process::tree::{Row, read};

pub struct Member {
    pub process: ProcessRef,
    pub root: usize,
    pub kind: Kind,
    /// Its last row; `None` once it has ended.
    pub row: Option<Row>,
    /// SIGTERM has been sent to it.
    pub terminated: bool,
    /// Why it could not be signalled.
    pub refusal: Option<Errno>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An agent that was named.
    Root,
    Descendant,
}

impl Member {
    /// False when it could not be sent; one that is gone wants none.
    pub fn send(&mut self, signal: Signal) -> bool {
        // INVARIANT: no member is protected; `new` and `look` keep them out.
        assert!(self.process.pid > 1, "never init");
        self.refusal = match open(self.process).and_then(|pidfd| pidfd_send_signal(pidfd, signal)) {
            Ok(()) | Err(Errno::SRCH) => None,
            Err(errno) => Some(errno),
        };
        self.refusal.is_none()
    }

    /// It runs no code of its own: stopped, or inside the kernel.
    pub fn is_frozen(&self) -> bool {
        let state = self.row.as_ref().map(|row| row.state);
        matches!(state, None | Some('T' | 't' | 'D' | 'Z' | 'X'))
    }

    pub fn why(&self, others: usize) -> String {
        let Some(row) = &self.row else {
            return String::new();
        };
        let mut text = format!("{} ({}) ", row.name, self.process.pid);
        match self.refusal {
            Some(errno) => text += &format!("cannot be signalled: {errno}"),
            None => text += &format!("lives on after SIGKILL, state {}", row.state),
        }
        if others > 0 {
            text += &format!("; {others} more of its tree live on");
        }
        text
    }
}

/// A pidfd of exactly this process; `SRCH` when it is gone.
pub fn open(process: ProcessRef) -> Result<OwnedFd, Errno> {
    let pid = Pid::from_raw(process.pid).ok_or(Errno::SRCH)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    // Read after opening: from here on the pidfd cannot become another's.
    match read(process.pid) {
        Ok(Some(row)) if row.process == process => Ok(pidfd),
        Ok(_) => Err(Errno::SRCH),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}
