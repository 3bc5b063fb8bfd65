//! What must hold before an account is switched to. Missing links are made, wrong ones reported.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{Account, Config};
use crate::files;
use crate::ids::AccountName;
use crate::process::shell::resolve_program;
use crate::shell_word::shell_word;

/// Everything that stands in the way of a swap to `account`, each with both paths it concerns.
pub fn target_problems(config: &Config, account: &AccountName) -> Vec<String> {
    let Some(account) = config.account(account) else {
        return vec![format!("no account {account} in the configuration")];
    };
    // A missing home is told once, by the check of what belongs into it.
    let mut problems = shared_problems(config, account);
    if account.home.is_dir()
        && let Err(error) = files::check_flip(&config.link, &account.home)
    {
        problems.push(error.to_string());
    }
    if let Err(error) = files::read_link(&config.link)
        && error.kind() == io::ErrorKind::NotFound
    {
        problems.push(format!(
            "the link {} is missing: make it (ln -s {} {})",
            config.link.display(),
            shell_word(&account.home),
            shell_word(&config.link)
        ));
    }
    problems
}

/// Makes the shared directories and the account's links to them where they are missing.
///
/// A link that leads elsewhere, or a file in its place, is an error and stays as it is.
pub fn ensure_shared(config: &Config, account: &Account) -> Result<(), String> {
    let problems = shared_problems(config, account);
    match problems.is_empty() {
        true => Ok(()),
        false => Err(problems.join("; ")),
    }
}

/// The program of `agent.command`, in the PATH that the agent will have.
pub fn resolve_agent(config: &Config, login_path: Option<&str>) -> Result<PathBuf, String> {
    let program = config.agent.command.first().ok_or("agent.command is empty")?;
    let path = config.agent.env.get("PATH").map(String::as_str);
    resolve_program(program, OsStr::new(path.or(login_path).unwrap_or_default()))
        .map_err(|error| format!("agent.command: {error}"))
}

fn shared_problems(config: &Config, account: &Account) -> Vec<String> {
    let home = &account.home;
    match fs_err::metadata(home) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return vec![format!("{} is not a directory", home.display())],
        Err(error) => {
            let name = &account.name;
            return vec![format!(
                "account {name} has no home: {error}; log in once with CLAUDE_CONFIG_DIR={}",
                shell_word(home)
            )];
        }
    }
    let links = config.pool.shared.links();
    let problem = |(name, target): (&str, &PathBuf)| ensure_link(&home.join(name), target).err();
    links.into_iter().filter_map(problem).collect()
}

fn ensure_link(link: &Path, target: &Path) -> Result<(), String> {
    files::make_dir(target).map_err(|error| error.to_string())?;
    let (at, to) = (link.display(), target.display());
    match fs_err::symlink_metadata(link) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            files::make_link(link, target).map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
        Ok(_) if files::leads_to(link, target) => Ok(()),
        Ok(found) if found.is_symlink() => Err(match files::read_link(link) {
            Ok(other) => format!(
                "{at} leads to {}, not to {to}: join their contents and correct the link",
                other.display()
            ),
            Err(error) => error.to_string(),
        }),
        Ok(_) => Err(format!(
            "{at} is no link to {to}: move what it holds there, remove it, and it will be linked"
        )),
    }
}
