//! The configuration for the homes that were found: a few keys, each with what it is for.

use std::path::{Component, Path, PathBuf};

use crate::cli::init::find::{Home, Kind};
use crate::ids::AccountName;

/// Of `~/.claude` when it becomes a home, and of the first home on a new machine.
const FIRST_NAMES: [&str; 3] = ["primary", "main", "first"];

/// Name and home of each account, the preferred one first.
pub fn accounts(user_home: &Path, homes: &[Home]) -> Vec<(String, PathBuf)> {
    let mut accounts: Vec<(String, PathBuf)> = Vec::new();
    let is_taken = |accounts: &[(String, PathBuf)], name: &str| {
        accounts.iter().any(|(taken, _)| taken == name)
            || user_home.join(format!(".claude-{name}")).exists()
    };
    for home in homes {
        let account = match home.kind {
            Kind::Usual => first_account(user_home, |name| is_taken(&accounts, name)),
            Kind::Linked | Kind::Beside => (name_of(&home.path, &accounts), home.path.clone()),
        };
        accounts.push(account);
    }
    if accounts.is_empty() {
        accounts.push(first_account(user_home, |name| is_taken(&[], name)));
    }
    accounts
}

fn first_account(user_home: &Path, is_taken: impl Fn(&str) -> bool) -> (String, PathBuf) {
    let numbered = (1..).map(|number| format!("account-{number}"));
    let mut names = FIRST_NAMES.into_iter().map(str::to_owned).chain(numbered);
    let name = names.find(|name| !is_taken(name)).expect("the numbers do not end");
    let home = user_home.join(format!(".claude-{name}"));
    (name, home)
}

/// What follows `.claude-`, as far as it can be a name.
fn name_of(home: &Path, accounts: &[(String, PathBuf)]) -> String {
    let text = home.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let text = text.strip_prefix(".claude-").unwrap_or(text).trim_start_matches('.');
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_-".contains(c) { c } else { '-' };
    let text: String = text.chars().map(plain).collect();
    let is_good = text.parse::<AccountName>().is_ok();
    let name = if is_good { text } else { format!("account-{}", accounts.len() + 1) };
    let is_taken = accounts.iter().any(|(taken, _)| *taken == name);
    if is_taken { format!("{name}-{}", accounts.len() + 1) } else { name }
}

/// Where homes of before share their conversations already; else the usual place.
pub fn shared_projects(user_home: &Path, homes: &[Home]) -> PathBuf {
    let led = homes.iter().filter_map(|home| {
        let link = home.path.join("projects");
        let target = home.path.join(fs_err::read_link(&link).ok()?);
        // As it is written, unless that is no path for a configuration.
        let is_plain = target.components().all(|part| part != Component::ParentDir);
        let target = if is_plain { target } else { link.canonicalize().ok()? };
        let name = target.file_name()?.to_str()?;
        (target.is_dir() && name.contains("projects")).then_some(target)
    });
    let mut led = led.filter(|target| !homes.iter().any(|home| target.starts_with(&home.path)));
    led.next().unwrap_or_else(|| user_home.join(".claude-projects-shared"))
}

/// The whole file.
pub fn text(user_home: &Path, accounts: &[(String, PathBuf)], shared: &Path) -> String {
    let mut list = String::new();
    for ((name, home), priority) in accounts.iter().zip(1..) {
        let home = word(user_home, home);
        list += &format!("  - name: {name}\n    home: {home}\n    priority: {priority}\n");
    }
    let link = word(user_home, &user_home.join(".claude"));
    let shared = word(user_home, shared);
    TEMPLATE.replace("@LINK@", &link).replace("@ACCOUNTS@\n", &list).replace("@SHARED@", &shared)
}

/// A path as one YAML value, from `~` where it is below it.
pub fn word(user_home: &Path, path: &Path) -> String {
    let text = match path.strip_prefix(user_home) {
        Ok(rest) => format!("~/{}", rest.display()),
        Err(_) => path.display().to_string(),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-~".contains(c);
    if text.chars().all(plain) {
        return text;
    }
    // What is a string in JSON is the same string in YAML.
    serde_json::Value::String(text).to_string()
}

/// Only what an operator changes first; `etc/config.example.yaml` has every key.
const TEMPLATE: &str = r#"# claude-failover: the configuration that `claude-failover init` wrote for this host.
#
# Every key, with its default: etc/config.example.yaml in the sources. After a change:
# `claude-failover check FILE`, then `claude-failover reload`; keys that are marked
# [restart] need a restart.

# [restart] The symlink that names the active account. Never a real directory:
# `claude-failover init --adopt` turns one into a home and makes the link.
link: @LINK@

# [restart] Your own accounts, each a Claude home with a login of its own:
# CLAUDE_CONFIG_DIR=<home> claude, then /login. A lower priority is preferred. One more:
# `claude-failover account add NAME`.
accounts:
@ACCOUNTS@

pool:
  # [restart] Conversations live here, and every home links to it, so that any account can resume
  # any of them; two siblings with "session-env" and "file-history" in place of "projects" likewise.
  shared_projects_dir: @SHARED@

  # Your own sessions: kept alive, resumed after a swap, never given a task.
  dedicated: []
  #  - name: ccl-1-website
  #    project: /srv/projects/website

  # Sessions for tasks, named prefix + number. Without this there is no pool.
  # autonomous:
  #   prefix: "ccl-auto-"
  #   start_index: 0
  #   min: 2
  #   max: 10

agent:
  # What is started in the sessions, one item a word.
  command: [claude, --dangerously-skip-permissions]
  # Refuse destructive commands of the pool's agents, by a hook before each of their tools.
  # guard: true

# [restart] null is your own tmux server. The tmux unit that is shipped beside the daemon's needs:
# tmux: {socket: /run/claude-failover-tmux/tmux.sock, start_server: false}
tmux:
  socket: null

dispatcher:
  # [restart] Tasks are read from <projects_dir>/<project>/.agent-queue/inbox/*.md.
  projects_dir: /srv/projects

# Who is told what, away from the terminal: by telegram, resend (email), webhook. Secrets never stand
# here; `claude-failover notify --test` tries each channel.
# notifications:
#   webhook: {url: "https://example.org/claude-failover", level: warning}

# [restart] The page at /, /health, /status, /events and /metrics; read only.
http:
  listen: "127.0.0.1:8765"

# [restart] The unit makes both. Without a unit, name directories that you may write to.
state_dir: /var/lib/claude-failover
runtime_dir: /run/claude-failover
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::{Base, parse};

    fn home(path: &str, kind: Kind) -> Home {
        Home { path: path.into(), kind }
    }

    #[test]
    fn every_home_gets_a_name_of_its_own() {
        let at = Path::new("/nowhere/u");
        let names = |homes: &[Home]| {
            let accounts = accounts(at, homes);
            let name = |(name, home): &(String, PathBuf)| format!("{name}={}", home.display());
            accounts.iter().map(name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(&[]), "primary=/nowhere/u/.claude-primary");
        assert_eq!(
            names(&[
                home("/nowhere/u/.claude", Kind::Usual),
                home("/nowhere/u/.claude-two words", Kind::Beside),
                home("/nowhere/other/.claude", Kind::Beside),
                home("/nowhere/third/.claude", Kind::Beside),
                home("/nowhere/u/.claude-7", Kind::Beside),
            ]),
            "primary=/nowhere/u/.claude-primary two-words=/nowhere/u/.claude-two words \
             claude=/nowhere/other/.claude claude-4=/nowhere/third/.claude \
             account-5=/nowhere/u/.claude-7"
        );
    }

    #[test]
    fn the_file_is_good_and_says_what_was_found() {
        let at = Path::new("/home/u");
        let accounts =
            [("a".to_owned(), at.join(".claude-a")), ("b".to_owned(), "/x/it's: #1".into())];
        let text = text(at, &accounts, &at.join(".claude-projects-shared"));
        let loaded = parse(&text, &Base::new(at)).unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        let config = loaded.config;
        assert_eq!(config.link, at.join(".claude"));
        let found: Vec<_> =
            config.accounts.iter().map(|a| (a.name.to_string(), a.home.clone())).collect();
        assert_eq!(found, accounts);
        assert_eq!(config.pool.shared.projects, at.join(".claude-projects-shared"));
    }

    #[test]
    fn what_is_out_commented_is_good_too() {
        let at = Path::new("/home/u");
        let accounts = [("a".to_owned(), at.join(".claude-a"))];
        let text = text(at, &accounts, &at.join(".claude-projects-shared"));
        let text = text
            .replace("  dedicated: []\n  #  - name", "  dedicated:\n    - name")
            .replace("  #    project", "      project")
            .replace("  # guard", "  guard")
            .replace("# notifications:\n#   webhook", "notifications:\n  webhook");
        let text: String = text
            .lines()
            .map(|line| {
                let is_pool = ["autonomous:", "prefix:", "start_index:", "min:", "max:"]
                    .iter()
                    .any(|key| line.trim_start().trim_start_matches(['#', ' ']).starts_with(key));
                if is_pool { line.replacen("# ", "", 1) + "\n" } else { line.to_owned() + "\n" }
            })
            .collect();
        let config = parse(&text, &Base::new(at)).unwrap().config;
        assert_eq!(config.pool.dedicated.len(), 1);
        assert_eq!(config.pool.autonomous.unwrap().max, 10);
        assert!(config.agent.guard && config.notifications.webhook.is_some());
    }
}
