//! The file as it is written: a tree of YAML nodes, unchecked, that can say on which line each
//! stands. It knows no key and no meaning; `section` reads it.

use std::fmt;

use crate::config::locate;
use crate::yaml::{self, Limits, Malformed, Node};

/// 500 sessions on 200-byte lines fit twice.
pub const FILE_BYTES_MAX: usize = 256 * 1024;
/// 1 000 sessions, a mapping each, in the largest file.
const LIMITS: Limits = Limits { nodes_max: 20_000, work_max: 1_000 * FILE_BYTES_MAX };

/// One step down the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `nth` counts equal keys of one mapping from 0.
    Key {
        name: String,
        nth: usize,
    },
    Index(usize),
}

/// Where a value stands, printed as `pool.dedicated[1].name`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyPath(Vec<Step>);

/// The parsed, unchecked file.
#[derive(Debug)]
pub struct RawConfig<'t> {
    text: &'t str,
    pub root: Node,
}

impl<'t> RawConfig<'t> {
    pub fn parse(text: &'t str) -> Result<Self, Malformed> {
        if text.len() > FILE_BYTES_MAX {
            return Err(Malformed {
                line: None,
                message: format!("the file has more than {FILE_BYTES_MAX} bytes"),
            });
        }
        let root = yaml::parse(text, LIMITS)?;
        Ok(Self { text, root })
    }

    /// The line of a key, or of a list item; `None` for the root and for what is not there.
    pub fn line(&self, path: &KeyPath) -> Option<usize> {
        if path.0.is_empty() {
            return None;
        }
        locate::line(self.text, &path.0)
    }

    /// Every key that stands twice in one mapping, at any depth: the path of the second.
    pub fn duplicates(&self) -> Vec<KeyPath> {
        let mut found = Vec::new();
        collect_duplicates(&self.root, &KeyPath::default(), &mut found);
        found
    }
}

impl KeyPath {
    #[must_use]
    pub fn key(&self, name: &str) -> Self {
        self.step(Step::Key { name: name.to_owned(), nth: 0 })
    }

    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// The path with `[]` for every index: the name of the key, whichever item it is in.
    pub fn pattern(&self) -> String {
        self.print(|_| "[]".to_owned())
    }

    fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    fn print(&self, index: impl Fn(usize) -> String) -> String {
        let mut text = String::new();
        for step in &self.0 {
            match step {
                Step::Key { name, .. } => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(&printable(name));
                }
                Step::Index(at) => text.push_str(&index(*at)),
            }
        }
        text
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print(|at| format!("[{at}]")))
    }
}

/// A key from the file is anybody's text: it must not break a line of a log.
fn printable(name: &str) -> String {
    const KEY_CHARS_MAX: usize = 60;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if !name.is_empty() && name.len() <= KEY_CHARS_MAX && name.chars().all(plain) {
        return name.to_owned();
    }
    let start: String = name.chars().take(KEY_CHARS_MAX).collect();
    format!("{start:?}")
}

fn collect_duplicates(node: &Node, path: &KeyPath, found: &mut Vec<KeyPath>) {
    match node {
        Node::Map(entries) => {
            let mut times = std::collections::BTreeMap::new();
            for (name, value) in entries {
                let nth = times.entry(name).or_insert(0);
                let here = path.step(Step::Key { name: name.clone(), nth: *nth });
                if *nth == 1 {
                    found.push(here.clone());
                }
                *nth += 1;
                collect_duplicates(value, &here, found);
            }
        }
        Node::List(items) => {
            for (at, item) in items.iter().enumerate() {
                collect_duplicates(item, &path.index(at), found);
            }
        }
        Node::Null | Node::Bool(_) | Node::Int(_) | Node::Float(_) | Node::Text(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
a: 1
b:
  - x
  - {p: 1,
     q: [2,
         3]}
a:
  deep: |
    text
    a: 5
\"c d\": &anchor
  e: 1
f: *anchor
7: yes
";

    fn line(path: &KeyPath) -> Option<usize> {
        RawConfig::parse(TEXT).unwrap().line(path)
    }

    #[test]
    fn every_notation_gives_its_line() {
        let root = KeyPath::default();
        let b = root.key("b");
        for (path, expected) in [
            (root.clone(), None),
            (root.key("a"), Some(1)),
            (b.clone(), Some(2)),
            (b.index(0), Some(3)),
            (b.index(1), Some(4)),
            (b.index(1).key("q"), Some(5)),
            (b.index(1).key("q").index(1), Some(6)),
            (root.key("c d").key("e"), Some(12)),
            (root.key("f"), Some(13)),
            (root.key("f").key("e"), Some(12)),
            (root.key("7"), Some(14)),
            (b.index(2), None),
            (root.key("b").key("x"), None),
            (root.key("absent"), None),
            (root.key("7").key("x"), None),
        ] {
            assert_eq!(line(&path), expected, "{path}");
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_found_at_its_second_place() {
        let raw = RawConfig::parse(TEXT).unwrap();
        let duplicates = raw.duplicates();
        assert_eq!(duplicates.len(), 1);
        assert_eq!(duplicates[0].to_string(), "a");
        assert_eq!(raw.line(&duplicates[0]), Some(7));
    }

    #[test]
    fn a_strange_key_is_printed_on_one_line() {
        let path = KeyPath::default().key("a\nb").key("").index(3);
        assert_eq!(path.to_string(), r#""a\nb".""[3]"#);
    }
}
