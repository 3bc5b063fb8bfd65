//! What must fit together: names that are one, directories that lie in each other.
//!
//! Compared by their text alone; what links and mounts make of them is for `preflight`.

use std::path::Path;

use crate::config::raw::KeyPath;
use crate::config::section::Findings;
use crate::config::sections::{Draft, socket_too_long};
use crate::config::{Config, Strategy};

pub fn check(draft: &Draft, findings: &mut Findings<'_>) {
    account_names(draft, findings);
    account_homes(draft, findings);
    shared_directories(draft, findings);
    own_directories(draft, findings);
    pin(draft, findings);
    figures(draft, findings);
}

fn account_names(draft: &Draft, findings: &mut Findings<'_>) {
    for (at, account) in draft.config.accounts.iter().enumerate() {
        let before = &draft.config.accounts[..at];
        if let Some(first) = before.iter().position(|other| other.name == account.name) {
            let first = &draft.accounts_at[first];
            let message = format!("{} is the name of {first}, too", account.name);
            findings.problem(&draft.accounts_at[at].key("name"), message);
        }
    }
}

fn account_homes(draft: &Draft, findings: &mut Findings<'_>) {
    let link = &draft.config.link;
    for (at, account) in draft.config.accounts.iter().enumerate() {
        let path = draft.accounts_at[at].key("home");
        let home = &account.home;
        if home == link {
            let message = format!(
                "{} is the link, which must stay free to name any account: give this account a \
                 directory of its own",
                home.display()
            );
            findings.problem(&path, message);
        } else if overlap(home, link) {
            let message = overlap_message(home, link, "the link");
            findings.problem(&path, message);
        }
        for (other_at, other) in draft.config.accounts[..at].iter().enumerate() {
            let first = draft.accounts_at[other_at].key("home");
            if *home == other.home {
                let message = format!("{} is {first}, too", home.display());
                findings.problem(&path, message);
            } else if overlap(home, &other.home) {
                let message = overlap_message(home, &other.home, &first.to_string());
                findings.problem(&path, message);
            }
        }
    }
}

fn shared_directories(draft: &Draft, findings: &mut Findings<'_>) {
    let config = &draft.config;
    let path = KeyPath::default().key("pool").key("shared_projects_dir");
    let shared = &config.pool.shared.projects;
    if overlap(shared, &config.link) {
        let message = overlap_message(shared, &config.link, "the link");
        findings.problem_between([&path, &KeyPath::default().key("link")], message);
    }
    for (account, at) in config.accounts.iter().zip(&draft.accounts_at) {
        let home_path = at.key("home");
        if overlap(shared, &account.home) {
            let message = overlap_message(shared, &account.home, &home_path.to_string());
            findings.problem_between([&path, &home_path], message);
        }
    }
}

fn own_directories(draft: &Draft, findings: &mut Findings<'_>) {
    let (state_dir, runtime_dir) = (&draft.config.state_dir, &draft.config.runtime_dir);
    let path = KeyPath::default().key("runtime_dir");
    if is_inside(state_dir, runtime_dir) {
        let message = format!(
            "state_dir ({}) lies inside runtime_dir ({}), whose content goes at every boot: \
             choose two directories beside each other",
            state_dir.display(),
            runtime_dir.display()
        );
        findings.problem_between([&path, &KeyPath::default().key("state_dir")], message);
    }
    if let Some(message) = socket_too_long(&runtime_dir.join("control.sock")) {
        findings.problem(&path, message);
    }
}

fn pin(draft: &Draft, findings: &mut Findings<'_>) {
    let Some(pin) = &draft.config.selection.pin else {
        return;
    };
    if draft.config.account(pin).is_none() {
        let accounts = draft.config.accounts.iter();
        let names: Vec<&str> = accounts.map(|account| account.name.as_str()).collect();
        let message = format!("{pin} is no account: {}", names.join(", "));
        let path = KeyPath::default().key("selection").key("pin");
        findings.problem(&path, message);
    }
}

/// What goes by used shares needs somebody who reports them.
fn figures(draft: &Draft, findings: &mut Findings<'_>) {
    let Config { quota, selection, .. } = &draft.config;
    if quota.statusline {
        return;
    }
    let remedy = "without quota.statusline: true nobody reports used shares";
    if quota.preempt_at.is_some() {
        let path = KeyPath::default().key("quota").key("preempt_at");
        findings.warn(&path, format!("never reached: {remedy}"));
    }
    if selection.strategy != Strategy::Priority {
        let path = KeyPath::default().key("selection").key("strategy");
        let word = selection.strategy.word();
        findings.warn(&path, format!("{word} ranks as priority does: {remedy}"));
    }
}

fn overlap(left: &Path, right: &Path) -> bool {
    is_inside(left, right) || is_inside(right, left)
}

fn overlap_message(path: &Path, other: &Path, what: &str) -> String {
    let relation = if path == other {
        "is"
    } else if is_inside(path, other) {
        "lies inside"
    } else {
        "holds"
    };
    format!(
        "{} {relation} {what} ({}): choose a directory beside it",
        path.display(),
        other.display()
    )
}

/// Equal paths lie inside each other; a path that could not be read lies nowhere.
fn is_inside(path: &Path, directory: &Path) -> bool {
    !directory.as_os_str().is_empty() && path.starts_with(directory)
}
