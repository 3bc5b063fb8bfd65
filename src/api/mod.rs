//! What the outside may ask: HTTP for reading, a Unix socket for the operator's verbs.
//!
//! [`gate`] is the one front door of both: one thread that holds every connection and its limits.
//! [`http`] answers from the published snapshot, with [`page`] for people and `metrics` for monitors,
//! through the tiny_http of [`maker`];
//! [`control`] turns verbs into events; who waits for what the coordinator says to them is in [`asks`].
//! No thread here waits for the coordinator, nor it for them, and nothing here changes anything by
//! itself.

pub mod answer;
pub mod asks;
pub mod control;
pub mod exchange;
pub mod gate;
pub mod http;
pub mod maker;
mod metrics;
pub mod page;
pub mod socket;
