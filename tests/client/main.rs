//! Ring 5: the actual Claude Code client with made-up accounts against a loopback API.
//!
//! `tests/rig/` makes the accounts and the API (its README tells how); `CLAUDE_FAILOVER_RIG` names
//! the directory it was set up in. The client runs only inside the rig's scrubbed environment.

#![allow(clippy::disallowed_methods, reason = "tests start processes and look at the clock")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

#[path = "../it/support.rs"]
mod support;

mod agent;
mod conversation;
mod failover;
mod fleets;
mod guard;
mod latency;
mod login;
mod probe;
mod rig;
mod tasks;
mod typing;
mod verdicts;
