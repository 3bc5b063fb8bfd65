//! A conversation about limit texts: the agent searches, prints, edits and discusses them, and no
//! reader takes any of that for a limit.

use std::path::Path;

use crate::agent::{Agent, PATIENCE};
use crate::rig::Rig;
use crate::support::{PrivateTmux, eventually};

const BANNERS: &str = "\
You've hit your 5-hour limit · resets 4:24pm (UTC)
  ⎿  You've hit your weekly limit · resets Nov 25, 1:24pm (UTC)
     /upgrade or /usage-credits to finish what you’re working on.
⚠ Usage limit reached · limit resets 4:24pm
  Continuing automatically at 4:24pm · Esc to cancel
● Usage limit reached · set to continue automatically at 4:24pm
5-hour limit reached ∙ resets 3am
Claude usage limit reached. Your limit will reset at 1pm (Etc/GMT+5).
API Error: Server is temporarily limiting requests (not your usage limit)
Login expired · Please run /login
";

/// A prompt, and what the API answers to it.
type Turn = (&'static str, &'static [&'static str]);

const BASH: &[Turn] = &[
    ("where do we match them?", &["tool", r#"command=grep -n "hit your" banners.txt"#]),
    ("show the list, with numbers", &["tool", "command=cat banners.txt; echo end"]),
    (
        "print one",
        &["tool", r#"command=printf "You've hit your 5-hour limit · resets 4:24pm (UTC)\n""#],
    ),
    (
        "print it as the client does",
        &[
            "tool",
            r#"command=printf '❯\302\240\n  ⎿  You\047ve hit your weekly limit · resets 3pm (UTC)\n❯ go on\n'"#,
        ],
    ),
    (
        "print it and fail",
        &["tool", r#"command=echo "You've hit your limit · resets 7pm (UTC)" >&2; exit 1"#],
    ),
    (
        "show what a change would be",
        &["tool", "command=sed s/5-hour/session/ banners.txt | diff -u banners.txt -; true"],
    ),
];

const TALK: &[Turn] = &[
    (
        "what does the row say?",
        &["ok", "text=It says this:\n\nYou've hit your 5-hour limit · resets 4:24pm (UTC)"],
    ),
    (
        "which texts are there?",
        &[
            "ok",
            "text=These:\n- You've hit your weekly limit · resets 3pm (UTC)\n\n\
             > You've hit your session limit · resets 3pm (UTC)\n\n\
             ```\n  ⎿  You've hit your session limit · resets 3pm (UTC)\n```\n\n\
             Usage limit reached · limit resets 4:24pm is the notice.",
        ],
    ),
    ("You've hit your weekly limit · resets 3pm (UTC)", &["ok", "text=Who told you that?"]),
    (
        "search once more",
        &["tool", "command=grep -c limit banners.txt", "text=Usage limit reached: 4"],
    ),
];

fn edit(work: &Path) -> [String; 3] {
    let input = serde_json::json!({
        "file_path": work.join("banners.txt"),
        "old_string": "You've hit your 5-hour limit · resets 4:24pm (UTC)",
        "new_string": "You've hit your session limit · resets 5pm (UTC)\n\
                       You've hit your weekly limit · resets 5pm (UTC)",
    });
    ["tool".to_owned(), "tool=Edit".to_owned(), format!("input={input}")]
}

fn read(work: &Path) -> [String; 3] {
    let input = serde_json::json!({"file_path": work.join("banners.txt")});
    ["tool".to_owned(), "tool=Read".to_owned(), format!("input={input}")]
}

#[test]
fn an_agent_may_print_edit_and_discuss_limit_texts() {
    let rig = Rig::up();
    let tmux = PrivateTmux::new();
    let agent = Agent::start(&rig, &tmux, "conversation");
    let banners = agent.work.join("banners.txt");
    std::fs::write(&banners, BANNERS).unwrap();

    let mut turns = 0;
    let mut turn = |prompt: &str, api: &[&str]| {
        rig.answer(&agent.account, api);
        agent.prompt(prompt);
        turns += 1;
        agent.wait_for_turns(turns);
        eventually("an idle client", PATIENCE, || agent.is("idle").then_some(()));
        let screen = agent.screen();
        for reading in [agent.read_pane(), agent.read_transcript(), agent.read_reports()] {
            assert!(!reading.verdict.is_exhaustion(), "after {prompt:?}: {reading:?}\n{screen}");
        }
    };
    for (prompt, api) in BASH {
        turn(prompt, api);
    }
    turn("read the list", &read(&agent.work).each_ref().map(String::as_str));
    turn("change the wording", &edit(&agent.work).each_ref().map(String::as_str));
    for (prompt, api) in TALK {
        turn(prompt, api);
    }
    let edited = std::fs::read_to_string(&banners).unwrap();
    assert!(edited.starts_with("You've hit your session limit"), "the edit was made:\n{edited}");
    let screen = agent.screen();
    assert!(screen.contains("hit your"), "the texts were on the screen:\n{screen}");

    // The same readers, on the same screen, once it is one.
    rig.answer(&agent.account, &["quota5h", "reset_in=7200"]);
    agent.prompt("and now in earnest");
    agent.wait_for_turns(turns + 1);
    eventually("the menu", PATIENCE, || agent.is("waiting").then_some(()));
    for reading in [agent.read_pane(), agent.read_transcript(), agent.read_reports()] {
        assert!(reading.verdict.is_exhaustion(), "{reading:?}\n{}", agent.screen());
    }
}
