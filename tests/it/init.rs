//! `init`, `init --adopt`, `init --undo` and `account add` on homes in a directory of their own.

mod account;
mod adopt;
mod config;
mod crash;
mod refused;
pub mod stage;
