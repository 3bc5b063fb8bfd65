//! The guard of autonomous agents: what it refuses, what it must let pass, how it is asked.

mod corpus;
mod files;
mod rules;
mod verb;

use claude_failover::guard::{Place, World};

pub const WORK: &str = "/srv/projects/website";

pub fn place() -> Place {
    Place {
        cwd: WORK.to_owned(),
        work: Some(WORK.to_owned()),
        home: "/home/dev".to_owned(),
        user: "dev".to_owned(),
        closed: vec!["/run/claude-failover".to_owned(), "/home/dev/.claude-primary".to_owned()],
        open: vec!["/run/claude-failover/done".to_owned()],
    }
}

/// A disk with two links and one repository.
pub struct Disk {
    pub branch: &'static str,
}

impl World for Disk {
    fn real(&self, path: &str) -> String {
        for (link, target) in [("rootlink", "/"), ("escape", "/home/dev")] {
            if let Some(rest) = path.strip_prefix(&format!("{WORK}/{link}")) {
                return format!("{target}{rest}");
            }
        }
        path.to_owned()
    }

    fn branch(&self, dir: &str) -> Option<String> {
        dir.starts_with(WORK).then(|| self.branch.to_owned())
    }
}
