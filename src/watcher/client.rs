//! What a process's arguments tell: whether it is a Claude Code client, and how it was called.
//!
//! Pure. A client that writes a session file needs no guess; this is for those that do not.

/// Programs whose first argument that is no option is the program the user meant.
const INTERPRETERS: [&str; 10] =
    ["node", "nodejs", "bun", "deno", "python", "python3", "bash", "sh", "dash", "zsh"];
/// The package's directory in every `node_modules`; a mere `/claude-code/` may be any project.
const PACKAGE_DIR: &str = "/@anthropic-ai/claude-code/";
const CLIENT: &str = "claude";

/// A command line taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Invocation<'a> {
    /// The program, or the script that an interpreter runs.
    program: &'a str,
    /// What follows it.
    rest: &'a [String],
}

/// The name under which the configured `agent.command` runs, beside `claude`.
pub fn configured_name(command: &[String]) -> Option<&str> {
    let name = base_name(invocation(command)?.program);
    // A bare interpreter or `env` would make a client of every shell.
    (!INTERPRETERS.contains(&name) && name != "env").then_some(name)
}

/// Whether a process with these arguments is a client; `configured` as [`configured_name`] gives it.
pub fn is_client(args: &[String], configured: Option<&str>) -> bool {
    invocation(args).is_some_and(|Invocation { program, .. }| {
        let name = base_name(program);
        name == CLIENT || Some(name) == configured || program.contains(PACKAGE_DIR)
    })
}

/// What the user passed to the client; `None` when the client has painted it over.
///
/// Clients that run under node set their title, which replaces the arguments by one word and zeros.
pub fn passed(args: &[String]) -> Option<Vec<String>> {
    let rest = invocation(args)?.rest;
    let painted = !rest.is_empty() && rest.iter().all(String::is_empty);
    (!painted).then(|| rest.to_vec())
}

fn invocation(args: &[String]) -> Option<Invocation<'_>> {
    let (program, rest) = args.split_first()?;
    if INTERPRETERS.contains(&base_name(program)) {
        // `#!/usr/bin/env -S node --no-warnings` of older clients puts options before the script.
        let options = rest.iter().take_while(|arg| arg.starts_with("--")).count();
        if let Some((script, rest)) = rest[options..].split_first()
            && !script.is_empty()
            && !script.starts_with('-')
        {
            return Some(Invocation { program: script, rest });
        }
    }
    Some(Invocation { program, rest })
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn clients_are_told_from_other_programs() {
        let cli = "/usr/lib/node_modules/@anthropic-ai/claude-code/cli.js";
        for (line, expected) in [
            ("claude", true),
            ("/home/u/.local/bin/claude --resume x", true),
            ("/bin/bash /usr/local/bin/claude -c", true),
            (&format!("node {cli}"), true),
            (&format!("node --no-warnings --enable-source-maps {cli}"), true),
            ("/x/node_modules/@anthropic-ai/claude-code/bin/claude.exe", true),
            ("my-agent --flag", true),
            ("/opt/my-agent", true),
            ("bash", false),
            ("-bash", false),
            ("bash -c claude", false),
            ("vim claude", false),
            ("vim /srv/claude-code/main.rs", false),
            ("node /srv/claude-code/server.js", false),
            ("/usr/bin/claude-failover launch --spec claude", false),
            ("claude-monitor", false),
            ("tmux new -s claude", false),
        ] {
            assert_eq!(is_client(&words(line), Some("my-agent")), expected, "{line}");
        }
        assert!(!is_client(&[], None));
    }

    #[test]
    fn the_configured_command_adds_a_name_but_never_a_shell() {
        for (command, expected) in [
            ("/rig/bin/run-claude --flag", Some("run-claude")),
            ("bash /rig/agent.sh", Some("agent.sh")),
            ("bash", None),
            ("bash -c claude", None),
            ("env A=b claude", None),
        ] {
            assert_eq!(configured_name(&words(command)), expected, "{command}");
        }
        assert_eq!(configured_name(&[]), None);
    }

    #[test]
    fn what_the_user_passed_follows_the_program_or_its_script() {
        for (line, expected) in [
            ("claude", Some("")),
            ("claude --resume x -p", Some("--resume x -p")),
            ("bash /bin/claude --add-dir /a", Some("--add-dir /a")),
            ("node --no-warnings /x/cli.js -c", Some("-c")),
            ("bash -c claude", Some("-c claude")),
            ("claude   ", None),
            ("claude  x", Some(" x")),
        ] {
            let passed = passed(&words(line)).map(|rest| rest.join(" "));
            assert_eq!(passed.as_deref(), expected, "{line:?}");
        }
        assert_eq!(passed(&[]), None);
    }
}
