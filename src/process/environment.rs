//! What of our own environment an agent may see: a list of names, and nothing that is a secret.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;

/// A whole environment.
pub type Variables = BTreeMap<OsString, OsString>;

const ALLOWED: [&str; 11] = [
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "TZ",
    "TERM",
    "COLORTERM",
    "TMUX",
    "TMUX_PANE",
    "PATH",
];
const ALLOWED_PREFIX: &str = "LC_";

/// The part of our own environment that is passed on.
pub fn allowed() -> Variables {
    env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_allowed)).collect()
}

fn is_allowed(name: &str) -> bool {
    ALLOWED.contains(&name) || name.starts_with(ALLOWED_PREFIX)
}

/// What an agent is started with: the allowed part of ours and what the operator adds, without any
/// login.
pub fn of_agent(added: &BTreeMap<String, String>) -> Variables {
    let mut variables = allowed();
    for (name, value) in added {
        variables.insert(name.into(), value.into());
    }
    variables.retain(|name, _| !name.to_str().is_some_and(is_credential));
    variables
}

/// Whether a variable of this name carries a login of its own. An agent with one of these would
/// leave its account, so they pass from nowhere, not even from `agent.env`.
pub fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["_API_KEY", "_AUTH_TOKEN", "_OAUTH_TOKEN", "_ACCESS_TOKEN"]
        .iter()
        .any(|end| name.ends_with(end))
        || ["ANTHROPIC_CUSTOM_HEADERS", "AWS_BEARER_TOKEN_BEDROCK"].contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_carry_a_login_are_known() {
        for (name, expected) in [
            ("ANTHROPIC_API_KEY", true),
            ("ANTHROPIC_AUTH_TOKEN", true),
            ("CLAUDE_CODE_OAUTH_TOKEN", true),
            ("ANTHROPIC_CUSTOM_HEADERS", true),
            ("anthropic_api_key", true),
            ("ANTHROPIC_BASE_URL", false),
            ("CLAUDE_CODE_MAX_OUTPUT_TOKENS", false),
            ("IS_SANDBOX", false),
        ] {
            assert_eq!(is_credential(name), expected, "{name}");
        }
    }

    #[test]
    fn only_the_listed_names_pass() {
        for (name, expected) in [
            ("PATH", true),
            ("LC_ALL", true),
            ("TMUX_PANE", true),
            ("LD_PRELOAD", false),
            ("CLAUDE_CONFIG_DIR", false),
            ("NOTIFY_SOCKET", false),
            ("PATHS", false),
        ] {
            assert_eq!(is_allowed(name), expected, "{name}");
        }
    }
}
