//! The fleets of tests/it.

#[path = "../it/daemon/fleet.rs"]
pub mod fleet;
#[path = "../it/daemon/hands.rs"]
mod hands;
#[path = "../it/daemon/inboxes.rs"]
mod inboxes;
#[path = "../it/daemon/layout.rs"]
pub mod layout;
#[path = "../it/daemon/outside.rs"]
mod outside;
