//! Notifications: what is said, when, and what becomes of it on servers that take it, hang, refuse or
//! break off. All servers are on the loopback.

mod conditions;
mod notices;
mod outbox;
pub mod server;
mod thread;
mod verb;
