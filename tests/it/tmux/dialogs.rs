//! Dialogs in real panes: a program paints them, and writes down which keys it got.

use std::fs;
use std::path::{Path, PathBuf};

use claude_failover::core::action::OrderId;
use claude_failover::core::event::{DialogEnd, Event, PaneSeen};
use claude_failover::ids::PaneId;
use claude_failover::task::prompt::DEFAULT;
use claude_failover::terminal::Order;

use crate::support::eventually;
use crate::tmux::{MODES, Rig, SOON, name};

/// `MENU LOG CURSOR TITLE ENTRY…`: a menu that goes away once an entry is chosen. With `STIFF=1` its
/// cursor never moves, with `AGAIN=1` it comes back when an entry is chosen.
const MENU: &str = r#"#!/bin/bash
log=$1 at=$2 title=$3; shift 3; entries=("$@")
stty -echo -icanon min 1
paint() {
  printf '\e[2J\e[H────────────────\n %s\n\n' "$title"
  for i in "${!entries[@]}"; do
    mark=' '; ((i == at)) && mark=❯
    printf ' %s %s\n' "$mark" "${entries[i]}"
  done
  ((${#entries[@]} == 0)) || printf '\n Enter to confirm · Esc to cancel\n'
}
move() { [[ $STIFF ]] || at=$((at + $1)); paint; }
paint
while IFS= read -rsN1 key; do
  case $key in
  $'\e') read -rsN2 key
    case $key in *A) echo up >>"$log"; move -1 ;; *B) echo down >>"$log"; move 1 ;; *) echo other >>"$log" ;; esac ;;
  $'\n') echo "enter ${entries[at]}" >>"$log"; [[ $AGAIN ]] || break; paint ;;
  *) echo "key $key" >>"$log" ;;
  esac
done
printf '\e[2J\e[Hchosen\n'; exec cat
"#;

const TRUST: [&str; 3] = ["Quick safety check: all yours?", "No, exit", "Yes, I trust this folder"];

impl Rig {
    /// A session in which a menu stands, of a title and entries, the cursor at one of them.
    fn menu(&self, session: &str, setting: &str, at: usize, words: &[&str]) -> PaneSeen {
        let script = self.tmux.path().join("menu.sh");
        fs::write(&script, MENU).unwrap();
        let log = self.keys_file(session);
        let words: String = words.iter().map(|word| format!(" '{word}'")).collect();
        let line =
            format!("{setting} exec bash {} {} {at}{words}", script.display(), log.display());
        self.runs(session, &line)
    }

    fn keys_file(&self, session: &str) -> PathBuf {
        self.tmux.path().join(format!("{session}.keys"))
    }

    /// What the program in this session was told to do, so far.
    fn keys(&self, session: &str) -> Vec<String> {
        let log = fs::read_to_string(self.keys_file(session)).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn handle(&self, session: &str, pane: PaneId, fence: u64) -> Result<DialogEnd, String> {
        let session = name(session);
        let order = OrderId(fence);
        self.terminal.order(Order::HandleDialog { order, session, pane, fence }).unwrap();
        match self.next() {
            Event::DialogHandled { order: answered, result, .. } => {
                assert_eq!(answered, order);
                result
            }
            other => panic!("{other:?}"),
        }
    }
}

fn answered(dialog: &str) -> Result<DialogEnd, String> {
    Ok(DialogEnd::Answered(dialog.to_owned()))
}

#[test]
fn dialogs_that_may_be_answered_are_answered_from_where_the_cursor_stands() {
    let rig = Rig::connected();
    let bypass = "WARNING: Claude Code running in Bypass Permissions mode";
    let renderer = "Try the new fullscreen renderer?";
    let notes = "Security notes: Press Enter to continue";
    for (session, at, words, dialog, keys) in [
        ("trust", 0, &TRUST[..], "folder trust", &["down", "enter Yes, I trust this folder"][..]),
        ("trusted", 1, &TRUST, "folder trust", &["enter Yes, I trust this folder"]),
        (
            "older",
            1,
            &["Do you trust the files in this folder?", "1. Yes, proceed", "2. No, exit"],
            "folder trust",
            &["up", "enter 1. Yes, proceed"],
        ),
        (
            "bypass",
            0,
            &[bypass, "1. No, exit", "2. Yes, I accept"],
            "bypass warning",
            &["down", "enter 2. Yes, I accept"],
        ),
        (
            "renderer",
            0,
            &[renderer, "1. Yes, try it", "2. Not now"],
            "a question of the client",
            &["down", "enter 2. Not now"],
        ),
        (
            "effort",
            1,
            &["We recommend medium effort for Opus", "1. Use medium effort", "2. Use high effort"],
            "a question of the client",
            &["enter 2. Use high effort"],
        ),
    ] {
        let pane = rig.menu(session, "", at, words).pane;
        rig.shows(pane, "Esc to cancel");
        assert_eq!(rig.handle(session, pane, 4), answered(dialog), "{session}");
        rig.shows(pane, "chosen");
        assert_eq!(rig.keys(session), keys, "{session}");
        assert_eq!(rig.handle(session, pane, 5), Ok(DialogEnd::Gone), "{session}");
        assert_eq!(rig.pane(session).fence, Some(4), "{session}: what was not done costs nothing");
    }
    let pane = rig.menu("notes", "", 0, &[&notes.replace(": ", ":\n\n ")]).pane;
    rig.shows(pane, "Press Enter");
    assert_eq!(rig.handle("notes", pane, 1), answered("first start"));
    rig.shows(pane, "chosen");
}

/// As the scripted agent paints them, in colours, one after the other.
#[test]
fn an_agent_is_brought_through_its_dialogs_to_its_task() {
    let rig = Rig::connected();
    let dir = rig.tmux.path();
    let (task, log) = (dir.join("t1.md"), dir.join("agents.log"));
    fs::write(&task, "dialog trust bypass upsell\n").unwrap();
    let done = dir.join("agent-done-work");
    let failed = dir.join("agent-failed-work");
    let prompt = DEFAULT
        .replace("{id} ({title})", "t1 (one)")
        .replace("{path}", task.to_str().unwrap())
        .replace("{done}", done.to_str().unwrap())
        .replace("{failed}", failed.to_str().unwrap());
    let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/demo/agent");
    let home = dir.join("home-a");
    fs::create_dir(&home).unwrap();
    let line = format!(
        "DEMO_AGENT_LOG={} CLAUDE_CONFIG_DIR={} exec {} '{prompt}'",
        log.display(),
        home.display(),
        agent.display()
    );
    let pane = rig.runs("work", &line).pane;
    for (fence, row) in [(1, "Yes, I trust this folder"), (2, "Yes, I accept"), (3, "Not now")] {
        rig.shows(pane, row);
        let handled = rig.handle("work", pane, fence);
        assert!(matches!(handled, Ok(DialogEnd::Answered(_))), "{row}: {handled:?}");
    }
    eventually("the task is done", SOON, || done.exists().then_some(()));
    let told = fs::read_to_string(&log).unwrap();
    let told: Vec<&str> = told.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    let answered = ["answered:trust:1", "answered:bypass:1", "answered:upsell:1"];
    assert_eq!(told[..3], answered);
    assert_eq!(told[3..], ["received", "done"]);
}

#[test]
fn a_dialog_that_is_not_ours_to_answer_gets_no_key() {
    let rig = Rig::connected();
    for (session, words, dialog) in [
        ("login", &["Select login method:", "1. Claude account", "2. Console"][..], "login"),
        (
            "account",
            &["This session belongs to another account", "Exit Claude Code", "Copy and continue"],
            "session of another account",
        ),
        ("summary", &["Old.", "1. Resume from summary", "2. Resume"], "resume from summary"),
        ("limit", &["?", "1. Stop and wait for limit to reset", "2. Upgrade"], "limit menu"),
        ("third", &[TRUST[0], TRUST[1], TRUST[2], "Later"], "folder trust"),
    ] {
        let pane = rig.menu(session, "", 0, words).pane;
        rig.shows(pane, "Esc to cancel");
        let Ok(DialogEnd::Left { dialog: left, rows }) = rig.handle(session, pane, 1) else {
            panic!("{session}")
        };
        assert_eq!(left, dialog);
        assert_eq!(rows[..2], [words[0].to_owned(), format!("❯ {}", words[1])]);
        // Whatever had been typed would have come before this.
        rig.tmux.run(&["send-keys", "-t", &pane.to_string(), "x"]);
        eventually("the key after it", SOON, || (!rig.keys(session).is_empty()).then_some(()));
        assert_eq!(rig.keys(session), ["key x"], "{session}");
    }
}

#[test]
fn one_order_is_one_answer() {
    let rig = Rig::connected();
    let pane = rig.menu("work", "AGAIN=1", 1, &TRUST).pane;
    rig.shows(pane, "Esc to cancel");
    assert_eq!(rig.handle("work", pane, 3), answered("folder trust"));
    eventually("it was chosen", SOON, || (rig.keys("work").len() == 1).then_some(()));
    // The menu is painted anew after its key: for a moment nothing stands there.
    eventually("it has run, and is asked about again", SOON, || {
        (rig.handle("work", pane, 3) == answered("folder trust")).then_some(())
    });
    let error = rig.handle("work", pane, 2).unwrap_err();
    assert!(error.contains("not done"), "{error}");
    assert_eq!(rig.handle("work", pane, 4), answered("folder trust"));
    eventually("it was chosen again", SOON, || (rig.keys("work").len() > 1).then_some(()));
    assert_eq!(rig.keys("work").len(), 2);
}

#[test]
fn enter_is_not_pressed_where_the_cursor_did_not_go() {
    let rig = Rig::connected();
    let pane = rig.menu("work", "STIFF=1", 0, &TRUST).pane;
    rig.shows(pane, "Esc to cancel");
    assert_eq!(rig.handle("work", pane, 1), answered("folder trust"));
    rig.tmux.run(&["send-keys", "-t", &pane.to_string(), "x"]);
    eventually("the key after it", SOON, || {
        rig.keys("work").contains(&"key x".to_owned()).then_some(())
    });
    assert_eq!(rig.keys("work"), ["down", "key x"]);
}

#[test]
fn an_operator_who_scrolls_gets_none_of_the_keys() {
    let rig = Rig::connected();
    for mode in MODES {
        let pane = rig.menu(mode, "", 0, &TRUST).pane;
        rig.shows(pane, "Esc to cancel");
        rig.tmux.run(&[mode, "-t", &pane.to_string()]);
        assert!(rig.pane(mode).in_mode, "{mode}");
        assert_eq!(rig.handle(mode, pane, 1), answered("folder trust"), "{mode}");
        rig.shows(pane, "chosen");
        assert_eq!(rig.keys(mode), ["down", "enter Yes, I trust this folder"], "{mode}");
        assert!(!rig.pane(mode).in_mode, "{mode}");
    }
}

/// With `synchronize-panes` a key goes to every pane of the window.
#[test]
fn a_dialog_is_left_while_its_keys_would_go_to_a_split_too() {
    let rig = Rig::connected();
    let pane = rig.menu("work", "", 0, &TRUST).pane;
    rig.shows(pane, "Esc to cancel");
    let beside = rig.split_in_step("work");
    let error = rig.handle("work", pane, 1).unwrap_err();
    assert!(error.contains("not done") && error.contains("synchronize-panes"), "{error}");
    assert_eq!(rig.keys("work"), Vec::<String>::new());
    rig.tmux.run(&["set-option", "-w", "-t", "=work:", "synchronize-panes", "off"]);
    assert_eq!(rig.handle("work", pane, 1), answered("folder trust"));
    rig.shows(pane, "chosen");
    assert_eq!(rig.capture(beside).matches("unsent").count(), 1, "nobody has sent it");
}

#[test]
fn only_the_pane_that_was_meant_is_looked_at() {
    let rig = Rig::connected();
    let other = rig.menu("other", "", 1, &TRUST).pane;
    let own = rig.runs("work", "exec cat").pane;
    rig.shows(other, "Esc to cancel");
    let error = rig.handle("work", other, 1).unwrap_err();
    assert!(error.contains("work"), "{error}");
    assert!(rig.handle("nobody", other, 1).is_err());
    assert!(rig.handle("work", PaneId(99), 1).is_err());
    assert_eq!(rig.handle("work", own, 1), Ok(DialogEnd::Gone));
    assert_eq!(rig.keys("other"), Vec::<String>::new());
    assert_eq!(rig.pane("other").fence, None);
}

#[test]
fn a_dialog_whose_program_has_ended_gets_no_key() {
    let rig = Rig::connected();
    rig.tmux.run(&["set-option", "-g", "remain-on-exit", "on"]);
    let [title, no, yes] = TRUST;
    let pane = rig.runs("work", &format!("printf '%s\\n' '{title}' '' ' ❯ {no}' '   {yes}'")).pane;
    // tmux 3.3a does not always paint its row about a dead pane.
    eventually("it has ended", SOON, || rig.pane("work").dead.then_some(()));
    // It looks for the dialog first, which such a pane may still show.
    match rig.handle("work", pane, 1) {
        Ok(end) => assert_eq!(end, DialogEnd::Gone),
        Err(why) => assert!(why.starts_with("not done: pane"), "{why}"),
    }
    assert!(rig.pane("work").dead, "and the server lives");
}
