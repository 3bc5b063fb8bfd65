//! Which account a process works on, from the configuration directory it was started with.
//!
//! The way from that directory is walked link by link and ends at ours: what lies behind it changes
//! with the next flip. Nothing is written, and no file in a home is opened.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::config::Config;
use crate::core::event::AgentHome;
use crate::ids::AccountName;
use crate::process::table;

/// As many as the kernel follows.
const LINKS_MAX: usize = 40;

/// The link and the homes as they lie on the disk now.
#[derive(Debug)]
pub struct Homes {
    /// The real directory of the link, then the link's own name.
    link: PathBuf,
    accounts: Vec<(AccountName, PathBuf)>,
}

impl Homes {
    pub fn look(config: &Config) -> Self {
        let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let link = match (config.link.parent(), config.link.file_name()) {
            (Some(parent), Some(name)) => real(parent).join(name),
            _ => config.link.clone(),
        };
        let accounts = config
            .accounts
            .iter()
            .map(|account| (account.name.clone(), real(&account.home)))
            .collect();
        Self { link, accounts }
    }

    /// The client's own rule: `CLAUDE_CONFIG_DIR`, else `.claude` in `HOME`.
    ///
    /// # Errors
    /// The process's environment cannot be read.
    pub fn of_process(&self, pid: i32) -> io::Result<AgentHome> {
        if let Some(directory) = table::env_value(pid, "CLAUDE_CONFIG_DIR")? {
            return Ok(self.of_directory(Path::new(&directory)));
        }
        Ok(match table::env_value(pid, "HOME")? {
            Some(home) => self.of_directory(&Path::new(&home).join(".claude")),
            None => AgentHome::Elsewhere,
        })
    }

    fn of_directory(&self, directory: &Path) -> AgentHome {
        if !directory.is_absolute() {
            return AgentHome::Elsewhere;
        }
        let mut links = 0;
        let mut walked = PathBuf::from("/");
        let mut ahead = steps(directory);
        while let Some(step) = ahead.pop() {
            if step == ".." {
                walked.pop();
                continue;
            }
            let next = walked.join(step);
            if ahead.is_empty() && next == self.link {
                return AgentHome::Linked;
            }
            match fs::read_link(&next) {
                Ok(target) if links < LINKS_MAX => {
                    links += 1;
                    if target.is_absolute() {
                        walked = PathBuf::from("/");
                    }
                    ahead.extend(steps(&target));
                }
                _ => walked = next,
            }
        }
        self.accounts
            .iter()
            .find(|(_, home)| *home == walked)
            .map_or(AgentHome::Elsewhere, |(name, _)| AgentHome::Homed(name.clone()))
    }
}

/// The names on a path, the first one last.
fn steps(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// The account whose home the link names now; `None` when it names none of ours.
pub fn active_account(config: &Config) -> Option<AccountName> {
    let target = fs::canonicalize(&config.link).ok()?;
    let leads_there = |home: &Path| fs::canonicalize(home).is_ok_and(|home| home == target);
    let active = config.accounts.iter().find(|account| leads_there(&account.home));
    active.map(|account| account.name.clone())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_directory_is_followed_up_to_the_link_and_no_further() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().canonicalize().unwrap().join(name);
        for name in ["real/a", "real/b", "other", "user"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        symlink("real", at("disk")).unwrap();
        symlink(at("disk/a"), at("user/.claude")).unwrap();
        symlink("user/.claude", at("to-link")).unwrap();
        symlink(at("disk/b"), at("to-b")).unwrap();
        symlink("circle", at("circle")).unwrap();
        symlink("user", at("alias")).unwrap();
        let homes = Homes {
            link: at("user/.claude"),
            accounts: vec![
                ("a".parse().unwrap(), at("real/a")),
                ("b".parse().unwrap(), at("real/b")),
            ],
        };
        let homed = |name: &str| AgentHome::Homed(name.parse().unwrap());
        for (path, expected) in [
            ("user/.claude", AgentHome::Linked),
            ("user/.claude/", AgentHome::Linked),
            ("user/./.claude", AgentHome::Linked),
            ("alias/.claude", AgentHome::Linked),
            ("other/../user/.claude", AgentHome::Linked),
            ("to-link", AgentHome::Linked),
            ("real/a", homed("a")),
            ("disk/a/", homed("a")),
            ("to-b", homed("b")),
            ("user/.claude/../b", homed("b")),
            ("other", AgentHome::Elsewhere),
            ("real/a/sub", AgentHome::Elsewhere),
            ("missing", AgentHome::Elsewhere),
            ("circle", AgentHome::Elsewhere),
        ] {
            assert_eq!(homes.of_directory(&at(path)), expected, "{path}");
        }
        for path in ["", "real/a", "/"] {
            let home = homes.of_directory(Path::new(path));
            assert_eq!(home, AgentHome::Elsewhere, "{path:?}");
        }
    }
}
