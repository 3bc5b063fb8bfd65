//! Why a message was not taken, in words without secrets.

use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Worth another try, not before `after` if the server says so.
    #[error("{why}")]
    Later { why: String, after: Option<Duration> },
    /// The same message would be refused again.
    #[error("{why}: {remedy}")]
    Refused { why: String, remedy: String },
}

impl Failure {
    pub fn later(why: impl Into<String>) -> Self {
        Failure::Later { why: why.into(), after: None }
    }
}
