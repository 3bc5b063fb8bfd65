//! The owner of other processes: reading them (`/proc`), running short ones, ending agents.

pub mod environment;
pub mod exec;
mod hunt;
mod member;
pub mod own;
pub mod run;
pub mod service;
pub mod shell;
pub mod stop;
pub mod table;
mod tree;
pub mod wait;
