//! Ring 1: given these events, expect these records and orders. Features, not functions.

mod desk;
mod evidence;
mod sessions;
mod swap;
mod tasks;
mod testimony;
mod verbs;
