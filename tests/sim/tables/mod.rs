//! Ring 1: given these events, expect these records and orders. Features, not functions.

mod accounts;
pub mod desk;
mod evidence;
mod parking;
mod review;
mod sessions;
mod swap;
mod tasks;
mod testimony;
mod verbs;
