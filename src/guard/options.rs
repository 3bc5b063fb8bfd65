//! The arguments of a command: which are options, and which are not.

use crate::guard::text::is_unknown;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Single letters, each with its value.
    letters: Vec<(char, String)>,
    /// Long ones without their hyphens, each with its value.
    longs: Vec<(String, String)>,
    pub operands: Vec<String>,
    /// An argument of which nothing is known stood where an option could.
    pub is_open: bool,
}

impl Options {
    /// `args` are those behind the command's name. `letters` and `longs` are options that take the
    /// next argument as their value.
    pub fn read(args: &[String], letters: &str, longs: &[&str]) -> Self {
        let mut options = Self::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            if arg == "--" {
                options.operands.extend(rest.cloned());
                break;
            }
            options.is_open |= is_unknown(arg);
            if let Some(long) = arg.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, value)) => (name, value.to_owned()),
                    None if longs.contains(&long) => {
                        (long, rest.next().cloned().unwrap_or_default())
                    }
                    None => (long, String::new()),
                };
                options.longs.push((name.to_owned(), value));
            } else if let Some(short) = arg.strip_prefix('-').filter(|short| !short.is_empty()) {
                let mut chars = short.chars();
                while let Some(letter) = chars.next() {
                    if !letters.contains(letter) {
                        options.letters.push((letter, String::new()));
                        continue;
                    }
                    let glued: String = chars.collect();
                    let value = match glued.is_empty() {
                        true => rest.next().cloned().unwrap_or_default(),
                        false => glued,
                    };
                    options.letters.push((letter, value));
                    break;
                }
            } else {
                options.operands.push(arg.clone());
            }
        }
        options
    }

    pub fn has(&self, letter: char) -> bool {
        self.letters.iter().any(|(known, _)| *known == letter)
    }

    /// Also when it is shortened, as far as `least` (`--rec` for `--recursive`).
    pub fn has_long(&self, name: &str, least: usize) -> bool {
        self.longs.iter().any(|(long, _)| long.len() >= least && name.starts_with(long.as_str()))
    }

    /// Whether a long option begins so: `--delete-after` and its kin.
    pub fn begins_long(&self, start: &str) -> bool {
        self.longs.iter().any(|(long, _)| long.starts_with(start))
    }

    pub fn value(&self, letter: char) -> Option<&str> {
        self.letters.iter().find(|(known, _)| *known == letter).map(|(_, value)| value.as_str())
    }

    pub fn long_value(&self, name: &str) -> Option<&str> {
        self.longs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn operands(&self) -> impl Iterator<Item = &str> {
        self.operands.iter().map(String::as_str)
    }
}
