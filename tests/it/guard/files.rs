//! Tool calls as the client tells of them, and files that tools name.

use claude_failover::guard::rules::Rules;
use claude_failover::guard::tool::Call;
use serde_json::{Value, json};

use super::{Disk, WORK, place};

/// The rule that refuses the call.
fn rule_of(call: &Value) -> Option<String> {
    let call = Call::parse(call.to_string().as_bytes()).unwrap();
    let rules = Rules::load(None).unwrap();
    let judged = call.judge(&rules, &place(), &Disk { branch: "feature/x" });
    judged.err().map(|refusal| refusal.rule)
}

fn of_tool(tool: &str, input: &Value) -> Option<String> {
    rule_of(&json!({"tool_name": tool, "tool_input": input, "cwd": WORK}))
}

#[test]
fn files_that_decide_what_runs_are_not_written_by_any_tool() {
    for (file, rule) in [
        ("/srv/projects/website/src/main.rs", None),
        ("src/main.rs", None),
        ("/tmp/x", None),
        ("/srv/projects/other/x", None),
        ("/home/dev/notes.md", None),
        ("/home/dev/.claude/plans/x.md", None),
        ("/home/dev/.claude/projects/-srv/memory/MEMORY.md", None),
        ("/run/claude-failover/done/agent-done-x", None),
        ("/srv/projects/website/.claude/agents/x.md", None),
        ("/srv/projects/website/dotfiles/.bashrc", None),
        ("/srv/projects/website/.claude/settings.json", Some("agent-settings")),
        ("/srv/projects/website/.claude/settings.local.json", Some("agent-settings")),
        ("/srv/projects/other/.claude/settings.json", Some("agent-settings")),
        ("/srv/projects/website/../../../home/dev/.claude/settings.json", Some("agent-settings")),
        ("/home/dev/.claude.json", Some("agent-settings")),
        ("/home/dev/.claude-primary/CLAUDE.md", Some("agent-settings")),
        ("/run/claude-failover/agent-settings-guarded.json", Some("agent-settings")),
        ("/run/claude-failover/done/../agent-settings.json", Some("agent-settings")),
        ("/home/dev/.bashrc", Some("shell-startup")),
        ("/srv/projects/website/escape/.bashrc", Some("shell-startup")),
        ("/home/dev/.ssh/authorized_keys", Some("logins")),
        ("/home/dev/.config/systemd/user/x.service", Some("units")),
        ("/etc/sudoers.d/x", Some("write-system")),
        ("//etc/./cron.d/x", Some("write-system")),
        ("/var/spool/cron/crontabs/dev", Some("write-system")),
        ("/srv/projects/website/rootlink/etc/hosts", Some("write-system")),
        ("/dev/sda", Some("block-device")),
        ("/home/dev/\u{10fff0}", Some("unreadable")),
    ] {
        for tool in ["Write", "Edit", "MultiEdit"] {
            let found = of_tool(tool, &json!({"file_path": file, "content": "rm -rf /"}));
            assert_eq!(found.as_deref(), rule, "{tool} {file}");
        }
        let found = of_tool("NotebookEdit", &json!({"notebook_path": file}));
        assert_eq!(found.as_deref(), rule, "{file}");
        assert_eq!(of_tool("Read", &json!({"file_path": file})), None, "reading is free: {file}");
    }
}

#[test]
fn a_command_is_judged_whatever_tool_carries_it() {
    for tool in ["Bash", "Monitor", "mcp__shell__run"] {
        let found = of_tool(tool, &json!({"command": "rm -rf /", "description": "tidy up"}));
        assert_eq!(found.as_deref(), Some("delete-root"), "{tool}");
        assert_eq!(of_tool(tool, &json!({"command": "ls"})), None);
    }
    for (tool, input) in [
        ("Grep", json!({"pattern": "rm -rf /"})),
        ("Task", json!({"prompt": "rm -rf /"})),
        ("TodoWrite", json!({"todos": [{"content": "rm -rf /"}]})),
    ] {
        assert_eq!(of_tool(tool, &input), None, "{tool}");
    }
}

#[test]
fn a_command_starts_in_the_directory_of_its_call() {
    let rules = Rules::load(None).unwrap();
    let judged = |cwd: &str, command: &str| {
        let call = json!({"tool_name": "Bash", "tool_input": {"command": command}, "cwd": cwd});
        let call = Call::parse(call.to_string().as_bytes()).unwrap();
        let place = claude_failover::guard::Place { cwd: call.cwd.clone(), ..place() };
        call.judge(&rules, &place, &Disk { branch: "x" }).err().map(|refusal| refusal.rule)
    };
    let below = format!("{WORK}/build");
    assert_eq!(judged(&below, "rm -rf *"), None);
    assert_eq!(judged(&below, "rm -rf ../dist"), None);
    assert_eq!(judged(&below, "rm -rf .."), Some("delete-work".to_owned()));
    assert_eq!(judged("/", "rm -rf *"), Some("delete-root".to_owned()));
    assert_eq!(judged("/home/dev", "rm -rf *"), Some("delete-root".to_owned()));
    assert_eq!(judged("/tmp", "rm -rf *"), Some("delete-scratch".to_owned()));
}

#[test]
fn what_is_no_tool_call_is_no_call() {
    for json in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"tool_name":"Bash","tool_input":{"command":"ls"}}"#,
        r#"{"tool_name":"Bash","tool_input":{"command":"ls"},"cwd":"relative"}"#,
        r#"{"tool_name":"Bash","tool_input":{"command":["ls"]},"cwd":"/"}"#,
        r#"{"tool_name":"Bash","tool_input":"ls","cwd":"/"}"#,
        r#"{"tool_name":"Bash","tool_input":{"command":"ls"},"cwd":"/"} x"#,
    ] {
        assert!(Call::parse(json.as_bytes()).is_err(), "{json}");
    }
    assert!(Call::parse(b"{\"tool_name\":\"Bash\xff\"").is_err());
}
