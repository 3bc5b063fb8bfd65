//! The configuration file: what is refused and with which words, what is shipped, what the
//! operators of the older system have.

mod misfits;
mod notifications;
mod preflight;
mod refused;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use claude_failover::cli::init::compose;
use claude_failover::cli::{check, exit};
use claude_failover::config::Config;
use claude_failover::config::load::{Base, ConfigError, Loaded, load_with, parse};
use claude_failover::config::reload::summary;
use expect_test::{Expect, expect};

const EXAMPLE: &str = include_str!("../../etc/config.example.yaml");
const PREDECESSOR: &str = include_str!("fixtures/predecessor.yaml");
/// The first line of a file to which a test adds what it is about.
const ACCOUNT: &str = "accounts: [{name: a, home: ~/a}]\n";

fn base() -> Base {
    Base::new("/home/u")
}

#[track_caller]
fn good(text: &str) -> Loaded {
    parse(text, &base()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[track_caller]
fn good_with(text: &str) -> Config {
    good(&format!("{ACCOUNT}{text}")).config
}

/// The problems of a file, as an operator sees them.
#[track_caller]
fn refused(text: &str, expected: &Expect) {
    let problems = parse(text, &base()).expect_err("the file is bad");
    let lines = problems.iter().map(|problem| problem.in_file(Path::new("c.yaml")) + "\n");
    expected.assert_eq(&lines.collect::<String>());
}

/// Like [`refused`], with each row below a good account.
#[track_caller]
fn rows_refused(rows: &[&str], expected: &Expect) {
    let mut lines = String::new();
    for row in rows {
        let problems = parse(&format!("{ACCOUNT}{row}"), &base()).expect_err(row);
        lines.push_str(&format!("{row}\n"));
        for problem in problems {
            lines.push_str(&format!("  {problem}\n"));
        }
    }
    expected.assert_eq(&lines);
}

#[test]
fn values_come_out_as_they_were_meant() {
    let config = good(
        "\
accounts: [{name: late, home: ~/late, priority: 9}, {name: second, home: /srv//s/}, \
           {name: third, home: ~/t}, {name: first, home: ~/f, priority: 0}]
autonomous: {prefix: p-, start_index: 7, min: 1}
pool: {shared_projects_dir: /srv/my-projects-dir}
quota: {patterns: [\"  Out Of Quota \"], preempt_at: 1}
watcher: {idle_timeout: 1h30m}
runtime_dir: /run/x
tmux: {command: ~/bin/tmux}
",
    )
    .config;
    let names: Vec<&str> = config.accounts.iter().map(|account| account.name.as_str()).collect();
    assert_eq!(names, ["first", "second", "third", "late"]);
    assert_eq!(config.accounts[1].home, Path::new("/srv/s"));
    let pool = config.pool.autonomous.as_ref().unwrap();
    assert_eq!((pool.min, pool.max, pool.workdir.as_path()), (1, 1, Path::new("/home/u")));
    assert_eq!(pool.session(0).as_str(), "p-7");
    let shared = config.pool.shared.links().map(|(_, path)| path.display().to_string());
    let expected = ["projects", "session-env", "file-history"];
    assert_eq!(shared, expected.map(|word| format!("/srv/my-{word}-dir")));
    assert_eq!(config.quota.patterns, ["out of quota"]);
    assert_eq!(config.quota.preempt_at, Some(1.0));
    assert_eq!(config.watcher.idle_timeout, Duration::from_secs(5400));
    assert_eq!(config.watcher.done_signal_dir, Path::new("/run/x/done"));
    assert_eq!(config.tmux.command, "/home/u/bin/tmux");
}

#[test]
fn without_a_home_directory_every_default_below_it_is_a_problem() {
    let nobody = Base { home: None };
    let problems = parse("accounts: [{name: a, home: /a}]\nautonomous: {prefix: p-}", &nobody);
    let problems: Vec<String> = problems.unwrap_err().into_iter().map(|it| it.path).collect();
    assert_eq!(problems, ["link", "pool.shared_projects_dir", "autonomous.workdir"]);
    let named = "accounts: [{name: a, home: /a}]\nlink: /l\npool: {shared_projects_dir: /projects}";
    assert!(parse(named, &nobody).is_ok());
}

#[test]
fn the_older_file_loads_and_names_what_no_longer_acts() {
    let loaded = good(PREDECESSOR);
    expect![[r#"
        line 2: accounts[0].limits: no longer used: Claude Code itself says when a limit is reached
        line 10: quota.poll_interval: more than 5s: a refusal that only the screen shows is noticed that late; 500ms costs next to nothing
        line 10: quota.window_5h_threshold: no longer used: quota.preempt_at is the threshold now
        line 10: quota.window_week_threshold: no longer used: quota.preempt_at is the threshold now
        line 13: checkpoint: no longer used: the journal in state_dir holds what checkpoints held
        line 14: mcp_http: no longer used, except that its listen serves when http.listen is absent: write http
    "#]].assert_eq(&(loaded.warnings.join("\n") + "\n"));
    assert_eq!(summary(&loaded.config), "config loaded: accounts=2 dedicated=2 pool min=10 max=10");
    let names: Vec<String> =
        loaded.config.desired_sessions().into_iter().map(|(name, _)| name.into()).collect();
    expect![[r#"
        [
            "ccl-1-conformvault",
            "ccl-2-scanyze",
            "ccl-auto-11",
            "ccl-auto-12",
            "ccl-auto-13",
            "ccl-auto-14",
            "ccl-auto-15",
            "ccl-auto-16",
            "ccl-auto-17",
            "ccl-auto-18",
            "ccl-auto-19",
            "ccl-auto-20",
        ]
    "#]]
    .assert_debug_eq(&names);
    assert_eq!(loaded.config.watcher.done_signal_dir, Path::new("/tmp"));
    assert_eq!(loaded.config.quota.poll_interval, Duration::from_secs(30));
}

#[test]
fn what_goes_by_used_shares_is_warned_about_when_nobody_reports_them() {
    let text = |statusline: bool| {
        format!(
            "accounts: [{{name: a, home: /a}}]\nselection: {{strategy: most_headroom}}\n\
             quota: {{preempt_at: 0.95, statusline: {statusline}}}"
        )
    };
    expect![[r#"
        line 2: selection.strategy: most_headroom ranks as priority does: without quota.statusline: true nobody reports used shares
        line 3: quota.preempt_at: never reached: without quota.statusline: true nobody reports used shares
    "#]].assert_eq(&(good(&text(false)).warnings.join("\n") + "\n"));
    assert_eq!(good(&text(true)).warnings, Vec::<String>::new());
}

#[test]
fn the_shipped_example_loads_without_a_warning() {
    let loaded = good(EXAMPLE);
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn the_shipped_example_shows_every_key_and_no_other() {
    let mut shown = BTreeSet::new();
    collect_keys(&serde_yaml::from_str(EXAMPLE).unwrap(), "", &mut shown);
    let read: BTreeSet<String> = good(EXAMPLE).keys.into_iter().collect();
    assert_eq!(shown, read);
    // The comparison saw the insides of sections and of lists.
    for key in ["accounts[].home", "pool.dedicated[].nudge", "agent.models.critical"] {
        assert!(shown.contains(key), "{key}");
    }
}

#[test]
fn the_shipped_example_states_the_true_defaults() {
    let example = good(EXAMPLE).config;
    let defaults = good("accounts: [{name: a, home: ~/a}]\n").config;
    // Accounts, dedicated sessions and the range of the pool have no defaults to compare.
    let pool = claude_failover::config::Pool {
        dedicated: example.pool.dedicated.clone(),
        autonomous: example.pool.autonomous.clone(),
        ..defaults.pool.clone()
    };
    let expected = Config { accounts: example.accounts.clone(), pool, ..defaults };
    assert_eq!(example, expected);
    let positions: Vec<u32> = example.accounts.iter().map(|account| account.priority).collect();
    assert_eq!(positions, [1, 2]);
    assert!(example.pool.dedicated[0].resume_after_loss);
}

fn collect_keys(value: &serde_yaml::Value, path: &str, keys: &mut BTreeSet<String>) {
    match value {
        serde_yaml::Value::Mapping(entries) => {
            for (key, value) in entries {
                let key = key.as_str().unwrap();
                let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                collect_keys(value, &path, keys);
                keys.insert(path);
            }
        }
        serde_yaml::Value::Sequence(items) => {
            for item in items {
                collect_keys(item, &format!("{path}[]"), keys);
            }
        }
        _ => {}
    }
}

#[test]
fn a_reload_names_the_keys_that_need_a_restart() {
    let old = good(PREDECESSOR).config;
    assert_eq!(old.restart_keys(&old), Vec::<&str>::new());
    let mut new = old.clone();
    new.quota.poll_interval = Duration::from_secs(1);
    new.pool.dedicated.pop();
    assert_eq!(old.restart_keys(&new), Vec::<&str>::new());
    new.link = "/elsewhere".into();
    new.accounts.pop();
    new.tmux.start_server = false;
    new.state_dir = "/s".into();
    new.runtime_dir = "/r".into();
    new.http.listen = None;
    new.pool.shared.projects = "/projects".into();
    assert_eq!(
        old.restart_keys(&new),
        [
            "link",
            "accounts",
            "tmux",
            "state_dir",
            "runtime_dir",
            "http",
            "pool.shared_projects_dir"
        ]
    );
}

/// The keys below a `# [restart]`, each with its section: the mark holds to the next remark or gap.
fn marked(text: &str) -> Vec<String> {
    let mut marked = Vec::new();
    let (mut section, mut mark, mut is_used) = ("", None, false);
    for line in text.lines() {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        match bare.strip_prefix('#') {
            Some(remark) if remark.starts_with(" [restart] marks") => {}
            Some(remark) if remark.starts_with(" [restart]") => {
                (mark, is_used) = (Some(indent), false);
            }
            Some(_) => mark = mark.filter(|_| !is_used),
            None if bare.is_empty() => mark = None,
            None => {
                let key = bare.split(':').next().unwrap();
                if indent == 0 {
                    section = key;
                }
                if mark == Some(indent) {
                    let above = if indent == 0 { String::new() } else { format!("{section}.") };
                    marked.push(format!("{above}{key}"));
                }
                is_used = true;
            }
        }
    }
    marked.sort();
    marked
}

#[test]
fn what_needs_a_restart_is_marked_so_where_an_operator_reads() {
    let config = good(PREDECESSOR).config;
    let mut keys = config.restart_differences(&config).map(|(key, _)| key.to_owned()).to_vec();
    keys.sort();
    assert_eq!(marked(EXAMPLE), keys);
    let home = std::path::Path::new("/home/u");
    let accounts = [("a".to_owned(), home.join(".claude-a"))];
    let written = compose::text(home, &accounts, &home.join(".claude-projects-shared"));
    let tree: serde_yaml::Value = serde_yaml::from_str(&written).unwrap();
    let has = |key: &str| key.split('.').try_fold(&tree, |at, part| at.get(part)).is_some();
    keys.retain(|key| has(key));
    assert_eq!(marked(&written), keys);
    assert_eq!(keys.len(), 8, "{keys:?}");
}

#[test]
fn check_prints_problems_and_gives_the_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    let run = |path: &Path| {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = check::run(Some(path), &base(), &mut out, &mut err);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let shown = format!("{code}\n{}--\n{}", text(out), text(err));
        shown.replace(dir.path().to_str().unwrap(), "DIR")
    };
    expect![[r#"
        78
        --
        reading the configuration DIR/config.yaml: No such file or directory (os error 2): write it after etc/config.example.yaml, or name another file
    "#]].assert_eq(&run(&file));
    fs_err::write(&file, b"\xff\xfe").unwrap();
    expect![[r#"
        78
        --
        reading the configuration DIR/config.yaml: stream did not contain valid UTF-8: it must be text in UTF-8
    "#]].assert_eq(&run(&file));
    fs_err::write(&file, "accounts: []\nlink: x\n").unwrap();
    expect![[r#"
        78
        --
        DIR/config.yaml:1: accounts: at least one account is needed: accounts: [{name: primary, home: ~/.claude-primary}]
        DIR/config.yaml:2: link: "x" is not absolute: write it from / or ~/ (~name and variables are not expanded)
    "#]].assert_eq(&run(&file));
    fs_err::write(&file, format!("{ACCOUNT}quota: {{poll_interval: 6s}}\n")).unwrap();
    expect![[r#"
        0
        config loaded: accounts=1 dedicated=0 pool min=0 max=0
        --
        warning: DIR/config.yaml: line 2: quota.poll_interval: more than 5s: a refusal that only the screen shows is noticed that late; 500ms costs next to nothing
    "#]].assert_eq(&run(&file));
    expect![[r#"
        78
        --
        reading the configuration DIR: Is a directory (os error 21): name the file in it
    "#]]
    .assert_eq(&run(dir.path()));
    fs_err::write(&file, " ".repeat(300 * 1024)).unwrap();
    expect![[r#"
        78
        --
        DIR/config.yaml: the file has more than 262144 bytes
    "#]]
    .assert_eq(&run(&file));
    assert!(run(&dir.path().join("no")).starts_with(&exit::CONFIG.to_string()));
}

#[test]
fn a_file_that_cannot_be_read_is_told_from_a_bad_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    assert!(matches!(load_with(&path, &base()), Err(ConfigError::Unreadable { .. })));
    fs_err::write(&path, "x: 1").unwrap();
    assert!(matches!(load_with(&path, &base()), Err(ConfigError::Invalid { .. })));
    fs_err::write(&path, ACCOUNT).unwrap();
    assert!(load_with(&path, &base()).is_ok());
}

/// No text makes the parser panic, and each refusal says something.
#[test]
fn any_text_is_a_configuration_or_has_problems() {
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    let mut refusals = 0;
    let mut check = |text: &str| {
        if let Err(problems) = parse(text, &base()) {
            assert!(!problems.is_empty() && problems.len() <= 101, "{text}");
            assert!(problems.iter().all(|problem| !problem.message.is_empty()));
            refusals += 1;
        }
    };
    for end in (0..EXAMPLE.len()).step_by(97) {
        check(&EXAMPLE[..end]);
    }
    let inserts = [
        ":", "\n", " ", "-", "[", "]", "{", "}", "&a ", "*a", "~", "\"", "'", "#", "!x ", "0", "é",
        "\u{0}", "|\n", "? ", "<<: ", "null", "\t", "%", "---\n",
    ];
    for _ in 0..300 {
        let mut text = PREDECESSOR.to_owned();
        for _ in 0..=random(4) {
            let at = random(text.len());
            if text.is_char_boundary(at) {
                text.insert_str(at, inserts[random(inserts.len())]);
            }
        }
        check(&text);
        let bytes: Vec<u8> = (0..random(200)).map(|_| u8::try_from(random(256)).unwrap()).collect();
        check(&String::from_utf8_lossy(&bytes));
    }
    assert!(refusals > 300, "{refusals}");
}
