//! The verb as the client runs it: quick, silent and content, whatever is the matter.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use claude_failover::api::control::{Request, ask, socket_path};
use claude_failover::core::event::Event;
use claude_failover::moment::Wall;
use claude_failover::quota::report::{News, parse};
use claude_failover::quota::verdict::Context;
use rustix::process::{Pid, Signal, kill_process};

use super::{Place, STOP, WAIT, assert_unnoticed, filled_pipe, next_reports, run, start};
use crate::support::{binary, eventually};

/// What the client may be held up.
const PROMISED: Duration = Duration::from_millis(50);

const SLOWEST: Duration = Duration::from_millis(200);

/// A process that works a little waits for a processor at its start, at its end and in between.
const WAITS: u32 = 3;
/// Where `true` takes longer than this once in a series, the machine has other things to do.
const QUIET: Duration = Duration::from_millis(10);

/// Judges a series of runs against a series of runs of `true` made in between. On a quiet machine
/// the middle run keeps the promise, and none is late by more than its waits for a processor, but for
/// the one that something else came up beside. On a busy one only a wait for something that never
/// comes would show.
#[track_caller]
fn assert_quick(what: &str, mut runs: Vec<Duration>, mut others: Vec<Duration>) {
    runs.sort_unstable();
    others.sort_unstable();
    let (median, p99) = (runs[runs.len() / 2], runs[runs.len() * 99 / 100]);
    let idle = others[others.len() / 2];
    let (slowest, margin) = (runs[runs.len() - 1], WAITS * others[others.len() - 1]);
    let last_but_one = runs[runs.len() - 2];
    let quiet = margin <= WAITS * QUIET;
    println!(
        "{what}: median {median:.1?}, p99 {p99:.1?}, slowest {slowest:.1?} \
         (`true`: median {idle:.1?}, slowest {:.1?}, {} runs, {})",
        margin / WAITS,
        runs.len(),
        if quiet { "quiet" } else { "busy" },
    );
    if quiet {
        assert!(median <= PROMISED, "{what}: {median:?}");
        assert!(last_but_one <= PROMISED + margin, "{what}: {last_but_one:?}, margin {margin:?}");
        assert!(slowest <= SLOWEST, "{what}: {slowest:?}");
    } else {
        assert!(median <= PROMISED + margin, "{what}: {median:?}, margin {margin:?}");
    }
}

fn time_true() -> Duration {
    let begun = Instant::now();
    Command::new("true").status().unwrap();
    begun.elapsed()
}

/// So many runs of the hook; each must end unnoticed.
#[track_caller]
fn time(what: &str, place: &Place, input: &str, count: usize) {
    let (mut runs, mut others) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (output, took) = run(&mut place.hook(), input.as_bytes());
        assert_unnoticed(&output);
        runs.push(took);
        others.push(time_true());
    }
    assert_quick(what, runs, others);
}

#[test]
fn a_report_reaches_the_daemon_within_its_time() {
    let place = Place::new();
    let (_server, events) = place.daemon();
    time("to a daemon", &place, STOP, 200);
    for _ in 0..200 {
        let reports = next_reports(&events);
        assert!(matches!(reports[0].news, News::TurnEnded { background: Some(0), .. }));
    }
    assert!(events.is_empty());
}

#[test]
fn the_report_says_who_and_when() {
    let place = Place::new();
    let (_server, events) = place.daemon();
    let before = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    assert_unnoticed(&run(place.hook().env("CLAUDE_PID", "4711"), STOP.as_bytes()).0);
    let after = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let report = next_reports(&events).remove(0);
    assert_eq!(report.pid, Some(4711));
    assert!((before..=after).contains(&u128::try_from(report.at.0).unwrap()));
    for odd in ["", "-1", "x", "99999999999"] {
        assert_unnoticed(&run(place.hook().env("CLAUDE_PID", odd), STOP.as_bytes()).0);
        assert_eq!(next_reports(&events)[0].pid, None, "{odd}");
    }
}

#[test]
fn without_a_daemon_the_report_waits_in_the_spool() {
    let place = Place::new();
    time("to the spool", &place, STOP, 200);
    assert_eq!(fs::metadata(place.spool()).unwrap().mode() & 0o777, 0o700);
    let mut found = 0;
    for entry in fs::read_dir(place.spool()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().mode() & 0o777, 0o600);
        found += 1;
    }
    assert_eq!(found, 200);
    let context = Context { now: Wall(i64::MAX), zone: None, patterns: &[] };
    let spooled = place.spooled();
    let moments: Vec<Wall> =
        spooled.iter().map(|line| parse(line.as_bytes(), &context).unwrap().at).collect();
    assert_eq!(moments.len(), 200);
    assert!(moments.is_sorted(), "oldest first");
    assert!(moments[0].0 > 1_700_000_000_000, "with its own moment");
}

#[test]
fn a_daemon_that_never_reads_costs_no_more_and_loses_nothing() {
    let place = Place::new();
    let _deaf = place.deaf();
    time("to a deaf daemon", &place, STOP, 30);
    assert_eq!(place.spooled().len(), 30);
}

/// A place in the backlog is not waited for.
#[test]
fn a_full_backlog_costs_no_more_and_loses_nothing() {
    let place = Place::new();
    let deaf = place.deaf();
    rustix::net::listen(&deaf, 0).unwrap();
    let _first = UnixStream::connect(socket_path(place.path())).unwrap();
    time("to a full backlog", &place, STOP, 30);
    assert_eq!(place.spooled().len(), 30);
}

/// It takes connections, for the kernel does that for it, and the first bytes of each.
#[test]
fn a_stopped_daemon_costs_no_more_and_loses_nothing() {
    let place = Place::new();
    let script = "import socket,sys,time\ns=socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\n\
                  s.listen(1024)\nwhile True: s.accept()[0].recv(65536)";
    let mut listener = Command::new("python3")
        .args(["-c", script])
        .arg(socket_path(place.path()))
        .spawn()
        .unwrap();
    eventually("it listens", WAIT, || UnixStream::connect(socket_path(place.path())).ok());
    let pid = Pid::from_child(&listener);
    kill_process(pid, Signal::STOP).unwrap();
    time("to a stopped daemon", &place, STOP, 30);
    assert_eq!(place.spooled().len(), 30);
    kill_process(pid, Signal::KILL).unwrap();
    listener.wait().unwrap();
}

#[test]
fn whatever_its_input_is_nobody_notices() {
    let place = Place::new();
    let (_server, events) = place.daemon();
    let prompt = "x".repeat(1 << 20);
    let long = format!(r#"{{"hook_event_name":"UserPromptSubmit","prompt":"{prompt}"}}"#);
    let nested = "[".repeat(100_000);
    let status_line = r#"{"model":{"id":"m"},"version":"2.1.330"}"#;
    let other = r#"{"hook_event_name":"PreToolUse","tool_name":"Bash"}"#;
    for input in ["", "\n", "{", "nonsense", "[]", "null", "\u{0}", &nested, status_line, other] {
        assert_unnoticed(&run(&mut place.hook(), input.as_bytes()).0);
    }
    assert_unnoticed(&run(&mut place.hook(), b"\xff\xfe{}").0);
    assert_unnoticed(&run(&mut place.hook(), &vec![b'x'; 5 << 20]).0);
    assert!(events.is_empty() && !place.spool().exists());

    assert_unnoticed(&run(&mut place.hook(), long.as_bytes()).0);
    assert_eq!(next_reports(&events)[0].news, News::PromptSubmitted);
}

#[test]
fn an_input_that_does_not_end_is_not_waited_for() {
    let place = Place::new();
    let (mut runs, mut others) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let begun = Instant::now();
        let mut silent = start(&mut place.hook());
        let keep = silent.stdin.take();
        let output = silent.wait_with_output().unwrap();
        runs.push(begun.elapsed());
        drop(keep);
        assert_unnoticed(&output);
        others.push(time_true());
    }
    assert_quick("without an input", runs, others);
    assert!(!place.spool().exists());

    let (mut runs, mut others) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let mut hook = place.hook();
        hook.stdin(File::open("/dev/zero").unwrap());
        let begun = Instant::now();
        let output = hook.output().unwrap();
        runs.push(begun.elapsed());
        assert_unnoticed(&output);
        others.push(time_true());
    }
    assert_quick("with an endless input", runs, others);

    // What it needs may have come all the same.
    let (_server, events) = place.daemon();
    let mut open = start(&mut place.hook());
    std::io::Write::write_all(open.stdin.as_mut().unwrap(), STOP.as_bytes()).unwrap();
    let keep = open.stdin.take();
    assert_unnoticed(&open.wait_with_output().unwrap());
    drop(keep);
    assert!(matches!(next_reports(&events)[0].news, News::TurnEnded { .. }));
}

#[test]
fn closed_descriptors_do_not_matter() {
    let place = Place::new();
    let (_server, events) = place.daemon();
    let hook = |redirections: &str| {
        let script = format!("exec \"$0\" hook --runtime-dir \"$1\" {redirections}");
        let mut command = Command::new("sh");
        command.args(["-c", &script]).arg(binary()).arg(place.path()).stdin(Stdio::piped());
        command
    };
    assert_unnoticed(&run(&mut hook("<&-"), b"").0);
    assert_unnoticed(&run(&mut hook("<&- >&- 2>&-"), b"").0);
    assert!(events.is_empty());
    assert_unnoticed(&run(&mut hook(">&- 2>&-"), STOP.as_bytes()).0);
    next_reports(&events);
}

#[test]
fn a_place_where_nothing_can_be_left_is_nobodys_trouble() {
    let place = Place::new();
    let nowhere = place.path().join("nowhere");
    let blocked = place.path().join("blocked");
    let full = place.path().join("full");
    let long = place.path().join("x".repeat(200));
    for dir in [&blocked, &full, &long] {
        fs::create_dir(dir).unwrap();
    }
    fs::write(blocked.join("spool"), "a file").unwrap();
    fs::write(blocked.join("control.sock"), "another").unwrap();
    fs::create_dir(full.join("spool")).unwrap();
    for at in 0..1000 {
        fs::write(full.join(format!("spool/{at:013}-1.json")), "{}").unwrap();
    }
    for dir in [&nowhere, &blocked, &full, &long] {
        let mut hook = Command::new(binary());
        hook.arg("hook").arg("--runtime-dir").arg(dir);
        assert_unnoticed(&run(&mut hook, STOP.as_bytes()).0);
    }
    assert!(!nowhere.exists());
    assert_eq!(fs::read(blocked.join("spool")).unwrap(), b"a file");
    assert_eq!(fs::read_dir(full.join("spool")).unwrap().count(), 1000);
    assert_eq!(fs::read_dir(long.join("spool")).unwrap().count(), 1, "no socket has such a path");

    let read_only = place.path().join("read-only");
    fs::create_dir_all(read_only.join("spool")).unwrap();
    fs::set_permissions(read_only.join("spool"), Permissions::from_mode(0o500)).unwrap();
    let mut hook = Command::new(binary());
    hook.arg("hook").arg("--runtime-dir").arg(&read_only);
    assert_unnoticed(&run(&mut hook, STOP.as_bytes()).0);
}

#[test]
fn odd_arguments_are_nobodys_trouble() {
    for args in [&["hook"][..], &["hook", "--runtime-dir"], &["hook", "--help"], &["hook", "x"]] {
        let (output, _) = run(Command::new(binary()).args(args), STOP.as_bytes());
        assert_unnoticed(&output);
    }
    let help = Command::new(binary()).arg("--help").output().unwrap();
    assert!(!String::from_utf8_lossy(&help.stdout).contains("hook"));
}

/// As after a limit that all agents of a large fleet meet at once. Who waits for his answer too
/// long leaves the report in the spool, too: it may come twice, and is told by its moment and pid.
#[test]
fn of_two_hundred_at_once_none_is_lost() {
    let place = Place::new();
    let (server, events) = place.daemon();
    let begun = Instant::now();
    // One file for what they all print: this process has few descriptors to spare.
    let printed = File::create(place.path().join("printed")).unwrap();
    let children: Vec<_> = (1..=200)
        .map(|pid| {
            let mut hook = place.hook();
            hook.env("CLAUDE_PID", pid.to_string()).stdin(filled_pipe(STOP.as_bytes()));
            hook.stdout(printed.try_clone().unwrap()).stderr(printed.try_clone().unwrap());
            hook.spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let took = begun.elapsed();
    assert_eq!(printed.metadata().unwrap().len(), 0);
    eventually("the daemon has heard all that was sent", WAIT, || {
        ask(&socket_path(place.path()), &Request::Status, WAIT).ok()
    });
    drop(server);
    let context = Context { now: Wall(i64::MAX), zone: None, patterns: &[] };
    let spooled = place.spooled();
    let left: Vec<_> = spooled.iter().filter_map(|line| parse(line.as_bytes(), &context)).collect();
    let mut heard = Vec::new();
    for event in events.try_iter() {
        if let Event::ReportsReceived(reports) = event {
            heard.extend(reports);
        }
    }
    let both = left.iter().filter(|report| heard.contains(report)).count();
    let (by_socket, by_spool) = (heard.len(), left.len());
    println!("200 at once: {took:.0?}, {by_socket} heard, {by_spool} in the spool, {both} in both");
    let mut pids: Vec<i32> = heard.iter().chain(&left).filter_map(|report| report.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids, (1..=200).collect::<Vec<_>>());
    assert_eq!(by_socket + by_spool - both, 200);
}
