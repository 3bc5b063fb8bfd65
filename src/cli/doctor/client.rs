//! The client that agents run, and the logins of the accounts.

use std::collections::BTreeMap;

use crate::adopt::occupants::occupants;
use crate::agent_settings::client_version::Version;
use crate::agent_settings::{TRIED, missing_hooks};
use crate::cli::doctor::finding::{Finding, fail, ok, skip, warn};
use crate::cli::init::logins::{Ask, Client, login_command};
use crate::config::Config;
use crate::preflight::login::Login;

const CHECK: &str = "client";

/// Adds the PATH of agents to `config`, as a start does.
pub fn check(config: &mut Config) -> (Vec<Finding>, Option<Client>) {
    match Client::find(config) {
        Ok(client) => {
            let found = version(client.version, &client.program.display().to_string());
            (vec![found], Some(client))
        }
        Err(why) => {
            let remedy = "agent.command must name a Claude Code that this user can run";
            (vec![fail(CHECK, why, remedy)], None)
        }
    }
}

/// What a client of this version can tell the daemon.
pub fn version(version: Version, program: &str) -> Finding {
    let number = number(version);
    let missing = missing_hooks(version);
    if !missing.is_empty() {
        let missing = missing.join(", ");
        return warn(
            CHECK,
            format!(
                "{program}: {number} has no hook {missing}: refusals are seen in transcripts and \
                 on screens alone"
            ),
            "claude update",
        );
    }
    let later = match version > TRIED {
        true => format!(", later than {}, the last one tried", self::number(TRIED)),
        false => String::new(),
    };
    ok(CHECK, format!("{program}: {number}{later}"))
}

fn number(Version(major, minor, patch): Version) -> String {
    format!("{major}.{minor}.{patch}")
}

/// One line an account.
pub fn logins(config: &Config, client: Option<&Client>) -> Vec<Finding> {
    let Some(client) = client else {
        return vec![skip("login", "there is no client to ask")];
    };
    let lived_in = match occupants(config) {
        Ok(lived_in) => lived_in,
        Err(error) => return vec![skip("login", format!("not asked for: {error}"))],
    };
    let answers = config.accounts.iter().map(|account| {
        let ask = client.ask(config, account, &lived_in);
        (account.name.to_string(), login_command(&account.home), ask)
    });
    of_answers(&answers.collect::<Vec<_>>())
}

/// Name, the command that logs in, and what the client said, of each account.
pub fn of_answers(answers: &[(String, String, Ask)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut logins: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (account, command, ask) in answers {
        findings.push(match ask {
            Ask::NoHome => skip("login", format!("account {account}: it has no home yet")),
            Ask::Lived(pid) => skip(
                "login",
                format!("account {account}: not asked for while process {pid} lives in its home"),
            ),
            Ask::Answered(Login::In(email)) => {
                let who = email.as_deref().map_or(String::new(), |email| format!(" as {email}"));
                if let Some(email) = email {
                    logins.entry(email).or_default().push(account);
                }
                ok("login", format!("account {account}: logged in{who}"))
            }
            Ask::Answered(Login::Out) => fail(
                "login",
                format!("account {account}: not logged in"),
                format!("{command}, then /login"),
            ),
            Ask::Answered(Login::Unknown(why)) => {
                warn("login", format!("account {account}: {why}"), format!("see: {command}"))
            }
        });
    }
    for (email, accounts) in logins.into_iter().filter(|(_, accounts)| accounts.len() > 1) {
        findings.push(warn(
            "login",
            format!("{} are all logged in as {email}: one quota serves them", accounts.join(", ")),
            "log in to each account as itself",
        ));
    }
    findings
}
