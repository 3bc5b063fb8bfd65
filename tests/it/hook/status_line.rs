//! The status line: figures for us, and for the operator what they had before.

use std::fs;
use std::path::Path;
use std::process::Command;

use claude_failover::moment::Wall;
use claude_failover::quota::report::{Figures, News, Window};
use serde_json::json;

use super::{Place, assert_unnoticed, next_reports, run};

/// As the client runs it: a home, a project, and JSON that names the project.
struct Site {
    place: Place,
}

impl Site {
    fn new() -> Self {
        let place = Place::new();
        fs::create_dir_all(place.path().join("home")).unwrap();
        fs::create_dir_all(place.path().join("project/.claude")).unwrap();
        Self { place }
    }

    fn set(&self, file: &str, status_line: &serde_json::Value) {
        let text = json!({"theme": "dark", "statusLine": status_line}).to_string();
        fs::write(self.place.path().join(file), text).unwrap();
    }

    fn command(&self, command: &str) -> serde_json::Value {
        json!({"type": "command", "command": command, "padding": 0})
    }

    fn status_line(&self) -> Command {
        let mut hook = self.place.hook();
        hook.arg("--status-line")
            .env("CLAUDE_CONFIG_DIR", self.place.path().join("home"))
            .env("HOME", self.place.path())
            .env_remove("CLAUDE_FAILOVER_STATUS_LINE");
        hook
    }

    fn input(&self) -> String {
        json!({
            "session_id": "d54b98d3-77a4-49a8-88c9-8c587077685c",
            "workspace": {"project_dir": self.place.path().join("project")},
            "model": {"display_name": "Opus"},
            "rate_limits": {"five_hour": {"used_percentage": 91, "resets_at": 1_795_383_334}},
        })
        .to_string()
    }

    fn shown(&self) -> String {
        let (output, _) = run(&mut self.status_line(), self.input().as_bytes());
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn figures_reach_the_daemon_and_nothing_is_shown_without_an_operators_own() {
    let site = Site::new();
    let (_server, events) = site.place.daemon();
    assert_unnoticed(&run(&mut site.status_line(), site.input().as_bytes()).0);
    let five_hour = Some(Window { used_permille: 910, resets_at: Some(Wall(1_795_383_334_000)) });
    assert_eq!(next_reports(&events)[0].news, News::Figures(Figures { five_hour, weekly: None }));
    let early = r#"{"session_id":"d54b98d3-77a4-49a8-88c9-8c587077685c","model":{}}"#;
    assert_unnoticed(&run(&mut site.status_line(), early.as_bytes()).0);
    assert!(events.is_empty(), "no figures before the first answer");
}

#[test]
fn the_operators_own_gets_the_whole_input_and_is_shown() {
    let site = Site::new();
    let (_server, events) = site.place.daemon();
    site.set("home/settings.json", &site.command("printf 'mine: '; cat"));
    assert_eq!(site.shown(), format!("mine: {}", site.input()));
    next_reports(&events);

    let long = json!({"rate_limits": {}, "cwd": "x".repeat(3 << 20)}).to_string();
    let (output, _) = run(&mut site.status_line(), long.as_bytes());
    assert_eq!(output.stdout.len(), "mine: ".len() + long.len());
}

#[test]
fn the_clients_order_of_settings_decides_whose_it_is() {
    let site = Site::new();
    let (_server, _events) = site.place.daemon();
    site.set("home/settings.json", &site.command("echo home"));
    assert_eq!(site.shown(), "home\n");
    site.set("project/.claude/settings.json", &site.command("echo project"));
    assert_eq!(site.shown(), "project\n");
    site.set("project/.claude/settings.local.json", &site.command("echo local"));
    assert_eq!(site.shown(), "local\n");
}

#[test]
fn settings_that_name_no_command_are_passed_over() {
    let site = Site::new();
    let (_server, _events) = site.place.daemon();
    for odd in [json!(null), json!("x"), json!({"type": "other", "command": "echo x"}), json!({})] {
        site.set("home/settings.json", &odd);
        assert_eq!(site.shown(), "", "{odd}");
    }
    fs::write(site.place.path().join("home/settings.json"), "{").unwrap();
    assert_eq!(site.shown(), "");
    fs::remove_file(site.place.path().join("home/settings.json")).unwrap();
    mkfifo(&site.place.path().join("home/settings.json"));
    assert_eq!(site.shown(), "", "a pipe is not waited for");
}

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// An operator may have given it to agents of their own.
#[test]
fn it_does_not_run_itself_for_ever() {
    let site = Site::new();
    let (_server, events) = site.place.daemon();
    let own = format!(
        "'{}' hook --status-line --runtime-dir '{}'; echo end",
        crate::support::binary().display(),
        site.place.path().display()
    );
    site.set("home/settings.json", &site.command(&own));
    assert_eq!(site.shown(), "end\n");
    assert_eq!((next_reports(&events).len(), next_reports(&events).len()), (1, 1));
    assert!(events.is_empty());
}

/// It takes our place: its end is ours, and so are signals to us.
#[test]
fn the_operators_own_fails_as_it_would_alone() {
    let site = Site::new();
    let (_server, _events) = site.place.daemon();
    site.set("home/settings.json", &site.command("echo no >&2; exit 3"));
    let (output, _) = run(&mut site.status_line(), site.input().as_bytes());
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(output.stderr, b"no\n");
}
