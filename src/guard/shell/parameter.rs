//! `${name}` and what can stand in it.

use crate::guard::shell::parse::{Reader, Unreadable};
use crate::guard::shell::word::Until;
use crate::guard::shell::{Change, Parameter, Part};

impl Reader {
    /// Behind `${`.
    pub fn braced(&mut self, end: Until) -> Result<Parameter, Unreadable> {
        let mut change = Change::None;
        match (self.peek(), self.peek_at(1)) {
            (Some('#'), Some(c)) if c != '}' => {
                self.at += 1;
                change = Change::Length;
            }
            (Some('!'), Some(c)) if c.is_ascii_alphabetic() || c == '_' => {
                self.at += 1;
                change = Change::Indirect;
            }
            _ => {}
        }
        let mut name = self.name();
        if name.is_empty() {
            name.extend(self.take());
        }
        let mut index = None;
        if self.peek() == Some('[') {
            self.at += 1;
            let word = self.word(Until::Char(']'))?;
            self.at += 1;
            index = Some(word);
        }
        if change == Change::None {
            change = self.change(end)?;
        } else {
            self.word(end)?;
        }
        match self.take() {
            Some('}') => Ok(Parameter { name, index, change }),
            _ => Err(Unreadable("${ is never closed")),
        }
    }

    fn change(&mut self, end: Until) -> Result<Change, Unreadable> {
        let colon = self.peek() == Some(':');
        let operator = if colon { self.peek_at(1) } else { self.peek() };
        if let Some(operator @ ('-' | '=' | '+' | '?')) = operator {
            self.at += if colon { 2 } else { 1 };
            let word = self.word(end)?;
            return Ok(match operator {
                '-' | '=' => Change::Default(word),
                '+' => Change::Instead(word),
                _ => Change::Needed,
            });
        }
        if colon {
            self.at += 1;
            let word = self.word(end)?;
            let parts: Vec<&[Part]> = word.splitn(2, |part| *part == Part::Plain(':')).collect();
            let length = parts.get(1).map(|length| length.to_vec());
            return Ok(Change::Part(parts[0].to_vec(), length));
        }
        const OPERATORS: [&str; 13] =
            ["##", "#", "%%", "%", "//", "/#", "/%", "/", "^^", "^", ",,", ",", "@"];
        let operator = OPERATORS.into_iter().find(|operator| self.takes(operator)).unwrap_or("");
        let word = self.word(end)?;
        Ok(match operator.is_empty() {
            true => Change::None,
            false => Change::Edit(operator.to_owned(), word),
        })
    }
}

impl Parameter {
    pub fn plain(name: String) -> Self {
        Self { name, index: None, change: Change::None }
    }
}
