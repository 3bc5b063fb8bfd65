//! The dispatcher over real directories: what it notices, offers, refuses, claims and moves.

mod notices;
mod offers;
mod orders;
pub mod stage;
