//! The look at the disk before the start, on real directories. Nothing here depends on being
//! root or not: where permission matters, the user that is asked about is not the one that runs.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use claude_failover::config::Config;
use claude_failover::config::load::{Base, parse};
use claude_failover::preflight::{disk, near_misses, warnings};
use expect_test::{Expect, expect};

/// A host on which everything is right, in a directory of its own.
struct Host {
    dir: tempfile::TempDir,
    config: Config,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("cf-").tempdir().unwrap();
        let root = dir.path();
        for made in ["a", "b", "projects-shared", "run", "work", "site"] {
            fs_err::create_dir(root.join(made)).unwrap();
        }
        symlink(root.join("a"), root.join("link")).unwrap();
        symlink(root.join("projects-shared"), root.join("a/projects")).unwrap();
        let text = "\
link: ~/link
accounts: [{name: a, home: ~/a}, {name: b, home: ~/b}]
agent: {env: {IS_SANDBOX: \"1\"}}
pool:
  shared_projects_dir: ~/projects-shared
  dedicated: [{name: site, project: ~/site}]
  autonomous: {prefix: p-, min: 1, workdir: ~/work}
tmux: {socket: ~/run/tmux.sock}
state_dir: ~/var/lib/state
runtime_dir: ~/run
";
        chmod(root.join("run"), 0o700);
        let config = parse(text, &Base::new(root)).unwrap().config;
        Self { dir, config }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn uid(&self) -> u32 {
        fs_err::metadata(self.dir.path()).unwrap().uid()
    }

    fn remove(&self, name: &str) {
        match fs_err::symlink_metadata(self.at(name)).unwrap().is_dir() {
            true => fs_err::remove_dir_all(self.at(name)).unwrap(),
            false => fs_err::remove_file(self.at(name)).unwrap(),
        }
    }

    /// What is wrong for the user who owns the directories; the look must change nothing.
    #[track_caller]
    fn troubled(&self, expected: &Expect) {
        self.troubled_for(self.uid(), expected);
    }

    #[track_caller]
    fn troubled_for(&self, uid: u32, expected: &Expect) {
        let before = tree(self.dir.path());
        let problems = disk(&self.config, uid);
        assert_eq!(tree(self.dir.path()), before, "the look changed something");
        let lines = problems.iter().map(|problem| format!("{problem}\n"));
        expected.assert_eq(&self.plain(&lines.collect::<String>()));
    }

    #[track_caller]
    fn warned(&self, expected: &Expect) {
        let lines = warnings(&self.config).into_iter().map(|line| line + "\n");
        expected.assert_eq(&self.plain(&lines.collect::<String>()));
    }

    fn plain(&self, text: &str) -> String {
        let text = text.replace(self.dir.path().to_str().unwrap(), "DIR");
        let text = text.replace(&format!("uid {}", self.uid() + 1), "uid OTHER");
        let text = text.replace(&format!("uid {}", self.uid()), "uid OWNER");
        text.replace(&format!("-o {}", self.uid() + 1), "-o OTHER")
            .replace(&format!("chown -R {}", self.uid() + 1), "chown -R OTHER")
    }
}

fn chmod(path: impl AsRef<Path>, mode: u32) {
    let permissions = std::fs::Permissions::from_mode(mode);
    fs_err::set_permissions(path.as_ref(), permissions).unwrap();
}

/// Every path below `dir` with its mode and what a link says.
fn tree(dir: &Path) -> BTreeMap<PathBuf, (u32, Option<PathBuf>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs_err::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs_err::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                open.push(path.clone());
            }
            found.insert(path.clone(), (metadata.mode(), fs_err::read_link(&path).ok()));
        }
    }
    found
}

#[test]
fn a_host_that_is_right_has_no_problem() {
    Host::new().troubled(&expect![""]);
}

#[test]
fn the_link_must_be_a_link_to_an_account() {
    let host = Host::new();
    host.remove("link");
    host.troubled(&expect![[r#"
        link: DIR/link does not exist: make it once: ln -s DIR/a DIR/link
    "#]]);
    symlink(host.at("nowhere"), host.at("link")).unwrap();
    host.troubled(&expect![[r#"
        link: DIR/link leads to DIR/nowhere, which cannot be reached (No such file or directory (os error 2)): ln -sfn DIR/a DIR/link
    "#]]);
    host.remove("link");
    symlink("work", host.at("link")).unwrap();
    host.troubled(&expect![[r#"
        link: DIR/link leads to DIR/work, which is the home of no account: ln -sfn DIR/a DIR/link
    "#]]);
    host.remove("link");
    symlink("link", host.at("link")).unwrap();
    host.troubled(&expect![[r#"
        link: DIR/link leads to DIR/link, which cannot be reached (Too many levels of symbolic links (os error 40)): ln -sfn DIR/a DIR/link
    "#]]);
    host.remove("link");
    fs_err::write(host.at("link"), "").unwrap();
    host.troubled(&expect![[r#"
        link: DIR/link is a file, not a link to an account's home: move it away, then ln -s DIR/a DIR/link
    "#]]);
    host.remove("link");
    symlink("b", host.at("link")).unwrap();
    host.troubled(&expect![""]);
}

#[test]
fn a_real_directory_in_place_of_the_link_comes_with_a_way_out() {
    let host = Host::new();
    host.remove("link");
    fs_err::create_dir(host.at("link")).unwrap();
    host.troubled(&expect![[r#"
        link: DIR/link is a real directory, not a link to an account's home: end every Claude Code, then mv -T DIR/link DIR/link.before && ln -s DIR/a DIR/link (and copy from it what you miss)
    "#]]);
    host.remove("a");
    host.troubled(&expect![[r#"
        link: DIR/link is a real directory, not a link to an account's home: end every Claude Code, then mv -T DIR/link DIR/a && ln -s DIR/a DIR/link; or let it be done: claude-failover init --adopt
    "#]]);
    fs_err::write(host.at("link.json"), "{}").unwrap();
    host.troubled(&expect![[r#"
        link: DIR/link is a real directory, not a link to an account's home: end every Claude Code, then mv -T DIR/link DIR/a && cp -p DIR/link.json DIR/a/.claude.json && ln -s DIR/a DIR/link; or let it be done: claude-failover init --adopt
    "#]]);
}

#[test]
fn each_account_needs_a_directory_of_its_own() {
    let host = Host::new();
    host.remove("b");
    host.troubled(&expect![[r#"
        accounts[b].home: DIR/b does not exist: make it and log in once: mkdir -m 700 DIR/b && CLAUDE_CONFIG_DIR=DIR/b claude
    "#]]);
    fs_err::write(host.at("b"), "").unwrap();
    host.troubled(&expect![[r#"
        accounts[b].home: DIR/b is not a directory: name the directory that holds this account's login
    "#]]);
    host.remove("b");
    symlink("a", host.at("b")).unwrap();
    host.troubled(&expect![[r#"
        accounts[b].home: DIR/b is the same directory as the home of a (DIR/a): each account needs its own
    "#]]);
    // The link names a home that is missing: said once, for the home.
    host.remove("a");
    host.remove("b");
    fs_err::create_dir(host.at("b")).unwrap();
    host.troubled(&expect![[r#"
        accounts[a].home: DIR/a does not exist: make it and log in once: mkdir -m 700 DIR/a && CLAUDE_CONFIG_DIR=DIR/a claude
    "#]]);
}

#[test]
fn shared_links_that_lead_elsewhere_are_named_and_missing_ones_are_not() {
    let host = Host::new();
    symlink(host.at("work"), host.at("b/projects")).unwrap();
    symlink(host.at("nowhere"), host.at("b/session-env")).unwrap();
    // Not made yet, and right.
    symlink(host.at("session-env-shared"), host.at("a/session-env")).unwrap();
    // Relative, and right.
    symlink("../projects-shared", host.at("a/p")).unwrap();
    fs_err::rename(host.at("a/p"), host.at("a/projects")).unwrap();
    fs_err::create_dir(host.at("a/file-history")).unwrap();
    fs_err::write(host.at("b/file-history"), "").unwrap();
    host.troubled(&expect![[r#"
        accounts[b].home: DIR/b/projects leads to DIR/work, not to DIR/projects-shared: move what is there to the shared directory, then ln -sfn DIR/projects-shared DIR/b/projects
        accounts[b].home: DIR/b/session-env leads to DIR/nowhere, not to DIR/session-env-shared: move what is there to the shared directory, then ln -sfn DIR/session-env-shared DIR/b/session-env
        accounts[a].home: DIR/a/file-history is a real directory in the way of the link to DIR/file-history-shared: end every Claude Code of this account, then mkdir -p DIR/file-history-shared && cp -an DIR/a/file-history/. DIR/file-history-shared/ && mv -T DIR/a/file-history DIR/a/file-history.before && ln -s DIR/file-history-shared DIR/a/file-history; or let it be done: claude-failover init --adopt
        accounts[b].home: DIR/b/file-history is a file in the way of the link to DIR/file-history-shared: mv -T DIR/b/file-history DIR/b/file-history.before && ln -s DIR/file-history-shared DIR/b/file-history
    "#]]);
}

#[test]
fn directories_that_cannot_be_made_are_problems() {
    let host = Host::new();
    host.remove("projects-shared");
    fs_err::write(host.at("projects-shared"), "").unwrap();
    symlink("nowhere", host.at("file-history-shared")).unwrap();
    fs_err::write(host.at("var"), "").unwrap();
    host.remove("work");
    host.remove("run");
    host.troubled(&expect![[r#"
        pool.shared_projects_dir: the shared directory for projects: DIR/projects-shared is not a directory: move it away, or name another
        pool.shared_projects_dir: the shared directory for file-history: DIR/file-history-shared is a link that leads nowhere
        state_dir: DIR/var is not a directory: move it away, or name another
        tmux.socket: looking at the socket's directory: failed to query resolved metadata `DIR/run`: No such file or directory (os error 2): start the tmux unit, or mkdir -m 700 DIR/run
        pool.autonomous.workdir: DIR/work is not there: mkdir -p DIR/work, or name another
    "#]]);
    fs_err::write(host.at("run"), "").unwrap();
    host.troubled(&expect![[r#"
        pool.shared_projects_dir: the shared directory for projects: DIR/projects-shared is not a directory: move it away, or name another
        pool.shared_projects_dir: the shared directory for file-history: DIR/file-history-shared is a link that leads nowhere
        state_dir: DIR/var is not a directory: move it away, or name another
        runtime_dir: DIR/run is not a directory: move it away, or name another
        tmux.socket: DIR/run is not a directory: name a socket in one
        pool.autonomous.workdir: DIR/work is not there: mkdir -p DIR/work, or name another
    "#]]);
}

#[test]
fn another_user_may_not_write_here() {
    let host = Host::new();
    chmod(host.dir.path(), 0o755);
    host.troubled_for(host.uid() + 1, &expect![[r#"
        pool.shared_projects_dir: the shared directory for projects: uid OTHER may not write in DIR/projects-shared: as root, install -d -m 700 -o OTHER DIR/projects-shared
        pool.shared_projects_dir: the shared directory for session-env: uid OTHER may not write in DIR: as root, install -d -m 700 -o OTHER DIR/session-env-shared
        pool.shared_projects_dir: the shared directory for file-history: uid OTHER may not write in DIR: as root, install -d -m 700 -o OTHER DIR/file-history-shared
        state_dir: uid OTHER may not write in DIR: as root, install -d -m 700 -o OTHER DIR/var/lib/state
        runtime_dir: uid OTHER may not write in DIR/run: as root, install -d -m 700 -o OTHER DIR/run
        link: uid OTHER may not write in DIR, where the link is replaced at a swap: keep the link in a directory of the daemon's user
        tmux.socket: DIR/run belongs to uid OWNER and the daemon is uid OTHER: name a socket in a directory of its own user
    "#]]);
    for (name, mode) in [("", 0o757), ("projects-shared", 0o777), ("run", 0o777)] {
        chmod(host.at(name), mode);
    }
    host.troubled_for(host.uid() + 1, &expect![[r#"
        runtime_dir: DIR/run belongs to uid OWNER and the daemon is uid OTHER: chown -R OTHER DIR/run
        tmux.socket: DIR/run belongs to uid OWNER and the daemon is uid OTHER: name a socket in a directory of its own user
    "#]]);
}

#[test]
fn a_socket_that_others_could_replace_is_refused() {
    let mut host = Host::new();
    host.config.runtime_dir = host.at("var/run");
    let refused = expect![[r#"
        tmux.socket: others may write in DIR/run: chmod go-w DIR/run
    "#]];
    for mode in [0o720, 0o702, 0o1777] {
        chmod(host.at("run"), mode);
        host.troubled(&refused);
    }
    chmod(host.at("run"), 0o755);
    host.troubled(&expect![""]);
}

#[test]
fn directories_of_the_daemon_that_others_could_look_into_are_refused() {
    let mut host = Host::new();
    host.config.tmux.socket = None;
    chmod(host.at("run"), 0o755);
    symlink("run", host.at("state")).unwrap();
    host.config.state_dir = host.at("state");
    host.config.watcher.done_signal_dir = host.at("link/none/done");
    fs_err::write(host.at("a/none"), "").unwrap();
    fs_err::create_dir(host.at("link.failover-lock")).unwrap();
    host.troubled(&expect![[r#"
        state_dir: DIR/state is a link: name the directory itself
        runtime_dir: DIR/run is open to others (mode 0755): chmod 700 DIR/run
        watcher.done_signal_dir: DIR/link/none is not a directory: move it away, or name another
        link: DIR/link.failover-lock is in the way of its lock and no plain file: move it away
    "#]]);
}

#[test]
fn root_needs_a_sandbox() {
    let mut host = Host::new();
    let told = |host: &Host, uid| {
        let problems = disk(&host.config, uid);
        problems.iter().any(|problem| problem.path == "agent.env")
    };
    assert!(!told(&host, 0));
    host.config.agent.env.insert("IS_SANDBOX".into(), "true".into());
    assert!(told(&host, 0));
    host.config.agent.env.clear();
    assert!(told(&host, 0));
    assert!(!told(&host, 1000));
}

#[test]
fn dialogs_that_would_wait_in_front_of_an_agent_are_told() {
    let mut host = Host::new();
    let bypass = "--dangerously-skip-permissions";
    host.config.agent.command = vec!["claude".into(), bypass.into()];
    host.warned(&expect![[r#"
        account a: the first start is not done, bypass mode is not accepted, DIR/work is not trusted: run once: cd DIR/work && CLAUDE_CONFIG_DIR=DIR/a claude --dangerously-skip-permissions
        account a: DIR/site is not trusted: run once: cd DIR/site && CLAUDE_CONFIG_DIR=DIR/a claude --dangerously-skip-permissions
        account b: the first start is not done, bypass mode is not accepted, DIR/work is not trusted: run once: cd DIR/work && CLAUDE_CONFIG_DIR=DIR/b claude --dangerously-skip-permissions
        account b: DIR/site is not trusted: run once: cd DIR/site && CLAUDE_CONFIG_DIR=DIR/b claude --dangerously-skip-permissions
    "#]]);

    let site = host.at("site");
    let trusts =
        |dir: &Path| format!("{{{dir:?}: {{\"hasTrustDialogAccepted\": true, \"x\": 1}}}}");
    let state = format!(
        "{{\"hasCompletedOnboarding\": true, \"other\": [1], \"projects\": {}}}",
        trusts(&site)
    );
    fs_err::write(host.at("a/.claude.json"), state).unwrap();
    let settings = "{\"skipDangerousModePermissionPrompt\": true, \"hooks\": {}}";
    fs_err::write(host.at("a/settings.json"), settings).unwrap();
    // Trust in a parent is trust in all below; the older place of the consent.
    let state = format!(
        "{{\"hasCompletedOnboarding\": true, \"bypassPermissionsModeAccepted\": true, \
         \"projects\": {}}}",
        trusts(host.dir.path())
    );
    fs_err::write(host.at("b/.claude.json"), state).unwrap();
    host.warned(&expect![[r#"
        account a: DIR/work is not trusted: run once: cd DIR/work && CLAUDE_CONFIG_DIR=DIR/a claude --dangerously-skip-permissions
    "#]]);
}

#[test]
fn a_client_file_that_cannot_be_read_is_a_warning() {
    let host = Host::new();
    fs_err::write(host.at("a/.claude.json"), "{\"projects\": 5}").unwrap();
    let pipe = host.at("b/.claude.json");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    host.warned(&expect![[r#"
        account a: DIR/a/.claude.json: invalid type: integer `5`, expected a map at line 1 column 14: its dialogs are unknown
        account b: DIR/b/.claude.json is not a file: its dialogs are unknown
    "#]]);
    let huge = fs_err::File::create(host.at("a/.claude.json")).unwrap();
    huge.set_len(1 << 40).unwrap();
    host.remove("b");
    fs_err::remove_dir(host.at("site")).unwrap();
    host.warned(&expect![[r#"
        pool.dedicated[site].project: DIR/site is not there: tmux will start the session in another directory
        account a: DIR/a/.claude.json has more than 33554432 bytes: its dialogs are unknown
    "#]]);
}

#[test]
fn a_pool_that_meets_no_session_while_others_look_like_it_is_told() {
    let with_pool = |pool: &str| {
        let text = format!(
            "accounts: [{{name: a, home: ~/a}}]\npool: {{dedicated: [{{name: ccl-auto-99, \
             project: /p}}]}}\nautonomous: {pool}"
        );
        parse(&text, &Base::new("/home/u")).unwrap().config
    };
    let right = "{prefix: ccl-auto-, start_index: 11, max: 10}";
    let ten: Vec<String> = (11..21).map(|index| format!("ccl-auto-{index}")).collect();
    let ten: Vec<&str> = ten.iter().map(String::as_str).collect();
    for (pool, existing, is_told) in [
        (right, &[][..], false),
        (right, &["ccl-auto-11"], false),
        (right, &["ccl-auto-3", "ccl-auto-20"], false),
        (right, &["ccl-auto-3"], true),
        (right, &["ccl_auto_11"], true),
        (right, &["cc-auto-11"], true),
        (right, &["ccl-0", "ccl-9", "main", "ccl-auto-", "7"], false),
        (right, &["ccl-auto-99"], false),
        ("{prefix: ccl-auto, max: 10}", &ten, true),
        ("{prefix: x-, max: 10}", &["y-1"], false),
        ("{prefix: ccl-auto-, max: 0}", &["ccl-auto-1"], false),
    ] {
        let existing: Vec<String> = existing.iter().map(|name| (*name).to_owned()).collect();
        let told = near_misses(&with_pool(pool), &existing);
        assert_eq!(!told.is_empty(), is_told, "{pool} {existing:?}: {told:?}");
    }
    let existing: Vec<String> = ten.iter().map(|name| (*name).to_owned()).collect();
    let told = near_misses(&with_pool("{prefix: ccl-auto, max: 10}"), &existing);
    expect![[r#"
        [
            "pool.autonomous: no session of its range (10 sessions, such as ccl-auto0) exists, but ccl-auto-11, ccl-auto-12, ccl-auto-13, ccl-auto-14, ccl-auto-15 and 5 more do: are prefix and start_index what they should be?",
        ]
    "#]].assert_debug_eq(&told);
}

#[test]
fn rules_of_the_guard_that_would_refuse_everything_are_told_before() {
    let mut host = Host::new();
    host.config.agent.guard_rules = Some(host.at("guard.yaml"));
    host.troubled(&expect![""]);
    host.config.agent.guard = true;
    host.troubled(&expect![[r#"
        agent.guard_rules: DIR/guard.yaml: failed to open file `DIR/guard.yaml`: No such file or directory (os error 2): put the file right, or name none
    "#]]);
    fs_err::write(host.at("guard.yaml"), "off: [x]\n").unwrap();
    host.troubled(&expect![[r#"
        agent.guard_rules: DIR/guard.yaml: off: "x" is no rule of etc/guard.yaml: put the file right, or name none
    "#]]);
    fs_err::write(host.at("guard.yaml"), "off: [hard-reset]\n").unwrap();
    host.troubled(&expect![""]);
}
