//! Listings and captures: complete, exact, cheap.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use claude_failover::ids::PaneId;
use claude_failover::terminal::client::Client;
use claude_failover::terminal::command::{Command as Tmux, Exchange};
use claude_failover::terminal::encode::unvis;

use crate::support::PrivateTmux;
use crate::tmux::{Rig, SOON, settings};

#[test]
fn a_listing_tells_what_the_core_needs() {
    let rig = Rig::connected();
    rig.runs("work", "printf a; exec cat");
    rig.tmux.run(&["split-window", "-t", "=work:", "exec cat"]);
    rig.runs("a b %1", "exec cat");
    rig.tmux.run(&["set-option", "-t", "=work:", "@failover_fence", "41"]);
    rig.tmux.run(&["set-option", "-t", "a b %1", "@failover_fence", "x y\n%end 1 1 1"]);
    rig.tmux.run(&["copy-mode", "-t", "=work:"]);
    let panes = rig.list();
    assert_eq!(panes.len(), 3);
    let [first, second, other] = panes.as_slice() else {
        panic!("{panes:?}");
    };
    let (first, second, other) = match other.session.as_str() {
        "a b %1" => (first, second, other),
        _ => (second, other, first),
    };
    assert_eq!((first.active, second.active), (false, true));
    assert_eq!((first.in_mode, second.in_mode), (false, true));
    assert_eq!((first.fence, second.fence, other.fence), (Some(41), Some(41), None));
    assert_eq!((other.session.as_str(), other.attached, other.dead), ("a b %1", 0, false));
    assert!(Path::new(&format!("/proc/{}", first.leader_pid)).exists());
    assert_eq!(first.stamp.cursor, (1, 0));
    assert!(first.stamp.activity_s > 1_700_000_000);
}

#[test]
fn a_capture_is_exact_and_cannot_be_imitated() {
    let rig = Rig::connected();
    let rows = [
        "%end 1 1 1",
        "%begin 1 1 1",
        "❯\u{a0}NBSP and emoji 🚀 ✳ é",
        r"C:\new\table \033 \\ $HOME \$x",
        "\"quoted\" 'q' #{pid} ; %error 1 1 1",
    ];
    let file = rig.tmux.path().join("screen");
    fs::write(&file, rows.join("\n")).unwrap();
    let show = format!("cat {}; exec cat", file.display());
    let pane = rig.runs("work", &show).pane;
    let screen = rig.shows(pane, "%error 1 1 1");
    let shown: Vec<&str> = screen.lines().map(str::trim_end).take(rows.len()).collect();
    assert_eq!(shown, rows);

    let gone = PaneId(4711);
    let texts = rig.terminal.handle().capture(&[gone, pane, gone]).unwrap();
    assert_eq!(texts, [(pane, screen)]);
    assert_eq!(rig.terminal.handle().capture(&[]).unwrap(), []);
    assert_eq!(rig.tmux.run(&["list-buffers"]), "");
}

#[test]
fn a_wrapped_row_is_read_as_one_and_only_in_its_own_session() {
    let rig = Rig::connected();
    let id = "82840528-5c4e-4114-8dc2-50dc43ea65c9";
    let row = format!("claude --dangerously-skip-permissions --resume {id}");
    let show = format!("echo '{row}'; seq 60; exec cat");
    rig.tmux.run(&["new-session", "-d", "-s", "work", "-x", "40", "-y", "10", &show]);
    let pane = rig.pane("work").pane;
    rig.shows(pane, "60");
    assert_eq!(rig.read_pane("work", pane), Ok(vec![id.parse().unwrap()]));
    assert!(rig.read_pane("other", pane).unwrap_err().contains("session other"));
    assert!(rig.read_pane("work", PaneId(4711)).is_err());
}

#[test]
fn every_byte_survives_the_way_into_a_buffer_and_back() {
    let tmux = PrivateTmux::new();
    let mut client = Client::start(&settings(&tmux)).unwrap();
    let all: Vec<u8> = (1..=255).collect();
    let text = [&all[..], "❯\u{a0}🚀".as_bytes(), b"end;"].concat();
    let set = Tmux::new("set-buffer").option("-b", "bytes").flag("--").arg(&text);
    let show = Tmux::new("show-buffer").option("-b", "bytes");
    let replies = client.run(&[Exchange::plain(&[set, show])], SOON).unwrap();
    let [_, shown] = replies[0].as_slice() else {
        panic!("{replies:?}");
    };
    assert_eq!(unvis(&shown.text), text);
}

#[test]
fn twenty_sessions_are_read_in_a_fraction_of_one_process_each() {
    const SESSIONS: usize = 20;
    let rig = Rig::connected();
    for index in 0..SESSIONS {
        let session = format!("s{index}");
        let show = "seq -s ' ' 1 1400; exec cat";
        rig.tmux.run(&["new-session", "-d", "-s", &session, "-x", "200", "-y", "50", show]);
    }
    let panes: Vec<PaneId> = rig.list().iter().map(|pane| pane.pane).collect();
    assert_eq!(panes.len(), SESSIONS);
    for pane in &panes {
        rig.shows(*pane, "1400");
    }
    let handle = rig.terminal.handle();
    let list = median(|| assert_eq!(handle.list().unwrap().len(), SESSIONS));
    let capture = median(|| assert_eq!(handle.capture(&panes).unwrap().len(), SESSIONS));
    let processes = median(|| {
        for pane in &panes {
            rig.tmux.run(&["capture-pane", "-p", "-J", "-t", &pane.to_string()]);
        }
    });
    println!("{SESSIONS} panes: list {list:?}, capture {capture:?}, processes {processes:?}");
    assert!(list < Duration::from_millis(500), "{list:?}");
    assert!(capture < Duration::from_secs(1), "{capture:?}");
    assert!(capture < processes, "{capture:?} {processes:?}");
}

fn median(mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..7)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}
