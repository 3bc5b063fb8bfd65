//! Whole conversation files of the actual client, cut down: what each end means, and each prefix.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use claude_failover::moment::Wall;
use claude_failover::quota::transcript::{Ending, Entry, entry, read};
use claude_failover::quota::verdict::{Context, Reading};

/// Long after every file was written.
const CONTEXT: Context<'_> = Context { now: Wall(1_900_000_000_000), zone: None, patterns: &[] };

/// Version and scenario, and what the end of that file means.
const FILES: &str = "
    2.1.250-armed                    exhausted five_hour 2026-11-22T21:47:00Z by record_text
    2.1.250-armed_fires              clear
    2.1.250-err400_credit            auth_failed by record_text
    2.1.250-err401_oauth             auth_failed by authentication_failed
    2.1.250-err403_org               auth_failed by oauth_org_not_allowed
    2.1.250-err500_final             server_error by server_error
    2.1.250-quota5h                  exhausted five_hour 2026-11-22T21:41:00Z by record_text
    2.1.250-quota5h_first            exhausted five_hour 2026-11-22T21:52:00Z by record_text
    2.1.250-quota5h_then_ok          clear
    2.1.250-quota5h_tool             exhausted five_hour 2026-11-22T21:47:00Z by record_text
    2.1.250-quota7d                  exhausted weekly 2026-11-25T02:15:00Z by record_text
    2.1.250-quota_credits            exhausted five_hour 2026-11-22T21:45:00Z by record_text
    2.1.250-quota_noclaim            exhausted unnamed 2026-11-22T21:45:00Z by record_text
    2.1.250-quota_oi                 model_limit by record_text
    2.1.250-quota_opus               model_limit by record_text
    2.1.250-quota_spend              spend_limit 2026-11-22T21:42:00Z by record_text
    2.1.250-resume                   clear
    2.1.250-say                      clear
    2.1.250-subagent_quota5h         clear
    2.1.250-subagent_quota5h_own     clear
    2.1.330-armed                    exhausted five_hour 2026-11-22T21:46:03Z by usage_limit_reached
    2.1.330-armed_fires              clear
    2.1.330-background               clear
    2.1.330-err400_credit            auth_failed by record_text
    2.1.330-err401_final             auth_failed by authentication_failed
    2.1.330-err401_oauth             auth_failed by authentication_failed
    2.1.330-err403_org               auth_failed by oauth_org_not_allowed
    2.1.330-err429_final             throttled by record_text
    2.1.330-err500_final             server_error by server_error
    2.1.330-err529_final             server_error by server_error
    2.1.330-quota5h                  exhausted five_hour 2026-11-22T21:41:42Z by usage_limit_reached
    2.1.330-quota5h_first            exhausted five_hour 2026-11-22T21:52:45Z by usage_limit_reached
    2.1.330-quota5h_then_ok          clear
    2.1.330-quota5h_tool             exhausted five_hour 2026-11-22T21:46:37Z by usage_limit_reached
    2.1.330-quota7d                  exhausted weekly 2026-11-25T02:15:16Z by usage_limit_reached
    2.1.330-quota_credits            exhausted five_hour 2026-11-22T21:44:40Z by usage_limit_reached
    2.1.330-quota_noclaim            exhausted unnamed 2026-11-22T21:44:41Z by usage_limit_reached
    2.1.330-quota_nohdr_reason       exhausted five_hour 2026-11-22T21:44:48Z by usage_limit_reached
    2.1.330-quota_oi                 model_limit by usage_limit_reached
    2.1.330-quota_opus               model_limit by usage_limit_reached
    2.1.330-quota_sonnet             model_limit by usage_limit_reached
    2.1.330-quota_spend              spend_limit 2026-11-22T21:42:14Z by usage_limit_reached
    2.1.330-quota_spend_far          spend_limit 2026-11-25T02:19:58Z by usage_limit_reached
    2.1.330-resume                   clear
    2.1.330-say                      clear
    2.1.330-subagent_quota5h         clear
    2.1.330-subagent_quota5h_own     clear
    2.1.330-talk                     clear
";

fn files() -> BTreeMap<String, String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/corpus/transcripts");
    let mut files = BTreeMap::new();
    for found in fs::read_dir(dir).unwrap() {
        let path = found.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    files
}

fn summary(reading: &Reading) -> String {
    let verdict = serde_json::to_value(&reading.verdict).unwrap();
    let mut words = vec![verdict["kind"].as_str().unwrap().to_owned()];
    words.extend(verdict["limit"].as_str().map(str::to_owned));
    words.extend(reading.verdict.resets_at().map(|at| at.to_string()));
    if reading.rule != "none" {
        words.push(format!("by {}", reading.rule));
    }
    words.join(" ")
}

fn expected() -> BTreeMap<&'static str, &'static str> {
    let rows = FILES.lines().map(str::trim).filter(|row| !row.is_empty());
    let split = |row: &'static str| row.split_once(' ').expect("a name and a verdict");
    rows.map(split).map(|(name, verdict)| (name, verdict.trim())).collect()
}

#[test]
fn every_file_is_read_as_what_happened() {
    let files = files();
    let seen: Vec<String> = files
        .iter()
        .map(|(name, text)| format!("{name:32} {}", summary(&read(text.as_bytes(), &CONTEXT))))
        .collect();
    let wanted: Vec<String> =
        expected().iter().map(|(name, verdict)| format!("{name:32} {verdict}")).collect();
    assert_eq!(seen, wanted, "\n{}", seen.join("\n"));
}

#[test]
fn every_prefix_of_a_file_is_read_as_its_lines_one_by_one() {
    for (name, text) in files() {
        let mut ending = Ending::default();
        let mut end = 0;
        for line in text.split_inclusive('\n') {
            end += line.len();
            if let Some(entry) = entry(line.as_bytes(), &CONTEXT) {
                ending.take(entry);
            }
            let error = ending.error.clone().map_or(Reading::clear(), |error| error.reading);
            assert_eq!(read(&text.as_bytes()[..end], &CONTEXT), error, "{name} up to {end}");
        }
        let own = name.ends_with("_own");
        assert_eq!(ending.prompted_at.is_none(), own, "{name}: a subagent's prompt is nobody's");
    }
}

#[test]
fn what_a_person_or_the_clients_own_wait_prompts_is_a_prompt_and_nothing_else_is() {
    for (name, text) in files() {
        for line in text.lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            // Only the newer clients say who typed it, and nothing relies on that.
            let origin = &value["origin"]["kind"];
            let begins = *origin == "human" || *origin == "auto-continuation";
            let typed = begins && value["isSidechain"] == false;
            let entry = entry(line.as_bytes(), &CONTEXT);
            let is_prompt = matches!(entry, Some(Entry::Prompt { .. }));
            assert_eq!(is_prompt, typed, "{name}: {line}");
        }
    }
}

/// Its record is meta as those that begin no turn are; what was refused before it is history.
#[test]
fn a_client_that_goes_on_by_itself_sits_refused_no_more() {
    let files = files();
    for (name, refused_at, went_on_at) in [
        ("2.1.250-armed_fires", 1_795_373_684_751, 1_795_373_775_159),
        ("2.1.330-armed_fires", 1_795_373_674_446, 1_795_373_794_881),
    ] {
        let mut ending = Ending::default();
        let entries = files[name].lines().filter_map(|line| entry(line.as_bytes(), &CONTEXT));
        for entry in entries {
            let is_next_answer = matches!(entry, Entry::Answer { .. }) && ending.error.is_some();
            if is_next_answer {
                break;
            }
            ending.take(entry);
        }
        assert_eq!(ending.error.map(|error| error.at), Some(Wall(refused_at)), "{name}");
        assert_eq!(ending.prompted_at, Some(Wall(went_on_at)), "{name}");
    }
    let armed = &files["2.1.330-armed"];
    let mut ending = Ending::default();
    for entry in armed.lines().filter_map(|line| entry(line.as_bytes(), &CONTEXT)) {
        ending.take(entry);
    }
    assert!(ending.prompted_at < ending.error.map(|error| error.at), "it still waits");
}

#[test]
fn no_turn_of_a_talk_about_limits_is_one() {
    let files = files();
    let talk = &files["2.1.330-talk"];
    assert!(talk.matches("hit your").count() > 30, "it does talk about them");
    let mut turns = 0;
    for line in talk.lines() {
        match entry(line.as_bytes(), &CONTEXT) {
            Some(Entry::Error(error)) => panic!("{error:?}"),
            Some(Entry::Prompt { .. }) => turns += 1,
            Some(Entry::Answer { .. }) | None => {}
        }
    }
    assert_eq!(turns, 18);
}
