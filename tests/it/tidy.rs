//! The house rules that no compiler checks: arrows between modules, sizes, words, licences.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who may import whom, by top-level module. A module that is missing here fails the test.
const ARROWS: [(&str, &[&str]); 42] = [
    // Leaves: words and values.
    ("ids", &[]),
    ("moment", &[]),
    ("units", &[]),
    ("shell_word", &[]),
    ("harmless", &[]),
    ("yaml", &["harmless"]),
    ("version", &[]),
    ("threat_model", &[]),
    // Pure: no clock, file, thread, process or channel behind any of these.
    ("quota", &["ids", "moment"]),
    ("task", &["harmless", "ids", "moment", "shell_word", "units", "yaml"]),
    ("guard", &["yaml"]),
    // Reads phrases as the reader of screens will, and the line for tasks as agents get it.
    ("config", &["files", "ids", "quota", "task", "units", "yaml"]),
    ("core", &["config", "harmless", "ids", "moment", "quota", "shell_word", "task"]),
    // Owners of one outside thing each.
    ("clock", &["moment"]),
    ("files", &["shell_word"]),
    ("spool", &["files"]),
    ("queue", &["clock", "config", "files", "ids", "moment", "task"]),
    ("agent_settings", &["config", "files", "process"]),
    // Asks the watcher's readers whose home a process has, so that there is one answer to that.
    (
        "adopt",
        &[
            "clock",
            "config",
            "core",
            "crash_point",
            "files",
            "ids",
            "process",
            "shell_word",
            "watcher",
        ],
    ),
    ("process", &["clock", "component", "ids"]),
    ("launch", &["clock", "files", "ids", "process"]),
    ("journal", &["files", "moment"]),
    ("component", &["core"]),
    ("crash_point", &[]),
    ("systemd", &["moment"]),
    ("logging", &["clock", "moment"]),
    ("signals", &["component", "core"]),
    (
        "terminal",
        &["clock", "component", "core", "files", "ids", "launch", "moment", "process", "quota"],
    ),
    // Components.
    ("lifecycle", &["clock", "component", "config", "core", "ids", "moment", "process"]),
    (
        "watcher",
        &[
            "clock",
            "component",
            "config",
            "core",
            "files",
            "ids",
            "moment",
            "process",
            "quota",
            "spool",
        ],
    ),
    ("dispatcher", &["clock", "component", "config", "core", "ids", "moment", "queue", "task"]),
    ("janitor", &["clock", "component", "config", "core", "ids", "moment", "queue", "spool"]),
    ("monitor", &["clock", "component", "config", "core", "ids", "moment", "process", "quota"]),
    (
        "switcher",
        &["agent_settings", "component", "config", "core", "files", "ids", "process", "shell_word"],
    ),
    (
        "prober",
        &[
            "agent_settings",
            "clock",
            "component",
            "config",
            "core",
            "files",
            "ids",
            "process",
            "quota",
        ],
    ),
    (
        "notifier",
        &[
            "clock",
            "component",
            "config",
            "core",
            "files",
            "harmless",
            "moment",
            // Zones, for moments and quiet hours.
            "quota",
            "shell_word",
            // `/status` says what waits; it does not come from the core.
            "snapshot",
        ],
    ),
    // The outside's view and its doors.
    ("snapshot", &["config", "core", "harmless", "ids", "moment", "quota", "task", "version"]),
    (
        "api",
        &[
            "clock",
            "component",
            "core",
            "files",
            "harmless",
            "ids",
            "moment",
            "process",
            "quota",
            "snapshot",
        ],
    ),
    // Says what the guard would refuse everything for; asks the client for its version.
    (
        "preflight",
        &["agent_settings", "config", "files", "guard", "ids", "process", "shell_word", "terminal"],
    ),
    // Those who know everybody.
    ("coordinator", ANY),
    ("cli", ANY),
    ("main", ANY),
];

const ANY: &[&str] = &["*"];

/// Lines of one file; STYLE's hard limit.
const FILE_LINES_MAX: usize = 600;

/// Lines of one function in `src/`.
const FUNCTION_LINES_MAX: usize = 70;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(dir: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![root().join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn module_of(file: &Path) -> String {
    let inside = file.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The top-level modules that a file names after `crate::`, outside comments.
fn imports(text: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            if let Some(group) = rest.strip_prefix('{') {
                for word in group.trim_end_matches(['}', ';']).split(',') {
                    named.insert(word.trim().split("::").next().unwrap_or("").to_owned());
                }
            } else {
                let word: String =
                    rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                named.insert(word);
            }
        }
    }
    named.remove("");
    named
}

#[test]
fn arrows_between_modules_follow_the_table() {
    let table: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let mut wrong = Vec::new();
    for file in rust_files("src") {
        let module = module_of(&file);
        if module == "lib" {
            continue;
        }
        let Some(allowed) = table.get(module.as_str()) else {
            wrong.push(format!("{module} is missing in the table"));
            continue;
        };
        for import in imports(&std::fs::read_to_string(&file).unwrap()) {
            let known = table.contains_key(import.as_str());
            let fine = import == module || *allowed == ANY || allowed.contains(&import.as_str());
            if known && !fine {
                wrong.push(format!("{}: {module} → {import}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that are not in the table:\n{}", wrong.join("\n"));
}

#[test]
fn the_pure_modules_name_no_outside_thing() {
    let outside = [
        "std::fs",
        "std::thread",
        "std::process",
        "std::net",
        "fs_err",
        "crossbeam_channel",
        "rustix",
        "Instant",
        "SystemTime",
        "log::",
    ];
    let mut wrong = Vec::new();
    for file in ["src/core", "src/guard", "src/quota", "src/task", "src/yaml"]
        .into_iter()
        .flat_map(rust_files)
    {
        let text = std::fs::read_to_string(&file).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for word in outside.iter().filter(|word| holds_word(line, word)) {
                wrong.push(format!("{}: {word}: {}", file.display(), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Not as the end of a longer name: `Dialog::` is no `log::`.
fn holds_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(char::is_alphanumeric))
}

#[test]
fn files_and_functions_stay_short() {
    let mut wrong = Vec::new();
    for file in rust_files("src").into_iter().chain(rust_files("tests")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() > FILE_LINES_MAX {
            wrong.push(format!("{}: {} lines", file.display(), lines.len()));
        }
        if file.starts_with(root().join("src")) {
            for (name, length) in functions(&lines) {
                if length > FUNCTION_LINES_MAX {
                    wrong.push(format!("{}: fn {name}: {length} lines", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "too long:\n{}", wrong.join("\n"));
}

/// Name and length of each function: rustfmt puts its end at the indent of its start.
fn functions(lines: &[&str]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let Some((before, after)) = line.split_once("fn ") else { continue };
        let is_head = before.split_whitespace().all(|word| {
            word == "pub"
                || word == "const"
                || word.starts_with("pub(")
                || word == "crate::core)"
                || word == "crate::terminal)"
                || word == "crate::api)"
                || word == "in"
        });
        if !is_head || line.trim_end().ends_with('}') || line.trim_end().ends_with(';') {
            continue;
        }
        let end = lines[start..]
            .iter()
            .position(|line| line.len() - line.trim_start().len() == indent && line.trim() == "}");
        let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        found.extend(end.map(|end| (name, end + 1)));
    }
    found
}

#[test]
fn banned_words_stay_out_of_the_source() {
    let banned = [".unwrap()", "todo!(", "unimplemented!(", "#[ignore", "dbg!(", "super::super"];
    let mut wrong = Vec::new();
    for file in rust_files("src") {
        let text = std::fs::read_to_string(&file).unwrap();
        let live = text.split("#[cfg(test)]").next().unwrap_or("");
        for line in live.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for word in banned.iter().filter(|word| line.contains(**word)) {
                wrong.push(format!("{}: {word}", file.display()));
            }
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{}: does not open with //!", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_top_level_is_what_the_readme_promises() {
    let allowed: BTreeSet<&str> = [
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "etc",
        "src",
        "systemd",
        "tests",
    ]
    .into();
    let listed = Command::new("git").args(["ls-files"]).current_dir(root()).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let top: BTreeSet<&str> = listed
        .lines()
        .filter_map(|file| file.split('/').next())
        .filter(|n| !n.starts_with('.'))
        .collect();
    assert_eq!(top, allowed);
    let changelog = std::fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    assert!(changelog.contains("## Unreleased"), "CHANGELOG.md has no Unreleased section");
}

/// A bug that cannot be planted any more is one that nobody looks for.
#[test]
fn the_planted_bugs_of_the_simulation_still_apply() {
    let mut stale = Vec::new();
    let mut numbers = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("tests/sim/bugs")).unwrap() {
        let patch = entry.unwrap().path();
        if patch.extension().is_none_or(|kind| kind != "patch") {
            continue;
        }
        let name = patch.file_stem().unwrap().to_string_lossy().into_owned();
        let number = name.split('-').next().unwrap().to_owned();
        if let Some(other) = numbers.insert(number, name.clone()) {
            stale.push(format!("{name}: has the number of {other}"));
        }
        let check = Command::new("git")
            .args(["apply", "--check"])
            .arg(&patch)
            .current_dir(root())
            // In a repository around this tree it would skip what is not below its own root.
            .env("GIT_CEILING_DIRECTORIES", root().parent().unwrap())
            .output()
            .unwrap();
        if !check.status.success() {
            stale.push(format!("{name}: {}", String::from_utf8_lossy(&check.stderr)));
        }
    }
    stale.sort();
    assert!(!numbers.is_empty(), "there are none");
    assert!(stale.is_empty(), "{}", stale.join("\n"));
}

#[test]
fn dependencies_are_from_the_registry_under_known_licences_and_without_an_async_runtime() {
    // Of this platform alone: what only others build is not fetched here.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", &platform])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let licences = [
        "MIT",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Zlib",
        "CC0-1.0",
        "Unicode-3.0",
        "Unlicense",
        "MIT-0",
        // The roots of trust of the web: a list, not a program.
        "CDLA-Permissive-2.0",
    ];
    let banned =
        ["tokio", "async-std", "smol", "async-io", "futures-executor", "serde_yml", "openssl-sys"];
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if name == env!("CARGO_PKG_NAME") {
            continue;
        }
        if banned.contains(&name) {
            wrong.push(format!("{name}: banned"));
        }
        let source = package["source"].as_str().unwrap_or("a path");
        if !source.starts_with("registry+") {
            wrong.push(format!("{name}: comes from {source}"));
        }
        let licence = package["license"].as_str().unwrap_or("none given");
        let fine = licence.split(" OR ").flat_map(|part| part.split('/')).any(|part| {
            part.split(" AND ").all(|one| {
                let one = one.trim_matches(['(', ')', ' ']);
                licences.contains(&one) || one == "Apache-2.0 WITH LLVM-exception"
            })
        });
        if !fine {
            wrong.push(format!("{name}: licence {licence}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
