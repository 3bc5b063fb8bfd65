//! Accounts on disk: their homes, the link that names one of them, the links they share.
//!
//! A link that leads elsewhere and a directory in the way may hold conversations, so they are
//! named with a way out and never corrected.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::config::load::Problem;
use crate::config::{Account, Config};
use crate::preflight::directories::cannot_be_made;
use crate::preflight::{command, problem};
use crate::shell_word::shell_word;

/// The same without hands, and with a way back.
const OR_ADOPT: &str = "; or let it be done: claude-failover init --adopt";

pub fn check_homes(config: &Config, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<(u64, u64), &Account> = BTreeMap::new();
    for account in &config.accounts {
        let home = account.home.as_path();
        let message = match fs_err::metadata(home) {
            // The way out for the link makes this home, too; two recipes would nest one in the other.
            Err(error) if error.kind() == ErrorKind::NotFound && is_made_of_link(config, home) => {
                continue;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => format!(
                "{} does not exist: make it and log in once: mkdir -m 700 {} && \
                 CLAUDE_CONFIG_DIR={} claude",
                home.display(),
                shell_word(home),
                shell_word(home)
            ),
            Err(error) => format!("looking at the home: {error}"),
            Ok(metadata) if !metadata.is_dir() => format!(
                "{} is not a directory: name the directory that holds this account's login",
                home.display()
            ),
            Ok(metadata) => match seen.insert((metadata.dev(), metadata.ino()), account) {
                None => continue,
                Some(first) => format!(
                    "{} is the same directory as the home of {} ({}): each account needs its own",
                    home.display(),
                    first.name,
                    first.home.display()
                ),
            },
        };
        problems.push(problem(home_key(account), message));
    }
}

pub fn check_link(config: &Config, problems: &mut Vec<Problem>) {
    let Some(preferred) = config.accounts.first() else {
        return;
    };
    let (link, home) = (config.link.as_path(), preferred.home.as_path());
    let make = command(&["ln".as_ref(), "-s".as_ref(), home, link]);
    let replace = command(&["ln".as_ref(), "-sfn".as_ref(), home, link]);
    let message = match fs_err::symlink_metadata(link) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            format!("{} does not exist: make it once: {make}", link.display())
        }
        Err(error) => format!("looking at the link: {error}"),
        Ok(metadata) if metadata.is_dir() => format!(
            "{} is a real directory, not a link to an account's home: end every Claude Code, \
             then {}{}",
            link.display(),
            turn_into_home(link, home),
            // It becomes the home of an account that has none.
            match config.accounts.iter().all(|account| account.home.exists()) {
                true => "",
                false => OR_ADOPT,
            }
        ),
        Ok(metadata) if !metadata.is_symlink() => format!(
            "{} is a file, not a link to an account's home: move it away, then {make}",
            link.display()
        ),
        Ok(_) => match link_trouble(config, link) {
            None => return,
            Some(trouble) => format!("{} {trouble}: {replace}", link.display()),
        },
    };
    problems.push(problem("link", message));
}

/// Why a symlink names no account; `None` when it does, or when the home it names is missing,
/// which has been said.
fn link_trouble(config: &Config, link: &Path) -> Option<String> {
    let target = match fs_err::read_link(link) {
        Ok(target) => link.parent().unwrap_or(Path::new("/")).join(target),
        Err(error) => return Some(format!("cannot be read ({error})")),
    };
    if config.accounts.iter().any(|account| account.home == target) {
        return None;
    }
    match link.canonicalize() {
        Err(error) => {
            Some(format!("leads to {}, which cannot be reached ({error})", target.display()))
        }
        Ok(real) => {
            let mut homes = config.accounts.iter().map(|account| &account.home);
            let names_one = homes.any(|home| home.canonicalize().is_ok_and(|home| home == real));
            (!names_one)
                .then(|| format!("leads to {}, which is the home of no account", real.display()))
        }
    }
}

/// The way from a single account to the link, without losing what the directory holds. The
/// client keeps its state beside `~/.claude`, but inside a home that it is given by name.
fn turn_into_home(link: &Path, home: &Path) -> String {
    let words = |words: &[&Path]| command(words);
    let make = words(&["ln".as_ref(), "-s".as_ref(), home, link]);
    if home.exists() {
        let kept = with_suffix(link, ".before");
        let keep = words(&["mv".as_ref(), "-T".as_ref(), link, &kept]);
        return format!("{keep} && {make} (and copy from it what you miss)");
    }
    let take = words(&["mv".as_ref(), "-T".as_ref(), link, home]);
    let state = with_suffix(link, ".json");
    if state.exists() {
        let inside = home.join(".claude.json");
        let copy = words(&["cp".as_ref(), "-p".as_ref(), &state, &inside]);
        return format!("{take} && {copy} && {make}");
    }
    format!("{take} && {make}")
}

fn is_made_of_link(config: &Config, home: &Path) -> bool {
    let is_preferred = config.accounts.first().is_some_and(|account| account.home == home);
    let link = fs_err::symlink_metadata(&config.link);
    is_preferred && link.is_ok_and(|metadata| metadata.is_dir())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut text = path.as_os_str().to_owned();
    text.push(suffix);
    PathBuf::from(text)
}

pub fn check_shared(config: &Config, uid: u32, problems: &mut Vec<Problem>) {
    for (name, shared) in config.pool.shared.links() {
        if let Some(why) = cannot_be_made(shared, uid) {
            let message = format!("the shared directory for {name}: {why}");
            problems.push(problem("pool.shared_projects_dir", message));
        }
        for account in &config.accounts {
            if let Some(message) = shared_link_trouble(&account.home.join(name), shared) {
                problems.push(problem(home_key(account), message));
            }
        }
    }
}

/// A missing link is no trouble: the daemon makes it.
fn shared_link_trouble(link: &Path, shared: &Path) -> Option<String> {
    let metadata = match fs_err::symlink_metadata(link) {
        Ok(metadata) => metadata,
        // The home itself is missing or no directory, which has been said.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return None;
        }
        Err(error) => return Some(format!("looking at a shared link: {error}")),
    };
    let make = command(&["ln".as_ref(), "-s".as_ref(), shared, link]);
    let kept = with_suffix(link, ".before");
    let keep = command(&["mv".as_ref(), "-T".as_ref(), link, &kept]);
    if metadata.is_dir() {
        let copy =
            format!("mkdir -p {0} && cp -an {1}/. {0}/", shell_word(shared), shell_word(link));
        return Some(format!(
            "{} is a real directory in the way of the link to {}: end every Claude Code of this \
             account, then {copy} && {keep} && {make}{OR_ADOPT}",
            link.display(),
            shared.display()
        ));
    }
    if !metadata.is_symlink() {
        return Some(format!(
            "{} is a file in the way of the link to {}: {keep} && {make}",
            link.display(),
            shared.display()
        ));
    }
    let target = fs_err::read_link(link).ok()?;
    let target = link.parent()?.join(target);
    let is_right = target == shared
        || matches!((link.canonicalize(), shared.canonicalize()), (Ok(a), Ok(b)) if a == b);
    (!is_right).then(|| {
        let replace = command(&["ln".as_ref(), "-sfn".as_ref(), shared, link]);
        format!(
            "{} leads to {}, not to {}: move what is there to the shared directory, then {replace}",
            link.display(),
            target.display(),
            shared.display()
        )
    })
}

fn home_key(account: &Account) -> String {
    format!("accounts[{}].home", account.name)
}
