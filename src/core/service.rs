//! The daemon itself: its tmux server, its configuration, its components, and its end.

use std::sync::Arc;

use crate::config::Config;
use crate::core::action::{Action, NoteLevel};
use crate::core::{Core, TerminalState, timer};

impl Core {
    pub(in crate::core) fn terminal_lost(&mut self, reason: String) {
        let since = match self.terminal {
            TerminalState::Lost { since, .. } => since,
            TerminalState::Unseen | TerminalState::Seen => {
                self.note(NoteLevel::Warn, format!("tmux server unreachable: {reason}"));
                self.now.monotonic
            }
        };
        self.terminal = TerminalState::Lost { reason, since };
    }

    pub(in crate::core) fn terminal_connected(&mut self) {
        if let TerminalState::Lost { since, .. } = self.terminal {
            self.note(NoteLevel::Info, "tmux server reachable again".to_owned());
            // No screen was read meanwhile, so the first ones may be their start-up screens.
            for newcomer in self.sessions.values_mut().filter_map(|seen| seen.newcomer.as_mut()) {
                let missed = self.now.monotonic - since.max(newcomer.since);
                newcomer.since = newcomer.since + missed;
            }
        }
        self.terminal = TerminalState::Unseen;
        self.out.push(Action::ObserveSessions);
    }

    pub(in crate::core) fn config_reloaded(&mut self, config: &Arc<Config>) {
        let kept = self.config.restart_keys(config);
        if !kept.is_empty() {
            let text = format!("reload: a restart is needed for {}", kept.join(", "));
            self.note(NoteLevel::Warn, text);
        }
        let mut next = (**config).clone();
        next.keep_restart_keys_of(&self.config);
        self.config = Arc::new(next);
        self.config_problems.clear();
        self.note(NoteLevel::Info, "config reloaded".to_owned());
        self.out.push(Action::ApplyConfig(self.config.clone()));
        let config = self.config.clone();
        self.sessions.retain(|name, _| config.group(name).is_some());
        self.out.push(Action::ObserveSessions);
        self.reload_told(Ok(&kept));
    }

    pub(in crate::core) fn config_rejected(&mut self, problems: Vec<String>) {
        for problem in &problems {
            self.note(NoteLevel::Error, format!("reload refused, nothing changed: {problem}"));
        }
        self.reload_told(Err(&problems));
        self.config_problems = problems;
    }

    pub(in crate::core) fn stop_requested(&mut self) {
        if self.draining_since.is_none() {
            self.draining_since = Some(self.now.monotonic);
            self.note(NoteLevel::Info, "draining".to_owned());
        }
    }

    /// Nothing new is ordered; what is in flight may still answer, and its proof is recorded.
    pub(in crate::core) fn advance_drain(&mut self) {
        let since = self.draining_since.expect("only called while draining");
        let waited = self.now.monotonic - since;
        if self.orders.is_empty() || waited >= timer::DRAIN_TIMEOUT {
            self.out.push(Action::Stop);
        }
    }

    pub(in crate::core) fn component_exited(&mut self, name: String, error: Option<String>) {
        let why = error.unwrap_or_else(|| "it ended by itself".to_owned());
        self.note(NoteLevel::Error, format!("component={name} ended: {why}"));
        self.dead_components.push(name);
    }
}
