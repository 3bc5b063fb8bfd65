//! Two lists of commands: all of one are refused, none of the other.

use std::collections::BTreeSet;

use claude_failover::guard::rules::Rules;
use claude_failover::guard::{UNREADABLE, judge};

use super::{Disk, place};

const REFUSED: &str = include_str!("refused.txt");
const HARMLESS: &str = include_str!("harmless.txt");
/// Of each list, at least; the issue asks for so many harmless ones.
const COMMANDS_MIN: usize = 200;

struct Entry {
    section: String,
    command: String,
}

fn entries(text: &str) -> Vec<Entry> {
    let (mut entries, mut section) = (Vec::new(), String::new());
    let mut block: Option<Vec<&str>> = None;
    let mut push = |section: &str, command: String| {
        entries.push(Entry { section: section.to_owned(), command });
    };
    for line in text.lines() {
        match (line, &mut block) {
            (">>>", Some(lines)) => {
                push(&section, lines.join("\n"));
                block = None;
            }
            (line, Some(lines)) => lines.push(line),
            ("<<<", None) => block = Some(Vec::new()),
            (line, None) if line.starts_with("## ") => line[3..].clone_into(&mut section),
            // What stands above the first section is for people.
            (_, None) if section.is_empty() => {}
            ("", None) => {}
            (line, None) => push(&section, line.to_owned()),
        }
    }
    assert!(block.is_none());
    entries
}

#[test]
fn every_destructive_command_is_refused_by_its_rule() {
    let rules = Rules::load(None).unwrap();
    let entries = entries(REFUSED);
    let mut wrong = Vec::new();
    for Entry { section, command } in &entries {
        let (rule, branch) = match section.split_once(" on ") {
            Some((rule, _)) => (rule, "main"),
            None => (section.as_str(), "feature/x"),
        };
        match judge(command, &rules, &place(), &Disk { branch }) {
            Err(refusal) if refusal.rule == rule => {}
            Err(refusal) => wrong.push(format!("{rule}: {command}\n    {refusal}")),
            Ok(()) => wrong.push(format!("{rule}: {command}\n    let pass")),
        }
    }
    println!("{} of {} refused by their rule", entries.len() - wrong.len(), entries.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(entries.len() >= COMMANDS_MIN);
}

#[test]
fn no_harmless_command_is_refused() {
    let rules = Rules::load(None).unwrap();
    let entries = entries(HARMLESS);
    let refused: Vec<String> = entries
        .iter()
        .filter_map(|Entry { command, .. }| {
            let refusal = judge(command, &rules, &place(), &Disk { branch: "feature/x" }).err()?;
            Some(format!("{command}\n    {refusal}"))
        })
        .collect();
    println!("{} of {} harmless commands refused", refused.len(), entries.len());
    assert!(refused.is_empty(), "{} refused:\n{}", refused.len(), refused.join("\n"));
    assert!(entries.len() >= COMMANDS_MIN);
}

/// A rule without an example could be dead.
#[test]
fn every_rule_has_its_commands() {
    let rules = Rules::load(None).unwrap();
    let listed: BTreeSet<String> = entries(REFUSED)
        .iter()
        .map(|entry| entry.section.split(" on ").next().unwrap().to_owned())
        .filter(|section| section != UNREADABLE)
        .collect();
    let known: BTreeSet<String> = rules.rules.iter().map(|rule| rule.name.clone()).collect();
    assert_eq!(listed, known);
}
