//! The sensors: agents as real processes in real tmux panes, screens and sessions from a script.

mod agents;
mod older_clients;
mod panes;
mod stage;
mod transcripts;
