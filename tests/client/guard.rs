//! The guard with the real client, in bypass mode: what it refuses does not run, the agent reads why,
//! and what it lets pass does run.

use claude_failover::agent_settings::client_version::ClientVersion;
use claude_failover::agent_settings::guarded_text;
use claude_failover::config::load::load;
use serde_json::{Value, json};

use crate::agent::{Agent, PATIENCE};
use crate::failover::write_config;
use crate::rig::Rig;
use crate::support::{PrivateTmux, binary, eventually};

/// Refused as a whole: not even its beginning runs.
const DESTRUCTIVE: &str = "touch ran && git push --force";

/// The hook as the daemon writes it for this account.
fn hook(rig: &Rig, tmux: &PrivateTmux, account: &str) -> Value {
    let path = write_config(rig, tmux, &rig.work(account), &[account]);
    let mut config = load(&path).unwrap().config;
    config.agent.guard = true;
    let text = guarded_text(&binary(), &config, ClientVersion::Unknown).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["hooks"]["PreToolUse"].clone()
}

/// One turn in which the model calls one tool.
fn turn(rig: &Rig, agent: &Agent, count: usize, call: &[String]) {
    let call: Vec<&str> = call.iter().map(String::as_str).collect();
    rig.answer(&agent.account, &[&["tool"], &call[..]].concat());
    agent.prompt(&format!("turn {count}"));
    agent.wait_for_turns(count);
    eventually("an idle client", PATIENCE, || agent.is("idle").then_some(()));
}

fn bash(command: &str) -> Vec<String> {
    vec![format!("command={command}")]
}

fn write(file: &std::path::Path) -> Vec<String> {
    let input = json!({"file_path": file, "content": "{}"});
    vec!["tool=Write".to_owned(), format!("input={input}")]
}

#[test]
fn what_the_guard_refuses_does_not_run_in_bypass_mode_and_the_agent_reads_why() {
    let rig = Rig::up();
    let tmux = PrivateTmux::new();
    rig.log_in("guarded");
    let hook = hook(&rig, &tmux, "guarded");
    let agent = Agent::start_with(&rig, &tmux, "guarded", &hook);
    let made = |name: &str| agent.work.join(name).exists();
    let settings = agent.work.join(".claude/settings.json");

    turn(&rig, &agent, 1, &bash("touch before"));
    assert!(made("before"), "harmless commands run:\n{}", agent.screen());
    turn(&rig, &agent, 2, &bash(DESTRUCTIVE));
    assert!(!made("ran"), "it ran:\n{}", agent.screen());
    eventually("the reason in the conversation", PATIENCE, || {
        agent.conversation().contains("refused (force-push)").then_some(())
    });
    assert!(agent.conversation().contains("--force-with-lease"), "what to do instead");
    turn(&rig, &agent, 3, &write(&settings));
    assert!(!settings.exists(), "it was written:\n{}", agent.screen());
    turn(&rig, &agent, 4, &write(&agent.work.join("after.json")));
    assert!(made("after.json"), "harmless files are written:\n{}", agent.screen());
    turn(&rig, &agent, 5, &bash("bash -c 'touch ran; git push -f'"));
    assert!(!made("ran"));
    turn(&rig, &agent, 6, &bash("touch after"));
    assert!(made("after"));
}

/// Without it the same command does run: the test above can fail.
#[test]
fn without_the_guard_the_same_command_runs() {
    let rig = Rig::up();
    let tmux = PrivateTmux::new();
    let agent = Agent::start(&rig, &tmux, "unguarded");
    turn(&rig, &agent, 1, &bash(DESTRUCTIVE));
    assert!(agent.work.join("ran").exists(), "{}", agent.screen());
}

/// A guard that is gone lets nothing pass.
#[test]
fn a_guard_that_is_gone_refuses() {
    let rig = Rig::up();
    let tmux = PrivateTmux::new();
    let mut hook = json!([{"matcher": "*", "hooks": [{"type": "command", "timeout": 60}]}]);
    hook[0]["hooks"][0]["command"] = json!("'/nowhere/claude-failover' guard || exit 2");
    let agent = Agent::start_with(&rig, &tmux, "unmanned", &hook);
    turn(&rig, &agent, 1, &bash("touch ran"));
    assert!(!agent.work.join("ran").exists(), "{}", agent.screen());
}
