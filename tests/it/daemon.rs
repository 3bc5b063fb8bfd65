//! Ring 4: the built daemon, real tmux, scripted agents, and what an operator does to all three.

mod fleet;
mod hands;
mod inboxes;
mod layout;
mod outside;

mod crash;
mod health;
mod monitored;
mod neighbours;
mod orders;
mod parking;
mod restart;
mod sessions;
mod stuck;
mod targets;
mod task_chaos;
mod tasks;
mod testimony;
mod turns;
mod verbs;
