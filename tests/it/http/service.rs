//! The daemon as a service: signals, the words for systemd, the log.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use claude_failover::moment::Mono;
use claude_failover::systemd::{self, Manager, STATUS_CHARS_MAX};
use claude_failover::{logging, signals};
use crossbeam_channel::unbounded;
use rustix::process::{Pid, Signal, kill_process};

use super::shortage::leave_only;
use crate::child::{in_a_child, is_child, told};

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
        let mut manager = Manager::from_environment();
        manager.ready();
        manager.reloading();
        manager.status("parked\nuntil 15:00", Mono(0));
        manager.status("too early", Mono(999));
        manager.status("parked\nuntil 15:00", Mono(1_000));
        manager.status(&"ü".repeat(STATUS_CHARS_MAX + 1), Mono(1_000));
        manager.watchdog();
        manager.stopping(Duration::from_secs(85));
        manager.stopping(Duration::from_secs(86));
        manager.failed("a reason\nof two lines");
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
    assert_eq!(heard(), "READY=1");
    let reloading = heard();
    let usec = reloading
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .and_then(|rest| rest.parse::<u64>().ok());
    assert!(usec.is_some_and(|usec| usec > 0), "{reloading:?}");
    assert_eq!(heard(), "STATUS=parked until 15:00");
    assert_eq!(heard(), format!("STATUS={}", "ü".repeat(STATUS_CHARS_MAX)));
    assert_eq!(heard(), "WATCHDOG=1");
    assert_eq!(heard(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=85000000");
    assert_eq!(heard(), "STATUS=a reason of two lines");
    assert_eq!(told(&mut child, "interval"), "Some(10s)");
    assert!(child.wait().unwrap().success());
}

/// Else a daemon that is well would be killed for want of a sign of life.
#[test]
fn systemd_is_told_although_no_descriptor_is_left() {
    if is_child() {
        let mut manager = Manager::from_environment();
        let shortage = leave_only(0);
        assert!(UnixDatagram::unbound().is_err(), "there is a descriptor left");
        manager.watchdog();
        manager.status("degraded", Mono(0));
        manager.ready();
        drop(shortage);
        println!("told=yes");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut child = in_a_child("http::service::systemd_is_told_although_no_descriptor_is_left")
        .env("NOTIFY_SOCKET", &path)
        .spawn()
        .unwrap();
    assert_eq!(told(&mut child, "told"), "yes");
    assert!(child.wait().unwrap().success());
    manager.set_nonblocking(true).unwrap();
    for message in ["WATCHDOG=1", "STATUS=degraded", "READY=1"] {
        let mut bytes = [0; 64];
        let length = manager.recv(&mut bytes).expect(message);
        assert_eq!(String::from_utf8_lossy(&bytes[..length]), message);
    }
}

#[test]
fn a_manager_may_have_a_name_without_a_path_and_a_wrong_one_is_no_harm() {
    if is_child() {
        Manager::from_environment().ready();
        println!("told=yes");
        return;
    }
    let name = format!("cf-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = UnixDatagram::bind_addr(&address).unwrap();
    manager.set_read_timeout(Some(TIMEOUT)).unwrap();
    for socket in [format!("@{name}"), "vsock:2:1".to_owned(), "/nobody/listens".to_owned()] {
        let mut child = in_a_child(
            "http::service::a_manager_may_have_a_name_without_a_path_and_a_wrong_one_is_no_harm",
        )
        .env("NOTIFY_SOCKET", socket)
        .spawn()
        .unwrap();
        assert_eq!(told(&mut child, "told"), "yes");
        assert!(child.wait().unwrap().success());
    }
    let mut bytes = [0; 64];
    let length = manager.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..length], b"READY=1");
    manager.set_nonblocking(true).unwrap();
    assert!(manager.recv(&mut bytes).is_err(), "the others know nothing of this name");
}

#[test]
fn without_systemd_nothing_is_sent_and_nothing_fails() {
    if is_child() {
        let mut manager = Manager::from_environment();
        manager.ready();
        manager.status("unheard", Mono(0));
        manager.watchdog();
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
