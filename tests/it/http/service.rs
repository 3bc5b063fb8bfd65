//! The daemon as a service: signals, the words for systemd, the log, and the unit files.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use claude_failover::{logging, signals, systemd};
use crossbeam_channel::unbounded;
use rustix::process::{Pid, Signal, kill_process};

use super::{in_a_child, is_child, told};

const TIMEOUT: Duration = Duration::from_secs(20);

/// Hears signals and prints the events, one a line, until it is killed or 9 events have come.
fn print_signal_events() {
    let (sender, events) = unbounded();
    let listener = signals::Listener::spawn(sender).unwrap();
    println!("event=listening");
    for event in events.iter().take(9) {
        println!("event={event:?}");
    }
    drop(listener);
    println!("event=joined");
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn a_second_term_or_int_ends_a_process_whose_coordinator_hangs() {
    if is_child() {
        // Nobody asks this one for more than its first event.
        let (sender, events) = unbounded();
        let _listener = signals::Listener::spawn(sender).unwrap();
        println!("event=listening");
        println!("event={:?}", events.recv().unwrap());
        std::thread::park();
        return;
    }
    for (first, second, code) in [
        (Signal::TERM, Signal::TERM, 143),
        (Signal::INT, Signal::INT, 130),
        (Signal::TERM, Signal::INT, 130),
    ] {
        let mut child = in_a_child(
            "http::service::a_second_term_or_int_ends_a_process_whose_coordinator_hangs",
        )
        .spawn()
        .unwrap();
        assert_eq!(told(&mut child, "event"), "listening");
        signal(&child, first);
        assert_eq!(told(&mut child, "event"), "StopRequested");
        signal(&child, second);
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}

#[test]
fn hup_reloads_as_often_as_it_comes_also_while_stopping() {
    if is_child() {
        print_signal_events();
        return;
    }
    let mut child =
        in_a_child("http::service::hup_reloads_as_often_as_it_comes_also_while_stopping")
            .spawn()
            .unwrap();
    assert_eq!(told(&mut child, "event"), "listening");
    for turn in 0..9 {
        let (sent, event) = match turn {
            4 => (Signal::TERM, "StopRequested"),
            _ => (Signal::HUP, "VerbRequested { verb: Reload, ask: None }"),
        };
        signal(&child, sent);
        assert_eq!(told(&mut child, "event"), event);
    }
    assert_eq!(told(&mut child, "event"), "joined");
    assert!(child.wait().unwrap().success());
}

#[test]
fn systemd_hears_each_word_once() {
    if is_child() {
        systemd::ready();
        systemd::reloading();
        systemd::status("parked\nuntil 15:00");
        systemd::watchdog();
        systemd::stopping();
        println!("interval={:?}", systemd::watchdog_interval());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut child = in_a_child("http::service::systemd_hears_each_word_once")
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "30000000")
        .env_remove("WATCHDOG_PID")
        .spawn()
        .unwrap();
    let heard = || {
        let mut bytes = [0; 512];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    assert_eq!(heard(), "READY=1\n");
    let reloading = heard();
    let usec = reloading
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .and_then(|rest| rest.trim_end().parse::<u64>().ok());
    assert!(usec.is_some_and(|usec| usec > 0), "{reloading:?}");
    assert_eq!(heard(), "STATUS=parked until 15:00\n");
    assert_eq!(heard(), "WATCHDOG=1\n");
    assert_eq!(heard(), "STOPPING=1\n");
    assert_eq!(told(&mut child, "interval"), "Some(15s)");
    assert!(child.wait().unwrap().success());
}

#[test]
fn without_systemd_nothing_is_sent_and_nothing_fails() {
    if is_child() {
        systemd::ready();
        systemd::watchdog();
        println!("interval={:?}", systemd::watchdog_interval());
        return;
    }
    let mut child = in_a_child("http::service::without_systemd_nothing_is_sent_and_nothing_fails")
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .spawn()
        .unwrap();
    assert_eq!(told(&mut child, "interval"), "None");
    assert!(child.wait().unwrap().success());
}

/// What a child that logs and panics in a thread writes to standard error.
fn log_of_a_child(setting: impl FnOnce(&mut Command)) -> Vec<String> {
    let mut child = in_a_child("http::service::the_log_has_one_line_a_message_and_a_panic");
    child.stdin(Stdio::null()).stderr(Stdio::piped());
    child.env_remove("RUST_LOG").env_remove("JOURNAL_STREAM");
    setting(&mut child);
    let output = child.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_log_has_one_line_a_message_and_a_panic() {
    if is_child() {
        logging::init(None);
        log::info!(target: "claude_failover::swap", "op=1\nphase=Stopped");
        log::debug!(target: "claude_failover::swap", "not by default");
        log::info!(target: "elsewhere", "not at all");
        let thread = std::thread::Builder::new().name("watcher".to_owned());
        let _ = thread.spawn(|| panic!("two\nlines")).unwrap().join();
        return;
    }
    let plain = log_of_a_child(|_| {});
    assert_eq!(plain.len(), 2, "{plain:?}");
    let (time, rest) = plain[0].split_once(' ').unwrap();
    assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
    assert_eq!(rest, r"INFO  op=1\nphase=Stopped");
    assert!(plain[1].contains(" ERROR panic in thread watcher at tests/it/"), "{plain:?}");
    assert!(plain[1].ends_with(r": two\nlines"), "{plain:?}");

    let loud = log_of_a_child(|child| {
        child.env("RUST_LOG", "debug");
    });
    assert_eq!(loud.len(), 4, "{loud:?}");
    let elsewhere = log_of_a_child(|child| {
        child.env("JOURNAL_STREAM", "1:1");
    });
    assert!(elsewhere[0].contains("INFO"), "{elsewhere:?}");
}

#[test]
fn under_journald_a_line_starts_with_its_priority() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stream");
    let stream = fs::File::create(&path).unwrap();
    let meta = stream.metadata().unwrap();
    log_of_a_child(|child| {
        child.env("JOURNAL_STREAM", format!("{}:{}", meta.dev(), meta.ino()));
        child.stderr(stream);
    });
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("<6>op=1\\nphase=Stopped\n<3>panic in"), "{text}");
}

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

/// systemd-analyze also says nothing to its exit code about unknown keys, so any word fails.
/// It wants the programs and the user to exist, so the copies name ones that do.
#[test]
fn systemd_finds_nothing_to_say_about_the_units() {
    let dir = tempfile::tempdir().unwrap();
    let verify = |change: fn(String) -> String| {
        let mut command = Command::new("systemd-analyze");
        command.args(["verify", "--man=no"]).env("SYSTEMD_LOG_LEVEL", "info");
        for entry in fs::read_dir(units()).unwrap() {
            let unit = entry.unwrap().path();
            let copy = dir.path().join(unit.file_name().unwrap());
            let text = change(fs::read_to_string(unit).unwrap());
            let mut file = fs::File::create(&copy).unwrap();
            for line in text.lines() {
                writeln!(file, "{}", existing_program(line)).unwrap();
            }
            command.arg(copy);
        }
        let output = command.output().expect("systemd-analyze, of the package systemd");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert_eq!(verify(|text| text), "");
    let typo = verify(|text| text.replace("WatchdogSec=", "WatchdogSeconds="));
    assert!(typo.contains("WatchdogSeconds"), "it looks at the copies: {typo}");
}

fn existing_program(line: &str) -> String {
    match line.split_once("=/") {
        Some((key @ ("ExecStart" | "ExecStartPre"), _)) => format!("{key}=/bin/true"),
        _ => line.to_owned(),
    }
}

#[test]
fn neither_unit_can_take_the_other_down() {
    for entry in fs::read_dir(units()).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for word in ["Requires=", "PartOf=", "BindsTo=", "Requisite=", "Conflicts="] {
            assert!(!text.lines().any(|line| line.starts_with(word)), "{word}");
        }
    }
}
