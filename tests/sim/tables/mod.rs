//! Ring 1: given these events, expect these records and orders. Features, not functions.

mod account_edges;
mod accounts;
mod beside;
mod blind;
pub mod desk;
mod evidence;
mod executors;
mod guard;
mod launches;
mod left_behind;
mod lost;
mod making;
mod outside;
mod parking;
mod parking_edges;
mod rare;
mod resumed;
mod sessions;
mod steer;
mod swap;
mod task_edges;
mod tasks;
mod testimony;
mod verbs;
