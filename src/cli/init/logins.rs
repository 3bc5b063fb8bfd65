//! The logins of the accounts, as their client tells them.

use std::path::{Path, PathBuf};

use crate::adopt::occupants::{Occupant, occupants};
use crate::agent_settings::client_version::{self, Version};
use crate::cli::say;
use crate::config::{Account, Config};
use crate::preflight::login::{Home, Login, login};
use crate::process::shell::{login_path, login_shell};
use crate::shell_word::shell_word;
use crate::switcher::check::resolve_agent;

/// The program that agents run, and what it says of itself.
#[derive(Debug, Clone)]
pub struct Client {
    pub program: PathBuf,
    pub version: Version,
}

/// How an account's client was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    Answered(Login),
    /// Somebody lives in the home, and must not be disturbed.
    Lived(i32),
    /// There is no home yet.
    NoHome,
}

impl Client {
    /// The PATH of agents is that of a login shell.
    ///
    /// # Errors
    /// There is no such program, or it is no Claude Code.
    pub fn find(config: &mut Config) -> Result<Self, String> {
        if let Some(path) = login_path(&login_shell()) {
            config.agent.env.entry("PATH".to_owned()).or_insert(path);
        }
        let program = resolve_agent(config, None)?;
        let version = client_version::ask(config, &program)?;
        Ok(Self { program, version })
    }

    /// `lived_in`: who lives where, from [`occupants`].
    pub fn ask(&self, config: &Config, account: &Account, lived_in: &[Occupant]) -> Ask {
        let home = account.home.as_path();
        let is_usual = !home.exists() && is_to_become(config, account);
        if !home.is_dir() && !is_usual {
            return Ask::NoHome;
        }
        let is_here = |occupant: &&Occupant| match &occupant.account {
            Some(name) => *name == account.name,
            None => is_usual,
        };
        if let Some(occupant) = lived_in.iter().find(is_here) {
            return Ask::Lived(occupant.pid);
        }
        let home = if is_usual { Home::Usual } else { Home::Named(home) };
        Ask::Answered(login(config, &self.program, self.version, home))
    }
}

/// The directory in the place of the link is this account's home until it is adopted.
fn is_to_become(config: &Config, account: &Account) -> bool {
    let is_dir = fs_err::symlink_metadata(&config.link).is_ok_and(|found| found.is_dir());
    let mut missing = config.accounts.iter().filter(|account| !account.home.exists());
    let is_usual = std::env::home_dir().is_some_and(|home| home.join(".claude") == config.link);
    is_dir && is_usual && missing.next().is_some_and(|first| first.name == account.name)
}

/// One line an account.
pub fn show(config: &Config) {
    let mut config = config.clone();
    let client = Client::find(&mut config);
    let lived_in = occupants(&config).map_err(|error| error.to_string());
    for account in &config.accounts {
        let said = match (&client, &lived_in) {
            (Ok(client), Ok(lived_in)) => told(account, &client.ask(&config, account, lived_in)),
            (Err(why), _) | (_, Err(why)) => format!("login unknown: {why}"),
        };
        say::line(format_args!("account {}: {}: {said}", account.name, account.home.display()));
    }
}

fn told(account: &Account, ask: &Ask) -> String {
    match ask {
        Ask::NoHome => "no home yet".to_owned(),
        Ask::Lived(pid) => format!("login not asked for: process {pid} lives there"),
        Ask::Answered(Login::In(Some(email))) => format!("logged in as {email}"),
        Ask::Answered(Login::In(None)) => "logged in".to_owned(),
        Ask::Answered(Login::Out) => {
            format!("not logged in: {}, then /login", login_command(&account.home))
        }
        Ask::Answered(Login::Unknown(why)) => format!("login unknown: {why}"),
    }
}

pub fn login_command(home: &Path) -> String {
    format!("CLAUDE_CONFIG_DIR={} claude", shell_word(home))
}
