//! `claude-failover guard`, by hand and as the client's hook: exit codes, words, time.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::hook::run;
use crate::support::{binary, eventually};

/// What the client takes for a refusal.
const REFUSED: Option<i32> = Some(2);
/// Beyond what the start of the process takes: measured are 1 to 2 ms.
const QUICK: Duration = Duration::from_millis(5);
/// Many tests share few processors.
const PATIENCE: Duration = Duration::from_secs(20);

/// Not below a directory for temporary files, where what is there may be deleted, unless the whole
/// checkout is.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::create_dir_all(dir.path().join("home")).unwrap();
        std::fs::create_dir_all(dir.path().join("work/src")).unwrap();
        Self { dir }
    }

    fn is_temporary(&self) -> bool {
        ["/tmp", "/var/tmp", "/dev/shm"].iter().any(|dir| self.dir.path().starts_with(dir))
    }

    fn work(&self) -> std::path::PathBuf {
        self.dir.path().join("work")
    }

    fn guard(&self) -> Command {
        let mut command = Command::new(binary());
        command
            .arg("guard")
            .current_dir(self.work())
            .env("HOME", self.dir.path().join("home"))
            .env("CLAUDE_PROJECT_DIR", self.work())
            .env_remove("CLAUDE_CONFIG_DIR");
        command
    }

    fn ask(&self, tool: &str, input: &serde_json::Value) -> Output {
        let call = json!({
            "session_id": "x",
            "hook_event_name": "PreToolUse",
            "permission_mode": "bypassPermissions",
            "tool_name": tool,
            "tool_input": input,
            "cwd": self.work(),
        });
        run(&mut self.guard(), call.to_string().as_bytes()).0
    }

    fn bash(&self, command: &str) -> Output {
        self.ask("Bash", &json!({"command": command}))
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn assert_silent(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn the_hook_refuses_with_a_reason_and_lets_pass_in_silence() {
    let place = Place::new();
    assert_silent(&place.bash("cargo test 2>&1 | tail"));
    assert_silent(&place.ask("Read", &json!({"file_path": "/etc/passwd"})));
    assert_silent(&place.ask("Write", &json!({"file_path": place.work().join("x")})));
    let refused = place.bash("rm -rf /");
    assert_eq!(refused.status.code(), REFUSED);
    assert!(refused.stdout.is_empty());
    assert!(stderr(&refused).starts_with("claude-failover guard: refused (delete-root): `/`: it"));
    let bashrc = place.dir.path().join("home/.bashrc");
    let refused = place.ask("Edit", &json!({"file_path": bashrc}));
    assert_eq!(refused.status.code(), REFUSED);
    assert!(stderr(&refused).contains("shell-startup"));
}

#[test]
fn whatever_cannot_be_read_is_refused() {
    let place = Place::new();
    for input in [&b""[..], b"{", b"\xff\xfe", b"[]", br#"{"tool_name":"Bash"}"#] {
        let (output, _) = run(&mut place.guard(), input);
        assert_eq!(output.status.code(), REFUSED, "{input:?}");
        assert!(stderr(&output).contains("ask the operator"), "{output:?}");
    }
    let large =
        json!({"tool_name": "Bash", "cwd": "/", "tool_input": {"command": "x".repeat(17 << 20)}});
    let (output, _) = run(&mut place.guard(), large.to_string().as_bytes());
    assert_eq!(output.status.code(), REFUSED);
    assert!(stderr(&output).contains("larger than 16 MiB"), "{output:?}");
    let long = place.bash(&format!("echo {}", "x".repeat(1 << 20)));
    assert_eq!(long.status.code(), REFUSED);
    assert!(stderr(&long).contains("longer than 1 MiB"));
    let refused = place.bash("echo \"unclosed");
    assert_eq!(refused.status.code(), REFUSED);
    assert!(stderr(&refused).contains("a double quote is never closed"));
}

#[test]
fn without_its_rules_everything_is_refused_and_the_operator_is_named() {
    let place = Place::new();
    let rules = place.dir.path().join("rules.yaml");
    let call = json!({"tool_name": "Bash", "tool_input": {"command": "ls"}, "cwd": place.work()});
    let ask = || run(place.guard().arg("--rules").arg(&rules), call.to_string().as_bytes()).0;
    let missing = ask();
    assert_eq!(missing.status.code(), REFUSED);
    let said = stderr(&missing);
    assert!(said.contains("rules.yaml") && said.contains("agent.guard_rules"), "{said}");
    for text in ["off: [x", "off: [no-such-rule]", "\0", &"#".repeat(300 << 10)] {
        std::fs::write(&rules, text).unwrap();
        assert_eq!(ask().status.code(), REFUSED, "{text:.20}");
    }
    std::fs::write(&rules, "deny: [terraform destroy]\n").unwrap();
    assert_silent(&ask());
}

#[test]
fn the_disk_says_where_links_lead_and_which_branch_it_is() {
    let place = Place::new();
    let work = place.work();
    symlink("/", work.join("all")).unwrap();
    symlink(place.dir.path().join("home"), work.join("home")).unwrap();
    for command in
        ["rm -rf all/", "rm -rf all/*", "rm -rf all/usr", "rm -rf home/*", "> home/.bashrc"]
    {
        assert_eq!(place.bash(command).status.code(), REFUSED, "{command}");
    }
    assert_silent(&place.bash("rm -rf all"));
    assert_silent(&place.bash("rm -rf src/*"));

    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(&work).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    git(&["init", "-q", "-b", "main"]);
    // A checkout of ours below /tmp makes this a repository that nobody minds.
    let on_main = if place.is_temporary() { Some(0) } else { REFUSED };
    assert_eq!(place.bash("git reset --hard").status.code(), on_main);
    let below = json!({
        "tool_name": "Bash",
        "cwd": work.join("src"),
        "tool_input": {"command": "git reset --hard"},
    });
    let (output, _) = run(&mut place.guard(), below.to_string().as_bytes());
    assert_eq!(output.status.code(), on_main);
    git(&["checkout", "-q", "-b", "feature/x"]);
    assert_silent(&place.bash("git reset --hard"));
}

#[test]
fn by_hand_it_says_which_rule_and_why() {
    let place = Place::new();
    let explain = |command: &str| place.guard().args(["--explain", command]).output().unwrap();
    let refused = explain("rm -rf /");
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stdout).unwrap();
    assert!(said.starts_with("refused (delete-root): `/`: it would delete"), "{said}");
    assert_eq!(said.lines().count(), 1);
    let allowed = explain("rm -rf target");
    assert_eq!(allowed.status.code(), Some(0));
    assert_eq!(String::from_utf8(allowed.stdout).unwrap(), "allowed: no rule names it\n");
    let missing = place.guard().args(["--rules", "/nowhere", "--explain", "ls"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(78));
    assert!(stderr(&missing).contains("/nowhere"));
}

/// The client waits for it before each tool.
#[test]
fn it_takes_no_time_that_an_agent_would_notice() {
    let place = Place::new();
    let command = include_str!("harmless.txt").lines().find(|line| line.starts_with("for d in */"));
    let call = json!({"tool_name": "Bash", "tool_input": {"command": command.unwrap()}, "cwd": place.work()});
    let mut nothing = Command::new(binary());
    nothing.arg("--version");
    let (mut start, mut guard) = (Duration::MAX, Duration::MAX);
    // The quickest of each: the others have waited for a processor.
    eventually("it is quick", PATIENCE, || {
        let (version, took) = run(&mut nothing, b"");
        assert_eq!(version.status.code(), Some(0));
        start = start.min(took);
        let (output, took) = run(&mut place.guard(), call.to_string().as_bytes());
        assert_silent(&output);
        guard = guard.min(took);
        println!("start {start:?}, guard {guard:?}");
        (guard <= start + QUICK).then_some(())
    });
}

/// No input may keep the client waiting until it ends the hook, which would refuse nothing.
#[test]
fn no_command_takes_it_long() {
    let place = Place::new();
    let many = 100_000;
    for command in [
        "(".repeat(many),
        "$((".repeat(many),
        "((".repeat(many),
        "$(".repeat(many),
        "`".repeat(many),
        "${x:-".repeat(many),
        "{a,b}".repeat(many),
        format!("echo {}", "{a,b}".repeat(200)),
        format!("echo {}", "{".repeat(many)),
        "{1..999999999}".to_owned(),
        "<<a\n".repeat(many),
        "a=1;".repeat(many),
        "a() { a; };a;".repeat(many / 4),
        "f() { g; g; }; g() { h; h; }; h() { f; f; }; f".to_owned(),
        "x=aaaaaaaaaa; ".to_owned() + &"x=$x$x; ".repeat(60) + "rm -rf $x",
        "for a in {1..9}x; do ".repeat(9) + "echo $a;" + &"done;".repeat(9),
        format!("rm -rf {}", "/*".repeat(2_000)),
        format!("rm -rf {}", "a*".repeat(5_000)),
        "eval ".repeat(many),
        "rm -rf a;".repeat(many),
        "[".repeat(many),
        "python3 -c \"".to_owned() + &"'system(".repeat(50_000) + "\"",
        "\\\n".repeat(many),
    ] {
        let begun = Instant::now();
        let output = place.bash(&command);
        let took = begun.elapsed();
        assert!(matches!(output.status.code(), Some(0 | 2)), "{command:.60}: {output:?}");
        assert!(took < Duration::from_secs(10), "{command:.60}: {took:?}");
    }
}

#[test]
fn what_it_says_has_no_control_characters() {
    let place = Place::new();
    let refused = place.bash("rm -rf '/etc\u{1b}[2J\u{7}'/../../etc");
    assert_eq!(refused.status.code(), REFUSED);
    assert!(!stderr(&refused).trim_end().contains(|c: char| c.is_control()), "{refused:?}");
    assert!(Path::new("/etc").exists());
}
