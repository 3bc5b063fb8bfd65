//! The man page: every verb with its options and examples, and the exit codes, on one page.

use clap::{Arg, ArgAction, Command};
use roff::{Inline, Roff, bold, italic, roman};

use crate::cli::exit;

const NAME: &str = "claude-failover";

const FILES: [(&str, &str); 5] = [
    ("/etc/claude-failover/config.yaml", "the configuration; --config names another"),
    ("/var/lib/claude-failover/", "state_dir: the journal, its archives, the lock"),
    ("/run/claude-failover/control.sock", "runtime_dir: where verbs reach the daemon"),
    ("~/.claude", "the link that names the account in use"),
    ("<project>/.agent-queue/inbox/", "tasks that wait"),
];

const ENVIRONMENT: [(&str, &str); 2] = [
    ("NO_COLOR", "set to anything: no colour; without it there is colour on a terminal alone"),
    ("RUST_LOG", "what run logs, as env_logger reads it; --log-level goes before it"),
];

pub fn page(mut command: Command) -> String {
    command.build();
    let mut page = Roff::new();
    page.control("TH", [NAME, "1", "", concat!("claude-failover ", env!("CARGO_PKG_VERSION")), ""]);
    page.control("SH", ["NAME"]);
    page.text([roman(format!("{NAME} - {}", about(&command)))]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([bold(NAME), roman(" "), italic("VERB"), roman(" [options]")]);
    page.control("SH", ["VERBS"]);
    for verb in command.get_subcommands() {
        of_verb(&mut page, NAME, verb);
    }
    page.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in exit::TABLE {
        entry(&mut page, [bold(code.to_string())], meaning);
    }
    page.control("SH", ["FILES"]);
    for (path, meaning) in FILES {
        entry(&mut page, [italic(path)], meaning);
    }
    page.control("SH", ["ENVIRONMENT"]);
    for (name, meaning) in ENVIRONMENT {
        entry(&mut page, [bold(name)], meaning);
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([roman("tmux(1), journalctl(1), systemctl(1), claude(1)")]);
    ascii(&page.render())
}

/// A formatter that is not told of UTF-8 takes its bytes for characters.
fn ascii(page: &str) -> String {
    let mut ascii = String::with_capacity(page.len());
    for c in page.chars() {
        match c.is_ascii() {
            true => ascii.push(c),
            false => ascii.push_str(&format!("\\[u{:04X}]", u32::from(c))),
        }
    }
    ascii
}

fn of_verb(page: &mut Roff, before: &str, verb: &Command) {
    if verb.is_hide_set() || verb.get_name() == "help" {
        return;
    }
    let name = format!("{before} {}", verb.get_name());
    let places: Vec<String> = verb.get_positionals().map(place).collect();
    let head = [std::slice::from_ref(&name), places.as_slice()].concat().join(" ");
    page.control("SS", [head.as_str()]);
    page.text([roman(about(verb))]);
    // Those of every verb (--config …) stand once, with the verb that has them.
    let is_told =
        |arg: &&Arg| !arg.is_hide_set() && arg.get_id() != "help" && arg.get_id() != "version";
    for arg in verb.get_arguments().filter(is_told) {
        entry(page, written(arg), &help(arg));
    }
    if let Some(more) = verb.get_after_help() {
        page.control("PP", []);
        page.control("nf", []);
        for line in more.to_string().lines() {
            page.text([roman(line)]);
        }
        page.control("fi", []);
    }
    for inner in verb.get_subcommands() {
        of_verb(page, &name, inner);
    }
}

fn entry(page: &mut Roff, head: impl Into<Vec<Inline>>, text: &str) {
    page.control("TP", []);
    page.text(head);
    page.text([roman(text)]);
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// `<NAME>`, or `[NAME]` when it may be left out.
fn place(arg: &Arg) -> String {
    let name = value(arg).unwrap_or_else(|| arg.get_id().to_string().to_uppercase());
    if arg.is_required_set() { format!("<{name}>") } else { format!("[{name}]") }
}

fn value(arg: &Arg) -> Option<String> {
    let names = arg.get_value_names()?;
    Some(names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
}

/// `-n, --lines N`
fn written(arg: &Arg) -> Vec<Inline> {
    if arg.is_positional() {
        return vec![italic(place(arg))];
    }
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    let mut written = vec![bold(names.join(", "))];
    let takes = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    if let Some(value) = value(arg).filter(|_| takes) {
        written.extend([roman(" "), italic(value)]);
    }
    written
}

fn help(arg: &Arg) -> String {
    let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let defaults: Vec<_> =
        arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let takes = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    if takes && !defaults.is_empty() && !arg.is_hide_default_value_set() {
        help = format!("{help} [default: {}]", defaults.join(" "));
    }
    help
}
