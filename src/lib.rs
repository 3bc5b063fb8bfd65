//! Keeps a fleet of Claude Code sessions working around the clock across the operator's accounts.
//!
//! One thread decides, and it decides in a pure function ([`core`]). Everything else is a sensor
//! (outside thing → [`core::event::Event`]) or an executor ([`core::action::Action`] → effect →
//! event). Each outside thing has exactly one owner. No async runtime: named OS threads, each
//! with one select loop.
//!
//! ```text
//!   sensors                                      executors
//!   lifecycle  tmux panes → SessionsObserved     terminal  every tmux command, one FIFO
//!   watcher    agents     → AgentsObserved       switcher  link, shared directories, stopping
//!              their files → TranscriptsObserved; the hooks' spool → ReportsReceived
//!   monitor    screens    → PanesObserved        prober    one question to an account
//!                                                notifier  messages to a person
//!   signals    HUP TERM INT
//!   api        GET: a snapshot; verbs, reports of hooks → events
//!                        \                       /
//!                  coordinator: journals, then orders
//!                  core (pure): handle(now, event) -> Vec<Action>
//! ```
//!
//! Reading order:
//! 1. words: [`ids`], [`moment`], [`units`], [`shell_word`], [`harmless`] (text that is shown),
//!    [`yaml`] (a bounded tree), [`config`] (the file, checked);
//! 2. decisions: [`quota`] (text → verdict), [`core`] (events → actions), [`journal`] (records),
//!    [`guard`] (a command → whether an agent may run it);
//! 3. the loop: [`coordinator`], [`component`] (what every thread looks like), [`snapshot`];
//! 4. owners of outside things: [`clock`], [`files`], [`process`], [`terminal`] (tmux),
//!    [`launch`] (the process in a pane that starts an agent), [`agent_settings`] (what it is
//!    launched with), [`spool`] (what its hooks leave), [`api`] (HTTP and control socket),
//!    [`signals`], [`systemd`], [`logging`], [`version`], [`crash_point`] (tests only),
//!    [`adopt`] (from the homes that a host has to ours, and back), [`preflight`] (looks before a start);
//! 5. components: [`lifecycle`], [`watcher`], [`monitor`], [`dispatcher`], [`janitor`], [`switcher`],
//!    [`prober`], [`notifier`];
//! 6. [`cli`]: one file a verb; `cli::run` puts the house together.
//!
//! [`threat_model`] says who may do what, and what is not defended.
//!
//! The arrows between modules are a table in `tests/it/tidy.rs`, and a test holds them.

pub mod adopt;
pub mod agent_settings;
pub mod api;
pub mod cli;
pub mod clock;
pub mod component;
pub mod config;
pub mod coordinator;
pub mod core;
pub mod crash_point;
pub mod dispatcher;
pub mod files;
pub mod guard;
pub mod harmless;
pub mod ids;
pub mod janitor;
pub mod journal;
pub mod launch;
pub mod lifecycle;
pub mod logging;
pub mod moment;
pub mod monitor;
pub mod notifier;
pub mod preflight;
pub mod prober;
pub mod process;
pub mod queue;
pub mod quota;
pub mod shell_word;
pub mod signals;
pub mod snapshot;
pub mod spool;
pub mod switcher;
pub mod systemd;
pub mod task;
pub mod terminal;
pub mod threat_model;
pub mod units;
pub mod version;
pub mod watcher;
pub mod yaml;
