//! Checks that are given what they look at.

use std::path::Path;

use claude_failover::agent_settings::client_version::Version;
use claude_failover::cli::doctor::finding::Finding;
use claude_failover::cli::doctor::finding::Wrap;
use claude_failover::cli::doctor::{client, daemon, disk, host, tmux};
use claude_failover::cli::init::logins::Ask;
use claude_failover::cli::units::Kind;
use claude_failover::moment::Wall;
use claude_failover::preflight::login::Login;
use expect_test::{Expect, expect};
use serde_json::json;

#[track_caller]
fn check(findings: impl IntoIterator<Item = Finding>, expected: &Expect) {
    let lines = findings.into_iter().map(|finding| finding.text(Wrap::Never));
    expected.assert_eq(&lines.collect::<String>());
}

#[test]
fn a_line_is_wrapped_for_a_terminal_and_never_for_a_program() {
    let long = "a version ".repeat(10);
    let found = client::version(Version(2, 1, 50), &long);
    assert!(found.text(Wrap::Columns).lines().all(|line| line.chars().count() <= 80));
    assert_eq!(found.text(Wrap::Never).lines().count(), 1);
    let hostile = client::version(Version(2, 1, 330), "/a\u{1b}[2J\nfail\u{202e}x");
    assert_eq!(hostile.text(Wrap::Never), "ok    client      /a [2J fail x: 2.1.330\n");
}

#[test]
fn the_client_is_as_new_as_its_hooks() {
    let versions = [Version(2, 1, 77), Version(2, 1, 78), Version(2, 1, 330), Version(2, 2, 0)];
    check(
        versions.map(|version| client::version(version, "/bin/claude")),
        &expect![[r#"
            warn  client      /bin/claude: 2.1.77 has no hook StopFailure: refusals are seen in transcripts and on screens alone -> claude update
            ok    client      /bin/claude: 2.1.78
            ok    client      /bin/claude: 2.1.330
            ok    client      /bin/claude: 2.2.0, later than 2.1.330, the last one tried
        "#]],
    );
}

#[test]
fn every_login_is_told_and_one_that_serves_two_accounts() {
    let answer = |name: &str, ask: Ask| (name.to_owned(), format!("log-in-{name}"), ask);
    let logged_in = |email: Option<&str>| Ask::Answered(Login::In(email.map(str::to_owned)));
    check(
        client::of_answers(&[
            answer("a", logged_in(Some("me@x.example"))),
            answer("b", Ask::Answered(Login::Out)),
            answer("c", Ask::Answered(Login::Unknown("it hangs".to_owned()))),
            answer("d", Ask::Lived(7)),
            answer("e", Ask::NoHome),
            answer("f", logged_in(None)),
            answer("g", logged_in(Some("me@x.example"))),
        ]),
        &expect![[r#"
            ok    login       account a: logged in as me@x.example
            fail  login       account b: not logged in -> log-in-b, then /login
            warn  login       account c: it hangs -> see: log-in-c
            skip  login       account d: not asked for while process 7 lives in its home
            skip  login       account e: it has no home yet
            ok    login       account f: logged in
            ok    login       account g: logged in as me@x.example
            warn  login       a, g are all logged in as me@x.example: one quota serves them -> log in to each account as itself
        "#]],
    );
}

#[test]
fn the_clock_is_sane_and_somebody_keeps_it() {
    let root = tempfile::tempdir().unwrap();
    let at = |text: &str| Wall(text.parse::<i64>().unwrap());
    let now = at("1795651200000");
    check(
        [host::clock(now, root.path()), host::clock(at("5000"), root.path())],
        &expect![[r#"
            warn  clock       2026-11-26T00:00:00Z; nothing that keeps it right was found -> compare it once, or: apt-get install systemd-timesyncd
            fail  clock       it says 1970-01-01T00:00:05Z: resets of quotas would be taken for past or for far away -> set it: timedatectl set-ntp true
        "#]],
    );
    fs_err::create_dir_all(root.path().join("run/chrony")).unwrap();
    fs_err::write(root.path().join("run/chrony/chronyd.pid"), "1").unwrap();
    check(
        [
            host::clock(now, root.path()),
            host::time_zone(Some("Europe/Paris".to_owned())),
            host::time_zone(None),
        ],
        &expect![[r#"
            ok    clock       2026-11-26T00:00:00Z; kept by what left /run/chrony/chronyd.pid
            ok    zone        Europe/Paris
            warn  zone        not known: a reset that a client prints without its zone is taken as UTC -> timedatectl set-timezone Area/City, or TZ=Area/City in the unit
        "#]],
    );
}

#[test]
fn the_kernels_limits_are_held_against_what_is_needed() {
    check(
        [
            host::inotify(Some(8192), Some(128), 1_300),
            host::inotify(Some(1_024), Some(128), 1_300),
            host::inotify(Some(8192), Some(8), 1_300),
            host::inotify(None, Some(8), 1_300),
            host::descriptors(1_024, 20),
            host::descriptors(1_024, 500),
        ],
        &expect![[r#"
            ok    inotify     8192 watches, 128 instances; needed: some 1300
            fail  inotify     1024 watches, 128 instances; needed: some 1300 -> sysctl fs.inotify.max_user_watches=5200
            fail  inotify     8192 watches, 8 instances; needed: some 1300 -> sysctl fs.inotify.max_user_instances=128
            warn  inotify     /proc/sys/fs/inotify cannot be read: whether queues are watched is in /status
            ok    files       the daemon may open 1024 files; needed: some 144
            fail  files       the daemon may open 1024 files; needed: some 2064 -> LimitNOFILE=8256 in its unit
        "#]],
    );
}

#[test]
fn a_limit_of_open_files_is_read_from_the_process() {
    let root = tempfile::tempdir().unwrap();
    fs_err::create_dir_all(root.path().join("proc/7")).unwrap();
    for (soft, expected) in [("1024", Some(1024)), ("unlimited", Some(u64::MAX)), ("x", None)] {
        let text = format!(
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max processes             1                    1                    processes \n\
             Max open files            {soft:20} 524288               files     \n"
        );
        fs_err::write(root.path().join("proc/7/limits"), text).unwrap();
        assert_eq!(host::open_files(root.path(), 7), expected);
    }
    let own = i32::try_from(std::process::id()).unwrap();
    assert!(host::open_files(Path::new("/"), own).is_some());
    check(
        [tmux::limit(7, Some(1_024)), tmux::limit(7, Some(65_536)), tmux::limit(7, None)]
            .into_iter()
            .flatten(),
        &expect![[r#"
            warn  tmux        the server (process 7) and its agents may open 1024 files each -> LimitNOFILE=65536 in the tmux unit, or ulimit -n 4096 before the server starts; it holds from the server's next start
            ok    tmux        the server (process 7) and its agents may open 65536 files each
        "#]],
    );
}

#[test]
fn room_is_bytes_and_inodes() {
    let at = Path::new("/var/lib/x");
    check(
        [
            disk::room_left(at, 64 << 30, Some(1_000_000)),
            disk::room_left(at, 500 << 20, None),
            disk::room_left(at, 5 << 20, Some(1_000_000)),
            disk::room_left(at, 64 << 30, Some(3)),
        ],
        &expect![[r#"
            ok    disk        /var/lib/x: 64GiB free
            warn  disk        /var/lib/x: 500MiB free -> make room: du -xh --max-depth=2 /var/lib/x | sort -h | tail
            fail  disk        /var/lib/x: 5MiB free -> make room: du -xh --max-depth=2 /var/lib/x | sort -h | tail
            fail  disk        /var/lib/x: 64GiB free, but room for 3 files only -> make room: du -xh --max-depth=2 /var/lib/x | sort -h | tail
        "#]],
    );
}

#[test]
fn the_daemons_own_words_decide() {
    check(
        [
            daemon::health_line(&json!({"ok": true, "state": "normal", "reasons": []})),
            daemon::health_line(&json!({"ok": true, "state": "degraded", "reasons": ["a", "b"]})),
            daemon::health_line(&json!({"ok": false, "state": "stuck", "reasons": ["swap 7"]})),
            daemon::health_line(&json!(null)),
        ],
        &expect![[r#"
            ok    daemon      it answers: normal
            warn  daemon      degraded: a; b -> claude-failover status says more
            fail  daemon      stuck: swap 7 -> claude-failover status says more
            fail  daemon      unknown:  -> claude-failover status says more
        "#]],
    );
    let running = |version: &str| json!({"daemon": {"version": version}});
    assert_eq!(daemon::another_version(&running(env!("CARGO_PKG_VERSION")), Kind::System), None);
    let text = daemon::another_version(&running("0.0.1"), Kind::User).unwrap().text(Wrap::Never);
    assert!(text.starts_with("warn  daemon      version 0.0.1 runs, and 0.1.0"), "{text}");
    assert!(text.contains(" -> systemctl --user restart claude-failover"), "{text}");
}

#[test]
fn health_is_asked_over_http_as_well() {
    let serve = |answer: &'static str| {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 512];
            let count = stream.read(&mut head).unwrap();
            assert!(head[..count].starts_with(b"GET /health HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let found = daemon::http(address, Kind::System);
        server.join().unwrap();
        Finding { what: found.what.replace(&address.to_string(), "ADDRESS"), ..found }
    };
    check(
        [
            serve("HTTP/1.1 200 OK\r\n\r\n{}"),
            serve("HTTP/1.1 503 Service Unavailable\r\n\r\n{}"),
            serve("HTTP/1.0 404 Not Found\r\n\r\n"),
            serve(""),
        ],
        &expect![[r#"
            ok    http        http://ADDRESS/health: 200
            warn  http        http://ADDRESS/health: 503, for the reason that stands at "daemon"
            fail  http        http://ADDRESS/health: "HTTP/1.0 404 Not Found" -> who has that port?
            fail  http        http://ADDRESS/health: "" -> who has that port?
        "#]],
    );
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = daemon::http(closed, Kind::System).text(Wrap::Never);
    assert!(text.starts_with("fail  http ") && text.contains("refused"), "{text}");
}
