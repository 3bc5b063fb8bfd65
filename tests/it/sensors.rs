//! The sensors: agents as real processes in real tmux panes, screens and sessions from a script.

mod agents;
mod descriptors;
mod last_words;
mod older_clients;
mod panes;
mod signals;
mod stage;
mod tool_work;
mod transcripts;
