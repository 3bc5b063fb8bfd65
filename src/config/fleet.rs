//! The keys that say who works: accounts, selection, dedicated sessions and the pool.

use std::path::PathBuf;

use crate::config::raw::KeyPath;
use crate::config::section::{Section, read_section};
use crate::config::{Account, Autonomous, Dedicated, Pool, Selection, SharedDirs, Strategy};
use crate::ids::{AccountName, SessionName};
use crate::yaml::Node;
use crate::yaml::value::{describe, line_of_text};

/// Sessions that one tmux server and one observation cycle are measured with.
pub const POOL_MAX: u32 = 500;
const DEDICATED_MAX: usize = 500;
const ACCOUNTS_MAX: usize = 32;
/// Keeps names short and sums far from their limit.
const INDEX_MAX: u32 = 1_000_000;
const PRIORITY_MAX: u32 = 1_000_000;

/// With the place of each; those that lack a name or a home are reported and left out.
pub fn accounts(root: &mut Section<'_, '_>) -> Vec<(KeyPath, Account)> {
    let mut accounts = Vec::new();
    let items = root.items("accounts", ACCOUNTS_MAX);
    if items.is_empty() {
        let remedy = "at least one account is needed: \
                      accounts: [{name: primary, home: ~/.claude-primary}]";
        root.problem("accounts", remedy);
    }
    for (position, (path, node)) in (1..).zip(items) {
        let read = |account: &mut Section<'_, '_>| read_account(account, position);
        if let Some(account) = read_section(root.findings, path.clone(), node, read) {
            accounts.push((path, account));
        }
    }
    accounts
}

fn read_account(account: &mut Section<'_, '_>, position: u32) -> Option<Account> {
    account.require("name", "name the account, for example name: primary");
    account.require("home", "name its Claude home, for example home: ~/.claude-primary");
    account.deprecated("limits", "no longer used: Claude Code itself says when a limit is reached");
    let priority = account.count("priority", position, 0..=PRIORITY_MAX);
    let name: Option<AccountName> = account.parsed("name");
    let home = account.given_path("home");
    Some(Account { name: name?, home: home?, priority })
}

pub fn selection(selection: &mut Section<'_, '_>) -> Selection {
    Selection {
        strategy: selection
            .read("strategy", |node| match line_of_text(node)? {
                "priority" => Ok(Strategy::Priority),
                "soonest_reset" => Ok(Strategy::SoonestReset),
                "most_headroom" => Ok(Strategy::MostHeadroom),
                _ => Err(format!(
                    "{} is no strategy: priority, soonest_reset or most_headroom",
                    describe(node)
                )),
            })
            .unwrap_or(Strategy::Priority),
        return_to_preferred: selection.flag("return_to_preferred", false),
        pin: selection.unless_null("pin", |selection| selection.parsed("pin")),
    }
}

/// `autonomous` at the top of the file is read as `pool.autonomous`.
pub fn pool(root: &mut Section<'_, '_>) -> Pool {
    let outer_path = root.at("autonomous");
    let outer = root.hidden_node("autonomous");
    root.section("pool", |pool| {
        let shared = shared(pool);
        let dedicated = dedicated(pool);
        let inner = pool.node("autonomous");
        if outer.is_some() && inner.is_some() {
            let message = "stands under pool, too: remove one of them";
            pool.findings.problem(&outer_path, message);
        }
        let (path, node) = match inner {
            Some(node) => (pool.at("autonomous"), Some(node)),
            None => (outer_path, outer),
        };
        let autonomous = match node {
            None | Some(Node::Null) => None,
            Some(node) => read_section(pool.findings, path, node, |section| {
                read_autonomous(section, &dedicated)
            }),
        };
        Pool {
            shared,
            dedicated: dedicated.into_iter().map(|(_, session)| session).collect(),
            autonomous,
        }
    })
}

fn shared(pool: &mut Section<'_, '_>) -> SharedDirs {
    let projects = pool.path("shared_projects_dir", "~/.claude-projects-shared");
    let sibling = |word: &str| {
        let name = projects.file_name()?.to_str()?;
        let sibling = name.replacen("projects", word, 1);
        (sibling != name).then(|| projects.with_file_name(sibling))
    };
    let (session_env, file_history) = (sibling("session-env"), sibling("file-history"));
    if session_env.is_none() && !projects.as_os_str().is_empty() {
        let message = "the last part of the path must hold \"projects\": its siblings with \
                       \"session-env\" and \"file-history\" in that place are shared, too";
        pool.problem("shared_projects_dir", message);
    }
    SharedDirs {
        projects,
        session_env: session_env.unwrap_or_default(),
        file_history: file_history.unwrap_or_default(),
    }
}

fn dedicated(pool: &mut Section<'_, '_>) -> Vec<(KeyPath, Dedicated)> {
    let mut sessions: Vec<(KeyPath, Dedicated)> = Vec::new();
    for (path, node) in pool.items("dedicated", DEDICATED_MAX) {
        let session = read_section(pool.findings, path.clone(), node, read_dedicated);
        let Some(session) = session else { continue };
        if let Some((first, _)) = sessions.iter().find(|(_, other)| other.name == session.name) {
            let message = format!("{} is the name of {first}, too", session.name);
            pool.findings.problem(&path.key("name"), message);
        }
        sessions.push((path, session));
    }
    sessions
}

fn read_dedicated(session: &mut Section<'_, '_>) -> Option<Dedicated> {
    session.require("name", "name the tmux session, for example name: ccl-1-website");
    session.require("project", "name the directory it works in");
    let resume_after_loss = session.flag("resume_after_loss", true);
    let nudge = session.unless_null("nudge", |session| {
        session.read("nudge", |node| line_of_text(node).map(str::to_owned))
    });
    let name: Option<SessionName> = session.parsed("name");
    let project = session.given_path("project");
    Some(Dedicated { name: name?, project: project?, resume_after_loss, nudge })
}

/// `None` when the range gives no valid names: nothing may be derived from it then.
fn read_autonomous(
    pool: &mut Section<'_, '_>,
    dedicated: &[(KeyPath, Dedicated)],
) -> Option<Autonomous> {
    pool.require("prefix", "name what its sessions begin with, for example prefix: \"ccl-auto-\"");
    let start_index = pool.count("start_index", 0, 0..=INDEX_MAX);
    let min = pool.count("min", 0, 0..=POOL_MAX);
    let max = pool.count("max", min, 0..=POOL_MAX);
    let workdir = workdir(pool);
    let last_index = start_index + max.saturating_sub(1);
    let prefix = pool.read("prefix", |node| prefix(node, last_index))?;
    if min > max {
        pool.problem("min", format!("{min} is more than max, which is {max}"));
        return None;
    }
    let autonomous = Autonomous { prefix, start_index, min, max, workdir };
    for name in autonomous.names() {
        if let Some((path, _)) = dedicated.iter().find(|(_, session)| session.name == name) {
            let message = format!(
                "{name} is inside the range of the pool, {}{start_index} to {}{last_index}: \
                 rename it or move start_index",
                autonomous.prefix, autonomous.prefix
            );
            pool.findings.problem(&path.key("name"), message);
        }
    }
    Some(autonomous)
}

/// A bare `~` is the home directory here, as is an absent key; YAML reads it as null.
fn workdir(pool: &mut Section<'_, '_>) -> PathBuf {
    match pool.node("workdir") {
        Some(Node::Null) | None => match pool.findings.base.home.clone() {
            Some(home) => home,
            None => {
                let message = "the home directory is not known: set HOME or name a directory";
                pool.problem("workdir", message);
                PathBuf::new()
            }
        },
        Some(_) => pool.given_path("workdir").unwrap_or_default(),
    }
}

fn prefix(node: &Node, last_index: u32) -> Result<String, String> {
    let prefix = line_of_text(node)?;
    if prefix.ends_with(|c: char| c.is_ascii_digit()) {
        return Err(format!(
            "{prefix:?} ends in a digit, so {prefix}1 could be two sessions: end it in -"
        ));
    }
    let last = format!("{prefix}{last_index}");
    match last.parse::<SessionName>() {
        Ok(_) => Ok(prefix.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
