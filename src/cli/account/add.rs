//! `account add`: one more home, and its place in the configuration.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::cli::account::insert::{Entry, insert};
use crate::cli::exit;
use crate::cli::init::compose::word;
use crate::cli::init::right_user;
use crate::cli::say;
use crate::cli::units::Units;
use crate::config::load::{Base, load};
use crate::config::{Account, Config};
use crate::files;
use crate::ids::AccountName;
use crate::shell_word::shell_word;
use crate::switcher::check::ensure_shared;

pub fn run(file: &Path, name: &AccountName, home: Option<&Path>, priority: Option<u32>) -> u8 {
    match add(file, name, home, priority) {
        Ok(home) => {
            say_what_follows(file, name, &home);
            exit::OK
        }
        Err((code, why)) => {
            say::error(&why);
            code
        }
    }
}

/// The file is looked at first and written last, so that what fails in between leaves it alone.
fn add(
    file: &Path,
    name: &AccountName,
    home: Option<&Path>,
    priority: Option<u32>,
) -> Result<PathBuf, (u8, String)> {
    let failed = |why: String| (exit::FAILED, why);
    right_user().map_err(failed)?;
    let config = load(file).map_err(|error| (exit::CONFIG, error.to_string()))?.config;
    if let Some(account) = config.account(name) {
        return Err(failed(format!("{name} is there already: {}", account.home.display())));
    }
    let home = match home {
        Some(home) => std::path::absolute(home).map_err(|error| failed(error.to_string()))?,
        None => beside_link(&config, name),
    };
    if let Some(other) = config.accounts.iter().find(|other| files::leads_to(&other.home, &home)) {
        let (home, name) = (home.display(), &other.name);
        return Err(failed(format!("{home} is the home of {name}: each account needs its own")));
    }
    let base = Base::from_environment();
    let text = fs_err::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let written = word(base.home.as_deref().unwrap_or(Path::new("/nowhere")), &home);
    let last = config.accounts.iter().map(|account| account.priority).max().unwrap_or(0);
    let priority = priority.unwrap_or(last.saturating_add(1));
    let entry = Entry { name: name.as_str(), home: &written, priority };
    let (next, config) = insert(&text, entry, &base).ok_or_else(|| {
        failed(format!(
            "{}: the list of accounts is written in a way that is not changed here with certainty, \
             or {} is no good home; add to it yourself: {{name: {name}, home: {written}}}",
            file.display(),
            home.display()
        ))
    })?;
    let account = config.account(name).ok_or_else(|| failed("it was not added".to_owned()))?;
    make_home(&config, account).map_err(failed)?;
    replace(file, &text, &next).map_err(|error| {
        failed(format!(
            "{error}: the home and its links are made; add to the list of accounts yourself, with \
             sudo: {{name: {name}, home: {written}, priority: {priority}}}"
        ))
    })?;
    Ok(home)
}

/// `~/.claude` gives `~/.claude-backup`.
fn beside_link(config: &Config, name: &AccountName) -> PathBuf {
    let mut path = config.link.as_os_str().to_owned();
    path.push(format!("-{name}"));
    path.into()
}

/// A home that is there already keeps what it holds.
fn make_home(config: &Config, account: &Account) -> Result<(), String> {
    let home = account.home.as_path();
    files::make_dir(home).map_err(|error| error.to_string())?;
    ensure_shared(config, account).map_err(|why| {
        format!(
            "{why}\nThe configuration is unchanged. A home that already holds conversations: write \
             {{name: {}, home: {}}} into it by hand, then claude-failover init --adopt",
            account.name,
            home.display()
        )
    })
}

/// With the mode that it has; the text of before stays as `.old`.
fn replace(file: &Path, old: &str, next: &str) -> io::Result<()> {
    // Where a link leads, so that the link stays one.
    let file = fs_err::canonicalize(file)?;
    let mode = fs_err::metadata(&file)?.mode() & 0o777;
    let mut kept = file.clone().into_os_string();
    kept.push(".old");
    files::write_atomic(Path::new(&kept), old.as_bytes(), mode)?;
    files::write_atomic(&file, next.as_bytes(), mode)
}

fn say_what_follows(file: &Path, name: &AccountName, home: &Path) {
    let at = shell_word(home);
    say::line(format_args!("account {name}: {} is made and in {}", home.display(), file.display()));
    say::line("(the file of before is kept beside it, with .old behind its name)");
    say::line("1. log in, once:");
    say::line(format_args!("     CLAUDE_CONFIG_DIR={at} claude"));
    say::line(
        "   choose the theme, /login, and in every work directory answer once that you trust",
    );
    say::line(
        "   the folder and accept the bypass mode; claude-failover doctor says what is missing",
    );
    say::line(
        "2. restart the daemon, which takes new accounts only then; sessions stay as they are:",
    );
    let user_home = std::env::home_dir().unwrap_or_default();
    let units = Units::look(Path::new("/"), &user_home, geteuid().as_raw());
    let systemctl = units.kind_of_daemon().systemctl();
    say::line(format_args!("     {systemctl} restart claude-failover"));
}
