//! Reads typed values out of the raw tree, key by key, and notes everything that is wrong.
//!
//! The keys that a section is asked for are the keys it has: what nobody asked for is an unknown
//! key. A bad value is noted and its default goes on, so that one run finds all problems.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::config::load::{Base, Problem};
use crate::config::near::nearest;
use crate::config::path::absolute_path;
use crate::config::raw::{KeyPath, RawConfig};
use crate::units;
use crate::yaml::Node;
use crate::yaml::value::{describe, in_range, line_of_text, whole_number, with_unit};

/// What follows the hundredth problem is seldom worth reading.
const PROBLEMS_MAX: usize = 100;

/// What was found while the tree was read.
pub struct Findings<'t> {
    raw: &'t RawConfig<'t>,
    pub base: &'t Base,
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
    /// Patterns (`accounts[].name`) of all keys that were asked for; without the deprecated ones.
    pub keys: BTreeSet<String>,
    warned: BTreeSet<String>,
}

impl<'t> Findings<'t> {
    pub fn new(raw: &'t RawConfig<'t>, base: &'t Base) -> Self {
        Self {
            raw,
            base,
            problems: Vec::new(),
            warnings: Vec::new(),
            keys: BTreeSet::new(),
            warned: BTreeSet::new(),
        }
    }

    pub fn problem(&mut self, path: &KeyPath, message: impl Into<String>) {
        if self.problems.len() == PROBLEMS_MAX {
            self.problems.push(Problem {
                path: String::new(),
                line: None,
                message: format!("more than {PROBLEMS_MAX} problems: the rest is not shown"),
            });
        }
        if self.problems.len() < PROBLEMS_MAX {
            let problem = self.located(path, message.into());
            self.problems.push(problem);
        }
    }

    /// At most one warning for a key, in however many items it stands.
    pub fn warn(&mut self, path: &KeyPath, message: impl Into<String>) {
        if self.warned.insert(path.pattern()) {
            let warning = self.located(path, message.into());
            self.warnings.push(warning);
        }
    }

    /// For what two keys do to each other: told at the first of them that the file holds.
    pub fn problem_between(&mut self, paths: [&KeyPath; 2], message: impl Into<String>) {
        let is_written = |path: &&&KeyPath| self.raw.line(path).is_some();
        let path = paths.iter().find(is_written).unwrap_or(&paths[0]);
        self.problem(path, message);
    }

    fn located(&self, path: &KeyPath, message: String) -> Problem {
        Problem { path: path.to_string(), line: self.raw.line(path), message }
    }
}

/// One mapping of the file, on the way of being read.
pub struct Section<'s, 't> {
    pub findings: &'s mut Findings<'t>,
    pub path: KeyPath,
    entries: &'t [(String, Node)],
    asked: Vec<(&'static str, Standing)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Documented,
    /// Accepted for the sake of older files.
    Hidden,
}

/// Reads `node` as a mapping and then reports the keys that `read` did not ask for.
/// A section without content (`janitor:`) is an empty one.
pub fn read_section<'t, T>(
    findings: &mut Findings<'t>,
    path: KeyPath,
    node: &'t Node,
    read: impl FnOnce(&mut Section<'_, 't>) -> T,
) -> T {
    let (entries, is_mapping): (&[_], bool) = match node {
        Node::Map(entries) => (entries, true),
        Node::Null => (&[], true),
        other => {
            let what = describe(other);
            let message = format!("expected a mapping (key: value), got {what}");
            findings.problem(&path, message);
            (&[], false)
        }
    };
    let problems_before = findings.problems.len();
    let mut section = Section { findings, path, entries, asked: Vec::new() };
    let value = read(&mut section);
    section.report_unknown();
    if !is_mapping {
        // That it lacks this and that follows from what has been said.
        findings.problems.truncate(problems_before);
    }
    value
}

impl<'t> Section<'_, 't> {
    pub fn at(&self, key: &str) -> KeyPath {
        self.path.key(key)
    }

    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name == key)
    }

    pub fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.findings.problem(&self.path.key(key), message);
    }

    /// The value as it is; `None` when the key is absent.
    pub fn node(&mut self, key: &'static str) -> Option<&'t Node> {
        self.findings.keys.insert(self.path.key(key).pattern());
        self.ask(key, Standing::Documented)
    }

    /// A key that is accepted and not documented.
    pub fn hidden_node(&mut self, key: &'static str) -> Option<&'t Node> {
        self.ask(key, Standing::Hidden)
    }

    fn ask(&mut self, key: &'static str, standing: Standing) -> Option<&'t Node> {
        if !self.asked.contains(&(key, standing)) {
            self.asked.push((key, standing));
        }
        let mut entries = self.entries.iter();
        let (_, node) = entries.find(|(name, _)| name == key)?;
        Some(node)
    }

    /// A key of the older system that does nothing any more: one warning.
    pub fn deprecated(&mut self, key: &'static str, why: &str) -> Option<&'t Node> {
        let node = self.hidden_node(key)?;
        self.findings.warn(&self.path.key(key), why);
        Some(node)
    }

    /// A nested mapping; an absent one is read as empty, which gives its defaults.
    pub fn section<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_, 't>) -> T,
    ) -> T {
        let node = self.node(key).unwrap_or(&Node::Null);
        read_section(self.findings, self.path.key(key), node, read)
    }

    /// The items of a list with the path of each; none when absent or empty.
    pub fn items(&mut self, key: &'static str, items_max: usize) -> Vec<(KeyPath, &'t Node)> {
        let path = self.path.key(key);
        let list = match self.node(key) {
            None | Some(Node::Null) => return Vec::new(),
            Some(Node::List(list)) => list,
            Some(other) => {
                let what = describe(other);
                self.problem(key, format!("expected a list ([…] or - …), got {what}"));
                return Vec::new();
            }
        };
        if list.len() > items_max {
            let length = list.len();
            self.problem(key, format!("{length} items: at most {items_max}"));
        }
        let places = (0..).map(|at| path.index(at));
        places.zip(list).take(items_max).collect()
    }

    pub fn flag(&mut self, key: &'static str, default: bool) -> bool {
        self.read(key, |node| match node {
            Node::Bool(value) => Ok(*value),
            other => Err(format!("expected true or false, got {}", describe(other))),
        })
        .unwrap_or(default)
    }

    pub fn count(&mut self, key: &'static str, default: u32, range: RangeInclusive<u32>) -> u32 {
        self.read(key, |node| whole_number(node, &range)).unwrap_or(default)
    }

    /// `default` and `range` in the notation of the file, for example `"100ms"` to `"5m"`.
    pub fn duration(
        &mut self,
        key: &'static str,
        default: &'static str,
        range: RangeInclusive<&'static str>,
    ) -> Duration {
        let of = |text| units::parse_duration(text).expect("written in this program");
        let (least, most) = (of(range.start()), of(range.end()));
        self.read(key, |node| {
            let value = with_unit(node, units::parse_duration, units::TIME_REMEDY)?;
            in_range(value, &(least..=most), units::print_duration)
        })
        .unwrap_or_else(|| of(default))
    }

    /// In bytes; `default` and `range` in the notation of the file.
    pub fn size(
        &mut self,
        key: &'static str,
        default: &'static str,
        range: RangeInclusive<&'static str>,
    ) -> u64 {
        let of = |text| units::parse_size(text).expect("written in this program");
        let (least, most) = (of(range.start()), of(range.end()));
        self.read(key, |node| {
            let value = with_unit(node, units::parse_size, units::SIZE_REMEDY)?;
            in_range(value, &(least..=most), units::print_size)
        })
        .unwrap_or_else(|| of(default))
    }

    /// Text that parses as `T`; `None` when absent or wrong.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<T> {
        self.read(key, |node| {
            line_of_text(node)?.parse().map_err(|error: T::Err| error.to_string())
        })
    }

    pub fn text(&mut self, key: &'static str, default: &str) -> String {
        self.read(key, |node| line_of_text(node).map(str::to_owned))
            .unwrap_or_else(|| default.to_owned())
    }

    /// Empty when it could not be read, which has been said.
    pub fn path(&mut self, key: &'static str, default: &str) -> PathBuf {
        if self.node(key).is_some() {
            return self.given_path(key).unwrap_or_default();
        }
        absolute_path(default, self.findings.base).unwrap_or_else(|why| {
            self.problem(key, format!("the default is {default}: {why}"));
            PathBuf::new()
        })
    }

    /// A path without a default; `None` when absent or wrong.
    pub fn given_path(&mut self, key: &'static str) -> Option<PathBuf> {
        let base = self.findings.base;
        self.read(key, |node| match node {
            Node::Null => {
                Err("YAML reads a bare ~ as no value: write \"~\" in quotes for the home directory"
                    .to_owned())
            }
            node => absolute_path(line_of_text(node)?, base),
        })
    }

    /// Notes an absent key as a problem; the value of a required key must not be a default.
    pub fn require(&mut self, key: &'static str, remedy: &str) {
        if !self.has(key) {
            let path = self.path.clone();
            let message = format!("has no {key}: {remedy}");
            self.findings.problem(&path, message);
        }
    }

    /// The value, or `None` for an explicit null.
    pub fn unless_null<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        match self.node(key) {
            None | Some(Node::Null) => None,
            Some(_) => read(self),
        }
    }

    /// Reads one key with `parse`; notes its error. `None` when absent or wrong.
    pub fn read<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&'t Node) -> Result<T, String>,
    ) -> Option<T> {
        let node = self.node(key)?;
        match parse(node) {
            Ok(value) => Some(value),
            Err(message) => {
                self.problem(key, message);
                None
            }
        }
    }

    fn report_unknown(self) {
        let documented =
            self.asked.iter().filter(|(_, standing)| *standing == Standing::Documented);
        let documented: Vec<&str> = documented.map(|(key, _)| *key).collect();
        let mut seen: BTreeSet<&str> = self.asked.iter().map(|(key, _)| *key).collect();
        for (name, _) in self.entries {
            if !seen.insert(name) {
                continue;
            }
            let message = match nearest(name, &documented) {
                Some(known) => format!("unknown key: did you mean {known}?"),
                None if name == "<<" => "merge keys are not read: write the values out".to_owned(),
                None => format!("unknown key: the keys here are {}", documented.join(", ")),
            };
            self.findings.problem(&self.path.key(name), message);
        }
    }
}
