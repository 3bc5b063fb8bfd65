//! A task's file out of options and a text.

use std::fmt::Write as _;
use std::io;

use crate::ids::{TaskId, TaskRef};
use crate::moment::Wall;
use crate::queue::instance::new_conversation;
use crate::task::front_matter;
use crate::yaml::print::quoted;

/// Of the title, in an id made from it.
const SLUG_CHARS_MAX: usize = 40;

/// What can be said in front matter, as options. Checked when the whole file is.
#[derive(Debug, Default, clap::Args)]
pub struct Head {
    /// One line for people [default: its id]
    #[arg(long)]
    pub title: Option<String>,
    /// critical, high, default or low
    #[arg(long)]
    pub priority: Option<String>,
    /// Instead of the configuration's
    #[arg(long)]
    pub model: Option<String>,
    /// Must be done before; repeatable
    #[arg(long, value_name = "PROJECT:ID")]
    pub depends_on: Vec<TaskRef>,
    /// A word carried to its result; repeatable
    #[arg(long)]
    pub tag: Vec<String>,
    /// Longer is a failure, for example 2h
    #[arg(long, value_name = "LENGTH")]
    pub timeout: Option<String>,
    /// For example 2027-01-31T18:00:00Z
    #[arg(long, value_name = "MOMENT")]
    pub not_before: Option<String>,
}

impl Head {
    /// The text as it is below what the options say.
    ///
    /// # Errors
    /// The text has a front matter of its own and there are options, too: which of them was meant
    /// is not guessed.
    pub fn above(&self, body: &[u8]) -> Result<Vec<u8>, String> {
        let head = self.text();
        if head.is_empty() {
            return Ok(body.to_vec());
        }
        if front_matter::is_there(body) {
            return Err(
                "the text has a front matter of its own: write there what the options say, \
                        or take it out"
                    .to_owned(),
            );
        }
        Ok([b"---\n", head.as_bytes(), b"---\n", body].concat())
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let single = [
            ("title", &self.title),
            ("priority", &self.priority),
            ("model", &self.model),
            ("timeout", &self.timeout),
            ("not_before", &self.not_before),
        ];
        for (key, value) in single {
            if let Some(value) = value {
                writeln!(text, "{key}: {}", quoted(value)).expect("a String takes all");
            }
        }
        let depends_on: Vec<String> = self.depends_on.iter().map(ToString::to_string).collect();
        for (key, values) in [("depends_on", &depends_on), ("tags", &self.tag)] {
            if !values.is_empty() {
                let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
                writeln!(text, "{key}: [{}]", values.join(", ")).expect("a String takes all");
            }
        }
        text
    }
}

/// `20261122-152324-mend-the-roof-1a2b3c`: a person finds it, and no two are equal.
pub fn new_id(title: Option<&str>, now: Wall) -> io::Result<TaskId> {
    let date: String = now.to_string().chars().filter(|c| !"-:Z".contains(*c)).collect();
    let date = date.replace('T', "-");
    let random = new_conversation()?;
    let random = &random.as_str()[..6];
    let slug = title.map(slug).unwrap_or_default();
    let dash = if slug.is_empty() { "" } else { "-" };
    let id = format!("{date}-{slug}{dash}{random}");
    Ok(id.parse().expect("digits, lower case letters and dashes, beginning with a digit"))
}

fn slug(title: &str) -> String {
    let words = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let slug = words.collect::<Vec<&str>>().join("-").to_ascii_lowercase();
    slug.chars().take(SLUG_CHARS_MAX).collect::<String>().trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_words_that_say_when_and_what() {
        let now = Wall(1_795_361_004_858);
        for (title, expected) in [
            (None, "20261122-152324-"),
            (Some("Mend the roof!"), "20261122-152324-mend-the-roof-"),
            (Some("ünï / ../x"), "20261122-152324-n-x-"),
            (Some("世界"), "20261122-152324-"),
        ] {
            let id = new_id(title, now).unwrap();
            assert_eq!(&id.as_str()[..id.as_str().len() - 6], expected);
        }
        assert!(new_id(Some(&"x y".repeat(90)), now).unwrap().as_str().len() < 70);
        assert_ne!(new_id(None, now).unwrap(), new_id(None, now).unwrap());
    }
}
