//! Redirections, here-documents among them.

use crate::guard::shell::parse::{Reader, Unreadable};
use crate::guard::shell::word::{Until, plain_text};
use crate::guard::shell::{Part, Redirect, RedirectKind, Word};

/// Here-documents in one command.
const DOCUMENTS_MAX: usize = 100;

/// The text of an unquoted here-document: only substitutions mean something in it.
fn document(text: &str, depth: usize) -> Result<Word, Unreadable> {
    let mut reader = Reader::at_depth(text, depth + 1)?;
    let (mut plain, mut word) = (String::new(), Vec::new());
    while reader.peek().is_some() {
        reader.inside_quotes(&mut plain, &mut word)?;
    }
    word.push(Part::Quoted(plain));
    Ok(word)
}

impl Reader {
    /// Reads one redirection, if one is here.
    pub fn redirect(&mut self, redirects: &mut Vec<Redirect>) -> Result<bool, Unreadable> {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        let descriptor: String = self.chars[start..self.at].iter().collect();
        let takes_output = descriptor.is_empty() || descriptor == "1";
        if self.at == start && self.peek() == Some('&') && self.peek_at(1) == Some('>') {
            self.at += 1;
        }
        let is_process = self.at == start && self.peek_at(1) == Some('(');
        if !matches!(self.peek(), Some('<' | '>')) || is_process {
            self.at = start;
            return Ok(false);
        }
        if self.takes("<<<") {
            self.skip_blanks();
            let word = self.word(Until::Blank)?;
            redirects.push(Redirect { kind: RedirectKind::Here, word, takes_output: false });
            return Ok(true);
        }
        if self.takes("<<") {
            let word = self.here_document()?;
            redirects.push(Redirect { kind: RedirectKind::Here, word, takes_output: false });
            return Ok(true);
        }
        let kind = match self.take() {
            Some('<') if self.peek() != Some('>') => RedirectKind::In,
            _ => RedirectKind::Out,
        };
        while matches!(self.peek(), Some('>' | '|')) {
            self.at += 1;
        }
        let copies = self.takes("&");
        self.skip_blanks();
        let word = self.word(Until::Blank)?;
        if word.is_empty() {
            return Err(Unreadable("a redirection names no file"));
        }
        let text = plain_text(&word);
        let is_number = copies && text.chars().all(|c| c.is_ascii_digit() || c == '-');
        if !is_number {
            redirects.push(Redirect { kind, word, takes_output });
        }
        Ok(true)
    }

    /// Behind `<<`. Its text is taken out from behind this line.
    fn here_document(&mut self) -> Result<Word, Unreadable> {
        self.documents += 1;
        if self.documents > DOCUMENTS_MAX {
            return Err(Unreadable("it has too many here-documents"));
        }
        let tabs = self.takes("-");
        self.skip_blanks();
        let delimiter = self.word(Until::Blank)?;
        let quoted = delimiter.iter().any(|part| !matches!(part, Part::Plain(_)));
        let delimiter = plain_text(&delimiter);
        if delimiter.is_empty() && !quoted {
            return Err(Unreadable("a here-document names no end"));
        }
        let line_end = self.line_end()?;
        let mut text = String::new();
        let mut at = line_end;
        while at < self.chars.len() {
            let rest = &self.chars[at..];
            let length = rest.iter().position(|c| *c == '\n').unwrap_or(rest.len());
            let line: String = rest[..length].iter().collect();
            at = (at + length + 1).min(self.chars.len());
            let line = if tabs { line.trim_start_matches('\t') } else { &line };
            if line == delimiter {
                break;
            }
            text.push_str(line);
            text.push('\n');
        }
        self.chars.drain(line_end..at);
        if quoted { Ok(vec![Part::Quoted(text)]) } else { document(&text, self.depth) }
    }

    /// Where the line behind this one begins. What is open at its end would hide the text.
    fn line_end(&self) -> Result<usize, Unreadable> {
        let (mut quote, mut open) = (None, 0_i32);
        let rest = &self.chars[self.at..];
        let length = rest.iter().position(|c| *c == '\n').unwrap_or(rest.len());
        let mut line = rest[..length].iter();
        while let Some(c) = line.next() {
            match (c, quote) {
                ('\\', None | Some('"')) if line.next().is_none() => open += 1,
                (c, Some(end)) if *c == end => quote = None,
                ('"' | '\'' | '`', None) => quote = Some(*c),
                ('(', None) => open += 1,
                (')', None) => open -= 1,
                _ => {}
            }
        }
        if quote.is_some() || open > 0 {
            return Err(Unreadable("a line with a here-document does not end where it should"));
        }
        Ok((self.at + length + 1).min(self.chars.len()))
    }
}
