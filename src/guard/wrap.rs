//! Commands that only run another one: `sudo`, `env`, `timeout` and their like.

use crate::guard::text::is_unknown;

/// (name, options that take the next argument, operands before the command).
const WRAPPERS: [(&str, &[&str], usize); 46] = [
    (
        "sudo",
        &["-u", "-g", "-h", "-p", "-C", "-r", "-t", "-T", "-U", "-D", "-R", "--user", "--group"],
        0,
    ),
    ("doas", &["-u", "-C"], 0),
    ("pkexec", &["--user"], 0),
    ("run0", &["-u", "--user", "-g", "--group"], 0),
    ("gosu", &[], 1),
    ("su-exec", &[], 1),
    ("unbuffer", &[], 0),
    ("chronic", &[], 0),
    ("eatmydata", &[], 0),
    ("rlwrap", &[], 0),
    ("env", &["-u", "-C", "--unset", "--chdir"], 0),
    ("nice", &["-n", "--adjustment"], 0),
    ("ionice", &["-c", "-n", "-p", "--class", "--classdata"], 0),
    ("nohup", &[], 0),
    ("setsid", &[], 0),
    ("stdbuf", &["-i", "-o", "-e"], 0),
    ("timeout", &["-k", "-s", "--kill-after", "--signal"], 1),
    ("time", &["-o", "-f", "--output", "--format"], 0),
    ("command", &[], 0),
    ("exec", &["-a"], 0),
    ("builtin", &[], 0),
    ("busybox", &[], 0),
    ("toybox", &[], 0),
    ("chroot", &["--userspec", "--groups"], 1),
    ("unshare", &["-S", "-G", "-R", "-w"], 0),
    ("nsenter", &["-t", "-S", "-G"], 0),
    ("flock", &["-w", "-E", "--timeout"], 1),
    ("strace", &["-o", "-e", "-p", "-s", "-u", "-E"], 0),
    ("ltrace", &["-o", "-e", "-p", "-s", "-u"], 0),
    ("chrt", &["-T", "-P", "-D"], 1),
    ("taskset", &[], 1),
    ("numactl", &["-N", "-m", "-C"], 0),
    ("systemd-run", &["-p", "-u", "-t", "--unit", "--property", "-E", "--setenv", "--slice"], 0),
    ("systemd-inhibit", &[], 0),
    ("dbus-run-session", &[], 0),
    ("xvfb-run", &["-n", "-s", "-e", "-f", "-w"], 0),
    ("firejail", &[], 0),
    ("fakeroot", &[], 0),
    ("proxychains", &["-f"], 0),
    ("proxychains4", &["-f"], 0),
    ("torsocks", &[], 0),
    ("caffeinate", &["-t", "-w"], 0),
    ("direnv", &[], 0),
    ("prlimit", &[], 0),
    ("setpriv", &["--reuid", "--regid"], 0),
    ("npx", &["-p", "-c", "--package"], 0),
];

/// The command that `name` would run with `args`; `None` when it is no wrapper.
pub fn unwrapped(name: &str, args: &[String]) -> Option<Vec<String>> {
    let (_, with_value, operands) = WRAPPERS.iter().find(|(known, ..)| *known == name)?;
    // `command -v name` only looks it up.
    if name == "command" && args.first().is_some_and(|arg| arg == "-v" || arg == "-V") {
        return None;
    }
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        if arg == "--" {
            at += 1;
            break;
        }
        if name == "env"
            && let Some(text) = split_string(arg, args.get(at + 1))
        {
            let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            let glued = arg != "-S" && arg != "--split-string";
            words.extend_from_slice(&args[(at + if glued { 1 } else { 2 }).min(args.len())..]);
            return Some(words);
        }
        let is_option = arg.starts_with('-') && arg.len() > 1;
        let is_variable = matches!(name, "env" | "sudo" | "doas") && is_assignment(arg);
        if !is_option && !is_variable {
            break;
        }
        at += if with_value.contains(&arg.as_str()) { 2 } else { 1 };
    }
    at += operands;
    let mut rest: Vec<String> = args.get(at..).unwrap_or_default().to_vec();
    // A duration that nobody knows may be two words.
    while rest.len() > 1 && *operands > 0 && is_unknown(&rest[0]) {
        rest.remove(0);
    }
    // `sudo -s` and `sudo -i` are a shell.
    let is_shell = |arg: &String| matches!(arg.as_str(), "-s" | "-i" | "--shell" | "--login");
    if rest.is_empty() && name == "sudo" && args.iter().any(is_shell) {
        rest.push("sh".to_owned());
    }
    if name == "direnv" && rest.first().is_some_and(|verb| verb == "exec") {
        rest.drain(..2.min(rest.len()));
    }
    Some(rest)
}

/// The text of `env -S 'text'`.
fn split_string<'a>(arg: &'a str, next: Option<&'a String>) -> Option<&'a str> {
    match arg {
        "-S" | "--split-string" => next.map(String::as_str),
        arg => arg.strip_prefix("-S").or_else(|| arg.strip_prefix("--split-string=")),
    }
}

fn is_assignment(arg: &str) -> bool {
    arg.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}
