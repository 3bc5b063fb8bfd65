//! What a test wants of a fleet: its accounts, its sessions, its configuration.

use std::fs;
use std::path::PathBuf;

use crate::rig::Rig;
use crate::support::PrivateTmux;

pub struct Plan {
    /// Begins the names of its accounts and folders.
    pub name: &'static str,
    /// A letter each, the most preferred first.
    pub accounts: &'static str,
    /// Dedicated sessions and their nudges.
    pub dedicated: &'static [(&'static str, Option<&'static str>)],
    pub pool: u32,
    /// More keys of the section `swap`.
    pub swap: &'static str,
}

impl Plan {
    /// Letters and digits, as the rig needs it; of this run, for a rig may see several.
    pub fn account(&self, letter: char) -> String {
        format!("{}{letter}{}", self.name, std::process::id())
    }

    /// A folder that its accounts trust, with all that is in it.
    pub fn root(&self, rig: &Rig) -> PathBuf {
        rig.work(&format!("{}-{}", self.name, std::process::id()))
    }

    /// Makes the folders and the link, and writes the configuration.
    pub fn furnish(&self, rig: &Rig, tmux: &PrivateTmux, port: u16) -> PathBuf {
        let (dir, root) = (tmux.path().display(), self.root(rig));
        let accounts: Vec<(String, PathBuf)> = self
            .accounts
            .chars()
            .map(|letter| self.account(letter))
            .map(|account| (account.clone(), rig.home(&account)))
            .collect();
        std::os::unix::fs::symlink(&accounts[0].1, link(tmux)).unwrap();
        let accounts: String = accounts
            .iter()
            .map(|(account, home)| format!("  - {{name: {account}, home: {}}}\n", home.display()))
            .collect();
        let dedicated: String = self
            .dedicated
            .iter()
            .map(|(name, nudge)| {
                let project = root.join(name);
                fs::create_dir_all(&project).unwrap();
                let nudge = nudge.unwrap_or("null");
                format!("    - {{name: {name}, project: {}, nudge: {nudge}}}\n", project.display())
            })
            .collect();
        fs::create_dir_all(root.join("srv")).unwrap();
        let pool = match self.pool {
            0 => String::new(),
            count => format!("  autonomous: {{prefix: auto-, min: {count}, workdir: {dir}}}\n"),
        };
        let config = format!(
            "link: {link}\n\
             accounts:\n{accounts}\
             pool:\n  shared_projects_dir: {shared}\n  dedicated:\n{dedicated}{pool}\
             agent:\n  command: [{client}, --dangerously-skip-permissions]\n  \
               env: {{IS_SANDBOX: \"1\", TZ: UTC}}\n\
             tmux: {{socket: {socket}}}\n\
             dispatcher: {{projects_dir: {root}/srv, cooldown: 0s}}\n\
             swap: {{{swap}}}\n\
             http: {{listen: \"127.0.0.1:{port}\"}}\n\
             state_dir: {dir}/state\nruntime_dir: {dir}/run\n",
            link = link(tmux).display(),
            shared = rig.shared_projects().display(),
            client = rig.client().display(),
            socket = tmux.socket().display(),
            root = root.display(),
            swap = self.swap,
        );
        let path = tmux.path().join("config.yaml");
        fs::write(&path, config).unwrap();
        path
    }
}

pub fn link(tmux: &PrivateTmux) -> PathBuf {
    tmux.path().join("claude")
}
