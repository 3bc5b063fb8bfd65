//! What a reload can change, and the one line that says what was loaded.

use crate::config::Config;

impl Config {
    /// The keys whose change needs a restart, as far as `new` changes them.
    pub fn restart_keys(&self, new: &Config) -> Vec<&'static str> {
        let changed = self.restart_differences(new).into_iter().filter(|(_, differs)| *differs);
        changed.map(|(key, _)| key).collect()
    }

    /// Every key whose change needs a restart, and whether `new` changes it.
    pub fn restart_differences(&self, new: &Config) -> [(&'static str, bool); 9] {
        [
            ("link", self.link != new.link),
            ("accounts", self.accounts != new.accounts),
            ("tmux", self.tmux != new.tmux),
            ("state_dir", self.state_dir != new.state_dir),
            ("runtime_dir", self.runtime_dir != new.runtime_dir),
            // Tasks in hand lie there, and agents have been told of it.
            (
                "dispatcher.projects_dir",
                self.dispatcher.projects_dir != new.dispatcher.projects_dir,
            ),
            (
                "watcher.done_signal_dir",
                self.watcher.done_signal_dir != new.watcher.done_signal_dir,
            ),
            ("http", self.http != new.http),
            ("pool.shared_projects_dir", self.pool.shared != new.pool.shared),
        ]
    }

    /// Takes over what only a restart can change.
    pub fn keep_restart_keys_of(&mut self, old: &Config) {
        self.link.clone_from(&old.link);
        self.accounts.clone_from(&old.accounts);
        self.tmux.clone_from(&old.tmux);
        self.dispatcher.projects_dir.clone_from(&old.dispatcher.projects_dir);
        self.watcher.done_signal_dir.clone_from(&old.watcher.done_signal_dir);
        self.http.clone_from(&old.http);
        self.pool.shared.clone_from(&old.pool.shared);
        self.state_dir.clone_from(&old.state_dir);
        self.runtime_dir.clone_from(&old.runtime_dir);
    }
}

/// `config loaded: accounts=2 dedicated=2 pool min=10 max=10`; without a pool both are 0.
pub fn summary(config: &Config) -> String {
    let pool = config.pool.autonomous.as_ref();
    format!(
        "config loaded: accounts={} dedicated={} pool min={} max={}",
        config.accounts.len(),
        config.pool.dedicated.len(),
        pool.map_or(0, |pool| pool.min),
        pool.map_or(0, |pool| pool.max),
    )
}
