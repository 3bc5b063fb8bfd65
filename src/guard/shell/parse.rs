//! The grammar above words: pipelines, lists, simple commands.

use crate::guard::shell::word::{Until, is_end, plain_text};
use crate::guard::shell::{Assign, Assigned, Body, Command, Joint, Script, Step, Word};

/// Substitutions and compound commands inside each other.
pub const DEPTH_MAX: usize = 40;
/// Bytes of one command.
pub const COMMAND_BYTES_MAX: usize = 1 << 20;

/// Why a text is no command that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub &'static str);

pub struct Reader {
    pub chars: Vec<char>,
    pub at: usize,
    pub depth: usize,
    pub documents: usize,
}

/// # Errors
/// It is longer than [`COMMAND_BYTES_MAX`], or no shell would read it to its end.
pub fn parse(text: &str) -> Result<Script, Unreadable> {
    Reader::at_depth(text, 0)?.whole()
}

const ENDS: [&str; 8] = ["then", "elif", "else", "fi", "do", "done", "}", "esac"];

impl Reader {
    pub fn at_depth(text: &str, depth: usize) -> Result<Self, Unreadable> {
        if text.len() > COMMAND_BYTES_MAX {
            return Err(Unreadable("it is longer than 1 MiB"));
        }
        if depth > DEPTH_MAX {
            return Err(Unreadable("it is nested too deeply"));
        }
        Ok(Self { chars: text.chars().collect(), at: 0, depth, documents: 0 })
    }

    pub fn peek(&self) -> Option<char> {
        self.peek_at(0)
    }

    pub fn peek_at(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    pub fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    /// `<(` or `>(`.
    pub fn is_process(&self) -> bool {
        matches!(self.peek(), Some('<' | '>')) && self.peek_at(1) == Some('(')
    }

    pub fn takes(&mut self, text: &str) -> bool {
        let found = text.chars().enumerate().all(|(at, c)| self.peek_at(at) == Some(c));
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// Blanks, joined lines, comments; not the end of a line.
    pub fn skip_blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r') => self.at += 1,
                Some('\\') if self.peek_at(1) == Some('\n') => self.at += 2,
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    pub fn skip_lines(&mut self) {
        self.skip_blanks();
        while self.peek() == Some('\n') {
            self.at += 1;
            self.skip_blanks();
        }
    }

    pub fn whole(&mut self) -> Result<Script, Unreadable> {
        let script = self.steps(&[])?;
        match self.peek() {
            None => Ok(script),
            Some(')') => Err(Unreadable("a parenthesis is closed that was not opened")),
            Some(_) => Err(Unreadable("a part of it stands where no command can stand")),
        }
    }

    /// Up to behind `end`.
    pub fn script_until(&mut self, end: char) -> Result<Script, Unreadable> {
        let script = self.steps(&[])?;
        match self.take() {
            Some(c) if c == end => Ok(script),
            _ => Err(Unreadable("a parenthesis is never closed")),
        }
    }

    /// Until one of the reserved words `ends`, which stays, a closing parenthesis or the end.
    pub fn steps(&mut self, ends: &[&str]) -> Result<Script, Unreadable> {
        let mut steps = Vec::new();
        loop {
            self.skip_lines();
            match self.peek() {
                None | Some(')') => break,
                Some(';') if self.peek_at(1) == Some(';') => break,
                Some('&') if self.peek_at(1) == Some('>') => {}
                Some(';' | '&' | '|') => return Err(Unreadable("a command is missing")),
                Some(_) => {}
            }
            if let Some(word) = self.reserved().filter(|word| ENDS.contains(&word.as_str())) {
                match ends.contains(&word.as_str()) {
                    true => break,
                    false => return Err(Unreadable("a compound command ends that did not begin")),
                }
            }
            let pipeline = self.pipeline()?;
            self.skip_blanks();
            let joint = match (self.peek(), self.peek_at(1)) {
                (Some('&'), Some('&')) => Joint::And,
                (Some('|'), Some('|')) => Joint::Or,
                (Some('&'), _) => Joint::Background,
                _ => Joint::Then,
            };
            match joint {
                Joint::And | Joint::Or => self.at += 2,
                Joint::Background => self.at += 1,
                Joint::Then if self.peek() == Some(';') && self.peek_at(1) != Some(';') => {
                    if self.peek_at(1) == Some('&') {
                        break;
                    }
                    self.at += 1;
                }
                Joint::Then => {}
            }
            steps.push(Step { pipeline, joint });
        }
        Ok(Script { steps })
    }

    /// The reserved word here, if the next word could be one.
    pub fn reserved(&self) -> Option<String> {
        let word: String = self.chars[self.at..]
            .iter()
            .take_while(|c| c.is_ascii_lowercase() || matches!(c, '{' | '}' | '!' | '['))
            .take(16)
            .collect();
        let behind = self.peek_at(word.len());
        (!word.is_empty() && behind.is_none_or(is_end)).then_some(word)
    }

    pub fn takes_reserved(&mut self, words: &[&str]) -> Option<String> {
        self.skip_lines();
        let word = self.reserved().filter(|word| words.contains(&word.as_str()))?;
        self.at += word.len();
        Some(word)
    }

    pub fn needs(&mut self, words: &[&str]) -> Result<String, Unreadable> {
        self.takes_reserved(words).ok_or(Unreadable("a compound command is not complete"))
    }

    fn pipeline(&mut self) -> Result<Vec<Command>, Unreadable> {
        let mut commands = Vec::new();
        loop {
            while let Some(word) = self.takes_reserved(&["!", "time"]) {
                self.skip_blanks();
                if word == "time" && self.peek_at(2).is_some_and(is_end) {
                    self.takes("-p");
                }
            }
            commands.push(self.nested(Reader::command)?);
            self.skip_blanks();
            if self.peek() != Some('|') || self.peek_at(1) == Some('|') {
                return Ok(commands);
            }
            self.at += 1;
            if self.peek() == Some('&') {
                self.at += 1;
            }
            self.skip_lines();
        }
    }

    pub fn command(&mut self) -> Result<Command, Unreadable> {
        let body = match self.compound()? {
            Some(body) => body,
            None => return self.simple(),
        };
        let mut redirects = Vec::new();
        self.skip_blanks();
        while self.redirect(&mut redirects)? {
            self.skip_blanks();
        }
        Ok(Command { body, redirects })
    }

    fn simple(&mut self) -> Result<Command, Unreadable> {
        let (mut assigns, mut redirects) = (Vec::new(), Vec::new());
        let mut words: Vec<Word> = Vec::new();
        loop {
            self.skip_blanks();
            if self.redirect(&mut redirects)? {
                continue;
            }
            match self.peek() {
                None | Some('\n' | ';' | '&' | '|' | ')') => break,
                Some('(') if words.len() == 1 && assigns.is_empty() => {
                    self.at += 1;
                    self.skip_blanks();
                    if !self.takes(")") {
                        return Err(Unreadable("a parenthesis stands where none can stand"));
                    }
                    let body = self.function(plain_text(&words[0]))?;
                    return Ok(Command { body, redirects });
                }
                Some('(') => return Err(Unreadable("a parenthesis stands where none can stand")),
                Some(_) => {}
            }
            if let Some(assign) = self.assignment(&words)? {
                assigns.push(assign);
                continue;
            }
            words.push(self.word(Until::Blank)?);
        }
        Ok(Command { body: Body::Simple { assigns, words }, redirects })
    }

    /// `name=value` before the command's name, or as an argument of one that declares.
    fn assignment(&mut self, words: &[Word]) -> Result<Option<Assign>, Unreadable> {
        const DECLARE: [&str; 5] = ["export", "declare", "local", "readonly", "typeset"];
        let declares = |word: &Word| DECLARE.contains(&plain_text(word).as_str());
        if !words.is_empty() && !words.first().is_some_and(declares) {
            return Ok(None);
        }
        let start = self.at;
        let name = self.name();
        let is_name = !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit());
        let mut item = None;
        if is_name && self.peek() == Some('[') {
            self.at += 1;
            item = Some(self.word(Until::Char(']'))?);
            self.at += 1;
        }
        let append = is_name && self.takes("+=");
        if !is_name || !(append || self.takes("=")) {
            self.at = start;
            return Ok(None);
        }
        if self.peek() != Some('(') {
            let word = self.word(Until::Blank)?;
            let value = match item {
                Some(index) => Assigned::Item(index, word),
                None => Assigned::Word(word),
            };
            return Ok(Some(Assign { name, value, append }));
        }
        self.at += 1;
        let mut list = Vec::new();
        loop {
            self.skip_lines();
            match self.peek() {
                None => return Err(Unreadable("a list is never closed")),
                Some(')') => break,
                Some(c) if is_end(c) && !self.is_process() => {
                    return Err(Unreadable("a list holds an operator"));
                }
                Some('[') => {
                    let start = self.at;
                    self.at += 1;
                    self.word(Until::Char(']'))?;
                    if !self.takes("]=") {
                        self.at = start;
                    }
                    list.push(self.word(Until::Blank)?);
                }
                Some(_) => list.push(self.word(Until::Blank)?),
            }
        }
        self.at += 1;
        Ok(Some(Assign { name, value: Assigned::List(list), append }))
    }
}
