//! Ring 4: the built daemon, real tmux, scripted agents, and what an operator does to all three.

mod dice;
mod fleet;
mod hands;
mod inboxes;
mod layout;
mod outside;

mod chaos;
mod crash;
mod exits;
mod full;
mod guarded;
mod health;
mod logs;
mod neighbours;
mod notices;
mod orders;
mod parking;
mod persons;
mod restart;
mod secrets;
mod sessions;
mod steer;
mod stuck;
mod targets;
mod task_chaos;
mod tasks;
mod testimony;
mod turns;
mod verbs;
