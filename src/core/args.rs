//! The arguments under which an agent comes back: its own, with the conversation put in and the
//! prompt left out, so that nobody's permission mode or directories change.

use std::path::Path;

use crate::config::{AGENT_SETTINGS, GUARDED_AGENT_SETTINGS};
use crate::ids::ConversationId;

/// Options of the client that choose a conversation or a prompt source, with their value.
const REPLACED_WITH_VALUE: [&str; 4] = ["--resume", "-r", "--session-id", "--prompt"];

/// The same, without a value.
const REPLACED: [&str; 3] = ["--continue", "-c", "--fork-session"];

/// Those that name a conversation by its id; the first one also that of a fork.
const NAMES: [&str; 3] = ["--session-id", "--resume", "-r"];

/// Options known to stand alone: what follows one is not its value.
const FLAGS: [&str; 13] = [
    "--dangerously-skip-permissions",
    "--allow-dangerously-skip-permissions",
    "--verbose",
    "--debug",
    "-d",
    "--ide",
    "--chrome",
    "--no-chrome",
    "--strict-mcp-config",
    "--disable-slash-commands",
    "--bare",
    "--brief",
    "--mcp-debug",
];

/// Options that take every argument up to the next option.
const VARIADIC: [&str; 8] = [
    "--add-dir",
    "--allowedTools",
    "--allowed-tools",
    "--disallowedTools",
    "--disallowed-tools",
    "--tools",
    "--mcp-config",
    "--betas",
];

/// Program and arguments that resume `conversation`. `own` are the agent's arguments as it ran
/// (`None`: unreadable, then those of `command` serve). The program is always `command[0]`.
pub fn resume(
    command: &[String],
    own: Option<&[String]>,
    conversation: &ConversationId,
    settings: &Path,
    nudge: Option<&str>,
) -> Vec<String> {
    let (program, fixed) =
        command.split_first().expect("checked at load: the command has a program");
    let mut argv = vec![program.clone()];
    argv.extend(without_conversation(own.unwrap_or(fixed)));
    bring_up_to_date(&mut argv, settings);
    if !argv.iter().any(|arg| arg == "--settings" || arg.starts_with("--settings=")) {
        argv.push("--settings".to_owned());
        argv.push(settings.display().to_string());
    }
    argv.push("--resume".to_owned());
    argv.push(conversation.to_string());
    argv.extend(nudge.map(str::to_owned));
    argv
}

/// Settings of ours that it was launched with give way to those of now: the guard may have been
/// switched since.
fn bring_up_to_date(argv: &mut [String], settings: &Path) {
    for at in 1..argv.len() {
        let old = Path::new(&argv[at]);
        let is_ours = old.parent() == settings.parent()
            && [AGENT_SETTINGS, GUARDED_AGENT_SETTINGS].iter().any(|name| old.ends_with(name));
        if is_ours && argv[at - 1] == "--settings" {
            argv[at] = settings.display().to_string();
        }
    }
}

/// Program and arguments of a new agent in a conversation of its own, with its first prompt.
pub fn fresh(
    command: &[String],
    model: &str,
    conversation: &ConversationId,
    settings: &Path,
    prompt: &str,
) -> Vec<String> {
    let mut argv: Vec<String> = command.iter().take(1).cloned().collect();
    argv.extend(lasting(command, model));
    argv.push("--settings".to_owned());
    argv.push(settings.display().to_string());
    argv.push("--session-id".to_owned());
    argv.push(conversation.to_string());
    argv.push(prompt.to_owned());
    argv
}

/// The arguments of an agent with this model that stay when it comes back. A model that the command
/// itself names goes before ours.
pub fn lasting(command: &[String], model: &str) -> Vec<String> {
    let mut args = without_conversation(command.get(1..).unwrap_or_default());
    let named = args.iter().any(|arg| arg == "--model" || arg.starts_with("--model="));
    if !named && !model.is_empty() {
        args.push("--model".to_owned());
        args.push(model.to_owned());
    }
    args
}

/// The conversation that an agent was started with, where its arguments name one. A fork has an id
/// of its own, beside the one that it came from.
pub fn named_conversation(own: &[String]) -> Option<ConversationId> {
    let own = own.split(|arg| arg == "--").next().unwrap_or_default();
    let forks = own.iter().any(|arg| arg == "--fork-session");
    let names: &[&str] = if forks { &NAMES[..1] } else { &NAMES };
    let named = own.iter().enumerate().filter_map(|(at, arg)| match arg.split_once('=') {
        Some((name, value)) => names.contains(&name).then_some(value),
        None => own.get(at + 1).filter(|_| names.contains(&arg.as_str())).map(String::as_str),
    });
    named.filter_map(|value| value.parse().ok()).next_back()
}

fn without_conversation(own: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut rest = own.iter().map(String::as_str).peekable();
    while let Some(arg) = rest.next() {
        if arg == "--" {
            break; // only a prompt can follow
        }
        let name = arg.split('=').next().unwrap_or(arg);
        if REPLACED_WITH_VALUE.contains(&name) {
            if !arg.contains('=') {
                rest.next_if(|value| !value.starts_with('-'));
            }
        } else if REPLACED.contains(&arg) {
        } else if VARIADIC.contains(&arg) {
            kept.push(arg);
            while let Some(value) = rest.next_if(|value| !value.starts_with('-')) {
                kept.push(value);
            }
        } else if arg.starts_with('-') {
            kept.push(arg);
            if !FLAGS.contains(&arg) && !arg.contains('=') {
                kept.extend(rest.next_if(|value| !value.starts_with('-')));
            }
        }
        // Anything else is the prompt it was started with: it has been submitted long since.
    }
    kept.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resumed(own: &[&str]) -> String {
        let own: Vec<String> = own.iter().map(|arg| (*arg).to_owned()).collect();
        let command = ["claude".to_owned(), "--dangerously-skip-permissions".to_owned()];
        let id = "82840528-5c4e-4114-8dc2-50dc43ea65c9".parse().expect("a valid id");
        resume(&command, Some(&own), &id, Path::new("/run/s.json"), Some("go on")).join("|")
    }

    #[test]
    fn own_arguments_stay_and_conversation_and_prompt_go() {
        let end = "--settings|/run/s.json|--resume|82840528-5c4e-4114-8dc2-50dc43ea65c9|go on";
        let cases: [(&[&str], &str); 9] = [
            (&[], ""),
            (&["do the thing"], ""),
            (&["--resume", "11111111-1111-1111-1111-111111111111"], ""),
            (&["-c"], ""),
            (&["--session-id=11111111-1111-1111-1111-111111111111", "prompt"], ""),
            (&["--dangerously-skip-permissions", "prompt"], "--dangerously-skip-permissions|"),
            (&["--model", "opus", "prompt"], "--model|opus|"),
            (&["--add-dir", "/a", "/b", "--verbose", "p"], "--add-dir|/a|/b|--verbose|"),
            (&["--permission-mode", "plan", "--", "--resume"], "--permission-mode|plan|"),
        ];
        for (own, kept) in cases {
            assert_eq!(resumed(own), format!("claude|{kept}{end}"), "{own:?}");
        }
    }

    #[test]
    fn the_conversation_is_read_where_the_arguments_name_one() {
        let id = "11111111-1111-1111-1111-111111111111";
        let fork = "22222222-2222-2222-2222-222222222222";
        let joined = format!("--session-id={id}");
        let cases: [(&[&str], Option<&str>); 12] = [
            (&["--resume", id, "go on"], Some(id)),
            (&[&joined], Some(id)),
            (&["-r", id], Some(id)),
            (&["--resume", "--session-id", id], Some(id)),
            (&["--resume", id, "--resume", fork], Some(fork)),
            (&["--resume", id, "--fork-session"], None),
            (&["--resume", id, "--fork-session", "--session-id", fork], Some(fork)),
            (&["--resume"], None),
            (&["--resume", "by its title"], None),
            (&["--", "--resume", id], None),
            (&["-p", id], None),
            (&[], None),
        ];
        for (own, expected) in cases {
            let own: Vec<String> = own.iter().map(|arg| (*arg).to_owned()).collect();
            let named = named_conversation(&own).map(|named| named.to_string());
            assert_eq!(named.as_deref(), expected, "{own:?}");
        }
    }

    #[test]
    fn settings_of_ours_are_brought_up_to_date_and_others_stay() {
        let command = ["claude".to_owned()];
        let id = "82840528-5c4e-4114-8dc2-50dc43ea65c9".parse().expect("a valid id");
        let now = Path::new("/run/agent-settings-guarded.json");
        for (own, expected) in [
            ("/run/agent-settings.json", "/run/agent-settings-guarded.json"),
            ("/run/agent-settings-guarded.json", "/run/agent-settings-guarded.json"),
            ("/home/u/agent-settings.json", "/home/u/agent-settings.json"),
            ("/run/mine.json", "/run/mine.json"),
        ] {
            let own = ["--settings".to_owned(), own.to_owned()];
            let argv = resume(&command, Some(&own), &id, now, None);
            assert_eq!(argv[1..3], ["--settings", expected]);
        }
    }

    #[test]
    fn an_agent_of_ours_comes_back_with_the_same_arguments_again() {
        let once = ["--settings", "/run/s.json", "--resume", "x", "go on"];
        assert_eq!(
            resumed(&once),
            "claude|--settings|/run/s.json|--resume|82840528-5c4e-4114-8dc2-50dc43ea65c9|go on"
        );
    }
}
