//! Tells the crate which commit it is built from: `--version` and `/status` say it.
//!
//! In this order: `CLAUDE_FAILOVER_COMMIT` ("8f7b909 2026-11-26", for who builds from a bare
//! tree), git, what `cargo package` wrote down, nothing. None of them is needed for a build. Whether the
//! tree had changes beside the commit is not said: cargo would have to ask git at every build.

use std::path::Path;
use std::process::Command;

const OVERRIDE: &str = "CLAUDE_FAILOVER_COMMIT";
/// Digits of the commit that are shown; git's own choice for a repository of this size.
const DIGITS: usize = 7;
/// `cargo package` leaves this in what it packs.
const PACKED: &str = ".cargo_vcs_info.json";

fn main() {
    println!("cargo:rerun-if-changed=etc/build.rs");
    println!("cargo:rerun-if-env-changed={OVERRIDE}");
    let (commit, date) = by_override().or_else(by_git).or_else(by_package).unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    let long = match (commit.as_str(), date.as_str()) {
        ("", _) => version.to_owned(),
        (commit, "") => format!("{version} ({commit})"),
        (commit, date) => format!("{version} ({commit}, {date})"),
    };
    println!("cargo:rustc-env=BUILD_COMMIT={commit}");
    println!("cargo:rustc-env=BUILD_VERSION={long}");
}

type Found = (String, String);

fn by_override() -> Option<Found> {
    let given = std::env::var(OVERRIDE).ok()?;
    let (commit, date) = given.trim().split_once(' ').unwrap_or((given.trim(), ""));
    Some((commit.to_owned(), date.to_owned()))
}

/// Of this repository alone: the sources may lie, as an archive, inside another one.
fn by_git() -> Option<Found> {
    if !Path::new(".git").exists() {
        return None;
    }
    watch_head();
    let said = git(&["show", "--no-patch", "--format=%H %cs", "HEAD"])?;
    let (commit, date) = said.split_once(' ')?;
    Some((commit.get(..DIGITS)?.to_owned(), date.to_owned()))
}

/// The log of HEAD grows with every commit, checkout and reset. Without one: HEAD itself and what it
/// names. A path that is not there would make cargo run this at every build.
fn watch_head() {
    let mut names = vec!["logs/HEAD".to_owned(), "HEAD".to_owned()];
    names.extend(git(&["symbolic-ref", "--quiet", "HEAD"]));
    names.push("packed-refs".to_owned());
    let path_of = |name: &String| git(&["rev-parse", "--git-path", name]);
    for path in names.iter().filter_map(path_of).filter(|path| Path::new(path).exists()) {
        println!("cargo:rerun-if-changed={path}");
    }
}

fn git(args: &[&str]) -> Option<String> {
    #[allow(clippy::disallowed_methods, reason = "a build script is no part of the daemon")]
    let output = Command::new("git").args(args).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| said.trim().to_owned()).filter(|said| !said.is_empty())
}

/// `{"git": {"sha1": "8f7b909…"}, …}`; a reader of JSON for this line would cost more than it.
fn by_package() -> Option<Found> {
    let text = std::fs::read_to_string(PACKED).ok()?;
    let (_, rest) = text.split_once("\"sha1\"")?;
    let commit = rest.trim_start_matches([':', ' ', '"']).get(..DIGITS)?;
    let is_commit = commit.chars().all(|c| c.is_ascii_hexdigit());
    is_commit.then(|| (commit.to_owned(), String::new()))
}
