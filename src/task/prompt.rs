//! The one line with which an agent is told of its task. Pure.

use std::path::Path;

use crate::harmless;
use crate::ids::TaskId;
use crate::shell_word::shell_word;

/// The default of `dispatcher.prompt`.
pub const DEFAULT: &str = "Do the task {id} ({title}): read the file {path} and carry out all that it \
    asks for. When everything is done, run: touch {done} - or, if it cannot be done, write why, in one \
    line, to {failed}";

/// Of the template itself; titles and paths come on top.
const CHARS_MAX: usize = 2_000;

/// Longer titles are cut.
const TITLE_CHARS_MAX: usize = 200;

/// What the client reads as a command, a memory, a file to attach or an option when it comes first.
const FIRST_REFUSED: [char; 6] = ['-', '/', '!', '#', '@', '&'];

/// A line with places for what differs from task to task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(Place),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Id,
    Title,
    Path,
    Done,
    Failed,
}

const PLACES: [(&str, Place); 5] = [
    ("{id}", Place::Id),
    ("{title}", Place::Title),
    ("{path}", Place::Path),
    ("{done}", Place::Done),
    ("{failed}", Place::Failed),
];

/// What stands in the places `{id}`, `{title}`, `{path}`, `{done}` and `{failed}`.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub id: &'a TaskId,
    pub title: &'a str,
    pub path: &'a Path,
    pub done: &'a Path,
    pub failed: &'a Path,
}

impl Template {
    /// # Errors
    /// It is not one line, begins like an option, a command or a memory of the client, lacks a place
    /// that every task needs, or names one that there is none of.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().count() > CHARS_MAX {
            return Err(format!("the line has more than {CHARS_MAX} characters: write less"));
        }
        if harmless::line(text, CHARS_MAX) != text {
            return Err(
                "the line holds a line break or another control character, or begins or ends \
                        with a space: write one plain line"
                    .to_owned(),
            );
        }
        if text.starts_with(FIRST_REFUSED) {
            return Err(
                "the client reads a line that begins with - / ! # @ or & as something else \
                        than a prompt: begin with a word"
                    .to_owned(),
            );
        }
        if text.starts_with('{') {
            return Err(
                "what stands in a place could begin with anything: begin with a word".to_owned()
            );
        }
        let pieces = pieces(text)?;
        for (name, place) in PLACES {
            let is_needed = matches!(place, Place::Path | Place::Done | Place::Failed);
            if is_needed && !pieces.contains(&Piece::Place(place)) {
                return Err(format!("the line has no {name}, which an agent must be told: add it"));
            }
        }
        Ok(Self { pieces })
    }

    /// One line, whatever the title holds. Paths are words of a shell.
    pub fn line(&self, facts: &Facts<'_>) -> String {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Place(Place::Id) => facts.id.to_string(),
            Piece::Place(Place::Title) => harmless::line(facts.title, TITLE_CHARS_MAX),
            Piece::Place(Place::Path) => shell_word(facts.path),
            Piece::Place(Place::Done) => shell_word(facts.done),
            Piece::Place(Place::Failed) => shell_word(facts.failed),
        });
        pieces.collect()
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, tail) = rest.split_at(at);
        let Some((name, place)) = PLACES.iter().find(|(name, _)| tail.starts_with(name)) else {
            let end = tail.find('}').map_or(tail.len(), |end| end + 1);
            let shown = harmless::line(&tail[..end], 40);
            let names = PLACES.map(|(name, _)| name).join(", ");
            return Err(format!("{shown:?} is no place: the places are {names}"));
        };
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(Piece::Place(*place));
        rest = &tail[name.len()..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}
