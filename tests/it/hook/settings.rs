//! The settings that agents are launched with, for the client that is installed.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use claude_failover::agent_settings::client_version::{ClientVersion, TIMEOUT, Version};
use claude_failover::agent_settings::{
    AgentSettings, are_there, guarded_path, guarded_text, path, text,
};
use claude_failover::config::{Config, Group};
use expect_test::expect;
use serde_json::Value;

use super::{Place, STOP, assert_unnoticed, next_reports, run};
use crate::support::binary;

const LAUNCHER: &str = "/usr/bin/claude-failover";

fn config(runtime_dir: &Path) -> Config {
    let mut config = crate::switcher::config(runtime_dir);
    config.runtime_dir = runtime_dir.to_owned();
    config
}

fn known(major: u32, minor: u32, patch: u32) -> ClientVersion {
    ClientVersion::Known(Version(major, minor, patch))
}

fn text_for(client: ClientVersion) -> String {
    text(Path::new(LAUNCHER), &config(Path::new("/run/claude-failover")), client)
}

fn hook_names(settings: &str) -> Vec<String> {
    let settings: Value = serde_json::from_str(settings).unwrap();
    settings["hooks"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_file_for_todays_client_is_this() {
    expect![[r#"
        {
          "autoContinueAtUsageLimit": false,
          "hooks": {
            "Notification": [
              {
                "hooks": [
                  {
                    "command": "'/usr/bin/claude-failover' hook --runtime-dir '/run/claude-failover'",
                    "timeout": 5,
                    "type": "command"
                  }
                ]
              }
            ],
            "SessionEnd": [
              {
                "hooks": [
                  {
                    "command": "'/usr/bin/claude-failover' hook --runtime-dir '/run/claude-failover'",
                    "timeout": 5,
                    "type": "command"
                  }
                ]
              }
            ],
            "SessionStart": [
              {
                "hooks": [
                  {
                    "command": "'/usr/bin/claude-failover' hook --runtime-dir '/run/claude-failover'",
                    "timeout": 5,
                    "type": "command"
                  }
                ]
              }
            ],
            "Stop": [
              {
                "hooks": [
                  {
                    "command": "'/usr/bin/claude-failover' hook --runtime-dir '/run/claude-failover'",
                    "timeout": 5,
                    "type": "command"
                  }
                ]
              }
            ],
            "StopFailure": [
              {
                "hooks": [
                  {
                    "command": "'/usr/bin/claude-failover' hook --runtime-dir '/run/claude-failover'",
                    "timeout": 5,
                    "type": "command"
                  }
                ]
              }
            ],
            "UserPromptSubmit": [
              {
                "hooks": [
                  {
                    "command": "'/usr/bin/claude-failover' hook --runtime-dir '/run/claude-failover'",
                    "timeout": 5,
                    "type": "command"
                  }
                ]
              }
            ]
          }
        }
    "#]]
    .assert_eq(&text_for(known(2, 1, 330)));
}

/// The name stops clients before 2.1.78 at a dialog.
#[test]
fn only_clients_that_know_it_get_the_later_hook() {
    let without = ["Notification", "SessionEnd", "SessionStart", "Stop", "UserPromptSubmit"];
    for (client, knows) in [
        (known(2, 1, 330), true),
        (known(2, 1, 78), true),
        (known(3, 0, 0), true),
        (known(2, 1, 77), false),
        (known(2, 0, 200), false),
        (known(1, 0, 128), false),
        (ClientVersion::Unknown, false),
    ] {
        let text = text_for(client);
        let mut names = hook_names(&text);
        assert_eq!(names.iter().any(|name| name == "StopFailure"), knows, "{client}");
        names.retain(|name| name != "StopFailure");
        assert_eq!(names, without, "{client}");
        assert!(text.contains(r#""autoContinueAtUsageLimit": false"#), "{client}");
        assert!(!text.contains("statusLine"), "{client}");
    }
}

#[test]
fn the_status_line_is_ours_only_when_asked_for() {
    let mut config = config(Path::new("/run/x"));
    config.quota.statusline = true;
    let text = text(Path::new(LAUNCHER), &config, known(2, 1, 330));
    let settings: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        settings["statusLine"],
        serde_json::json!({
            "type": "command",
            "command": "'/usr/bin/claude-failover' hook --runtime-dir '/run/x' --status-line",
        })
    );
}

/// The client gives the command to a shell.
#[test]
fn paths_with_anything_in_them_come_through_the_shell() {
    let place = Place::new();
    let odd = place.path().join("it's a $(touch oops) `x` \"q\" \\ & ; # * ü\nnew");
    fs::create_dir_all(&odd).unwrap();
    let launcher = odd.join("claude-failover");
    std::os::unix::fs::symlink(binary(), &launcher).unwrap();
    // A socket's path is short.
    let place = Place { dir: tempfile::Builder::new().prefix("c'f \"$x;").tempdir().unwrap() };
    let (_server, events) = place.daemon();
    let text = text(&launcher, &config(place.path()), known(2, 1, 330));
    let settings: Value = serde_json::from_str(&text).unwrap();
    let hook = settings["hooks"]["Stop"][0]["hooks"][0]["command"].as_str().unwrap();
    for shell in ["sh", "bash"] {
        let mut command = Command::new(shell);
        command.args(["-c", hook]).current_dir(place.path());
        assert_unnoticed(&run(&mut command, STOP.as_bytes()).0);
        assert_eq!(next_reports(&events).len(), 1, "{shell}: {hook}");
    }
    assert!(!place.path().join("oops").exists());
}

#[test]
fn paths_that_json_cannot_hold_cost_only_the_hooks() {
    use std::os::unix::ffi::OsStrExt;
    let odd = Path::new(std::ffi::OsStr::from_bytes(b"/opt/\xff/claude-failover"));
    let text = text(odd, &config(Path::new("/run/x")), known(2, 1, 330));
    assert_eq!(text, "{\n  \"autoContinueAtUsageLimit\": false\n}\n");
}

/// A client that says its version and leaves a line for each time it is asked.
struct Client {
    place: Place,
    config: Config,
    settings: AgentSettings,
}

impl Client {
    fn new() -> Self {
        let place = Place::new();
        let config = config(place.path());
        Self { place, config, settings: AgentSettings::new(LAUNCHER.into()) }
    }

    fn program(&self) -> PathBuf {
        self.place.path().join("claude")
    }

    /// Puts another one there, as an update does.
    fn install(&self, script: &str) {
        let temp = self.place.path().join("claude.new");
        let asked = self.place.path().join("asked");
        fs::write(&temp, format!("#!/bin/sh\necho \"$*\" >>'{}'\n{script}\n", asked.display()))
            .unwrap();
        fs::set_permissions(&temp, Permissions::from_mode(0o755)).unwrap();
        fs::rename(&temp, self.program()).unwrap();
    }

    fn refresh(&mut self) {
        let program = self.program();
        self.settings.refresh(&self.config, &program).unwrap();
    }

    fn knows_stop_failure(&self) -> bool {
        let text = fs::read_to_string(path(&self.config.runtime_dir)).unwrap();
        hook_names(&text).iter().any(|name| name == "StopFailure")
    }

    fn times_asked(&self) -> usize {
        let asked = fs::read_to_string(self.place.path().join("asked")).unwrap_or_default();
        assert!(asked.lines().all(|args| args == "--version"), "{asked}");
        asked.lines().count()
    }

    fn inode(&self) -> u64 {
        let found = fs::metadata(path(&self.config.runtime_dir)).unwrap();
        assert_eq!(found.mode() & 0o7777, 0o600);
        found.ino()
    }
}

#[test]
fn the_client_is_asked_once_and_again_when_it_is_another() {
    let mut client = Client::new();
    client.install("echo '2.1.330 (Claude Code)'");
    client.refresh();
    assert!(client.knows_stop_failure());
    let inode = client.inode();
    client.refresh();
    assert_eq!(client.times_asked(), 1);
    assert_eq!(client.inode(), inode, "what is right is not written again");

    client.install("echo '2.1.50 (Claude Code)'");
    client.refresh();
    client.refresh();
    assert!(!client.knows_stop_failure());
    assert_eq!(client.times_asked(), 2);

    client.settings.forget_client();
    client.refresh();
    assert_eq!(client.times_asked(), 3, "a reload asks whatever the file looks like");
}

/// A daemon that is killed while it starts another process may leave that with the daemon's lock for
/// a moment, so a restart starts as few as it can.
#[test]
fn a_daemon_that_is_started_again_does_not_ask_again() {
    let mut client = Client::new();
    client.install("echo '2.1.330 (Claude Code)'");
    client.refresh();
    client.settings = AgentSettings::new(LAUNCHER.into());
    client.refresh();
    assert_eq!(client.times_asked(), 1);
    assert!(client.knows_stop_failure());

    client.install("echo '2.1.77 (Claude Code)'");
    client.settings = AgentSettings::new(LAUNCHER.into());
    client.refresh();
    assert_eq!(client.times_asked(), 2, "it is another one");
    assert!(!client.knows_stop_failure());

    fs::write(client.config.runtime_dir.join("client-version.json"), "{").unwrap();
    client.settings = AgentSettings::new(LAUNCHER.into());
    client.refresh();
    assert_eq!(client.times_asked(), 3);
    client.settings = AgentSettings::new(LAUNCHER.into());
    client.settings.forget_client();
    client.refresh();
    assert_eq!(client.times_asked(), 4);
}

#[test]
fn an_odd_client_gets_what_all_know_and_is_left_in_peace() {
    for script in
        ["", "echo 5.2", "echo '2.1.330 (Claude Code)'; exit 1", "head -c 9999999 </dev/zero"]
    {
        let mut client = Client::new();
        client.install(script);
        for _ in 0..10 {
            client.refresh();
        }
        assert!(!client.knows_stop_failure(), "{script}");
        assert_eq!(client.times_asked(), 3, "{script}");
    }
    let mut client = Client::new();
    client.refresh();
    assert!(!client.knows_stop_failure(), "without any client");
}

#[test]
fn a_client_that_does_not_answer_is_not_waited_for() {
    let mut client = Client::new();
    client.install("sleep 60");
    let begun = Instant::now();
    client.refresh();
    let took = begun.elapsed();
    assert!(took >= TIMEOUT && took < TIMEOUT + Duration::from_secs(5), "{took:?}");
    assert!(!client.knows_stop_failure());
}

#[test]
fn the_client_is_asked_in_an_environment_without_secrets_or_accounts() {
    let mut client = Client::new();
    let dump = client.place.path().join("env");
    client.install(&format!("env >'{}'; echo '2.1.330 (Claude Code)'", dump.display()));
    let env = [("ANTHROPIC_API_KEY", "x"), ("MY_PROXY", "p"), ("CLAUDE_CODE_OAUTH_TOKEN", "x")];
    client.config.agent.env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    client.refresh();
    let dump = fs::read_to_string(dump).unwrap();
    assert!(dump.contains("MY_PROXY=p\n"), "{dump}");
    assert!(!dump.contains("API_KEY") && !dump.contains("TOKEN") && !dump.contains("TMUX"));
    let home = client.config.runtime_dir.join("no-home");
    assert!(dump.contains(&format!("CLAUDE_CONFIG_DIR={}\n", home.display())), "{dump}");
    assert!(!home.exists());
}

#[test]
fn a_file_that_somebody_changed_is_put_right() {
    let mut client = Client::new();
    client.install("echo '2.1.330 (Claude Code)'");
    let file = path(&client.config.runtime_dir);
    client.refresh();
    let right = fs::read(&file).unwrap();
    fs::write(&file, "{}").unwrap();
    client.refresh();
    assert_eq!(fs::read(&file).unwrap(), right);
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    client.refresh();
    client.inode();
}

#[test]
fn the_scripted_agent_says_its_version_like_the_client() {
    let mut client = Client::new();
    let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/demo/agent");
    client.settings.refresh(&client.config, &agent).unwrap();
    assert!(client.knows_stop_failure());
}

/// Pool agents get one hook more, and nothing else changes.
#[test]
fn the_guard_is_a_hook_of_the_pools_agents_alone() {
    let mut config = config(Path::new("/run/claude-failover"));
    let plain: Value = serde_json::from_str(&text_for(known(2, 1, 330))).unwrap();
    let guarded = |config: &Config| -> Value {
        let text = guarded_text(Path::new(LAUNCHER), config, known(2, 1, 330)).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    config.agent.guard = true;
    let mut with = guarded(&config);
    let hook = with["hooks"].as_object_mut().unwrap().remove("PreToolUse").unwrap();
    assert_eq!(with, plain);
    assert_eq!(hook[0]["matcher"], "*");
    let command = hook[0]["hooks"][0]["command"].as_str().unwrap();
    let home = config.accounts[0].home.display();
    assert!(command.starts_with("'/usr/bin/claude-failover' guard --closed"), "{command}");
    for part in [
        format!(" --closed '{home}'"),
        " --closed '/run/claude-failover'".to_owned(),
        format!(" --open '{}'", config.watcher.done_signal_dir.display()),
    ] {
        assert!(command.contains(&part), "{part}: {command}");
    }
    assert!(command.ends_with(" || exit 2") && !command.contains("--rules"), "{command}");
    config.agent.guard_rules = Some("/etc/claude-failover/guard.yaml".into());
    let with = guarded(&config).to_string();
    assert!(with.contains("--rules '/etc/claude-failover/guard.yaml' || exit 2"), "{with}");

    assert_eq!(config.agent_settings(Group::Pool), guarded_path(&config.runtime_dir));
    assert_eq!(config.agent_settings(Group::Dedicated), path(&config.runtime_dir));
    config.agent.guard = false;
    assert_eq!(config.agent_settings(Group::Pool), path(&config.runtime_dir));
}

/// The client takes exit code 2 alone for a refusal.
#[test]
fn a_guard_that_cannot_run_refuses_everything() {
    let place = Place::new();
    let mut config = config(place.path());
    config.agent.guard = true;
    let call = br#"{"tool_name":"Bash","tool_input":{"command":"ls"},"cwd":"/tmp"}"#;
    let broken = place.path().join("broken");
    fs::write(&broken, "#!/bin/sh\nkill -ABRT $$\n").unwrap();
    fs::set_permissions(&broken, Permissions::from_mode(0o755)).unwrap();
    for (launcher, code) in [(binary(), 0), (place.path().join("gone"), 2), (broken, 2)] {
        let text = guarded_text(&launcher, &config, ClientVersion::Unknown).unwrap();
        let settings: Value = serde_json::from_str(&text).unwrap();
        let hook = settings["hooks"]["PreToolUse"][0]["hooks"][0]["command"].as_str().unwrap();
        let mut command = Command::new("sh");
        let output = run(command.args(["-c", hook]), call).0;
        assert_eq!(output.status.code(), Some(code), "{launcher:?}: {output:?}");
    }
}

#[test]
fn the_guarded_file_is_there_before_the_guard_is_turned_on_and_stays_after() {
    let mut client = Client::new();
    client.install("echo '2.1.330 (Claude Code)'");
    client.refresh();
    let guarded = guarded_path(&client.config.runtime_dir);
    assert!(are_there(&client.config));
    assert_eq!(fs::metadata(&guarded).unwrap().mode() & 0o7777, 0o600);
    let right = fs::read_to_string(&guarded).unwrap();
    assert!(right.contains("PreToolUse"), "{right}");
    for guard in [true, false] {
        client.config.agent.guard = guard;
        fs::write(&guarded, "{}").unwrap();
        client.refresh();
        assert_eq!(fs::read_to_string(&guarded).unwrap(), right);
    }
    // As an earlier version left it.
    fs::remove_file(&guarded).unwrap();
    assert!(!are_there(&client.config));
    client.refresh();
    assert_eq!(fs::read_to_string(&guarded).unwrap(), right);
}

/// Rather no agent than one that nobody guards.
#[test]
fn a_path_that_json_cannot_hold_is_an_error_for_the_guard() {
    use std::os::unix::ffi::OsStrExt;
    let mut client = Client::new();
    client.install("echo '2.1.330 (Claude Code)'");
    client.config.state_dir = std::ffi::OsStr::from_bytes(b"/opt/\xff").into();
    // Nobody is given it.
    client.refresh();
    assert!(!guarded_path(&client.config.runtime_dir).exists());
    client.config.agent.guard = true;
    let error = client.settings.refresh(&client.config, &client.program()).unwrap_err();
    assert!(error.contains("agent.guard") && error.contains("UTF-8"), "{error}");
}
