//! Why tmux could not do something, in the words the operator gets to read.

use std::time::Duration;

/// A caller decides by it: `Owned` ends the daemon, `Unreachable` is waited out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TerminalError {
    #[error(
        "{command:?} does not run: {why}; install tmux (apt-get install tmux) or set tmux.command"
    )]
    Missing { command: String, why: String },
    #[error("{command:?} is tmux {found}, but {needed} or newer is needed; upgrade tmux")]
    TooOld { command: String, found: String, needed: &'static str },
    #[error("{server} cannot be reached: {why}")]
    Unreachable { server: String, why: String },
    #[error("{server} gave no answer within {limit:?}")]
    TimedOut { server: String, limit: Duration },
    #[error("tmux refused {what}: {why}")]
    Refused { what: &'static str, why: String },
    #[error("{server} is driven by another claude-failover, {owner}; stop that one first")]
    Owned { server: String, owner: String },
    #[error("the terminal component takes no orders: {why}")]
    Closed { why: &'static str },
    #[error("{text:?} cannot be typed: {why}")]
    Untypeable { text: String, why: &'static str },
}
