//! Real tmux, real files, real processes, real sockets; the built binary in rings 4 and 5.
//! Each test has a directory and a tmux socket of its own and runs beside the others.

#![allow(clippy::disallowed_methods, reason = "tests start processes and look at the clock")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod logged;
mod support;

mod child;
mod classify;
mod config;
mod daemon;
mod demo;
mod descriptors;
mod dispatcher;
mod doctor;
mod edges;
mod fuzz;
mod guard;
mod history;
mod hook;
mod http;
mod init;
mod janitor;
mod journal;
mod launch;
mod notify;
mod prober;
mod process;
mod queue;
mod quota;
mod quota_transcript;
mod quota_transcript_files;
mod reset;
mod sensors;
mod switcher;
mod task;
mod tasks;
mod threat_model;
mod tidy;
mod tmux;
mod why;
