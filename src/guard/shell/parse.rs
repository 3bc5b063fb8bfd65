//! The grammar above words: pipelines, lists, compound commands, redirections.

use crate::guard::shell::word::{Until, is_end, plain_text};
use crate::guard::shell::{
    Assign, Assigned, Body, Command, Joint, Part, Redirect, RedirectKind, Script, Step, Word,
};

/// Substitutions and compound commands inside each other.
pub const DEPTH_MAX: usize = 40;
/// Bytes of one command.
pub const COMMAND_BYTES_MAX: usize = 1 << 20;

/// Here-documents in one command.
const DOCUMENTS_MAX: usize = 100;

/// Why a text is no command that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub &'static str);

pub struct Reader {
    pub chars: Vec<char>,
    pub at: usize,
    pub depth: usize,
    documents: usize,
}

/// # Errors
/// It is longer than [`COMMAND_BYTES_MAX`], or no shell would read it to its end.
pub fn parse(text: &str) -> Result<Script, Unreadable> {
    Reader::at_depth(text, 0)?.whole()
}

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

const THEN: &[&str] = &["then"];
const FI: &[&str] = &["elif", "else", "fi"];
const DO: &[&str] = &["do"];
const DONE: &[&str] = &["done"];
const CLOSE: &[&str] = &["}"];
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

    pub fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    fn takes(&mut self, text: &str) -> bool {
        let found = text.chars().enumerate().all(|(at, c)| self.peek_at(at) == Some(c));
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// Blanks, joined lines, comments; not the end of a line.
    fn skip_blanks(&mut self) {
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

    fn skip_lines(&mut self) {
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
        match self.next() {
            Some(c) if c == end => Ok(script),
            _ => Err(Unreadable("a parenthesis is never closed")),
        }
    }

    /// Until one of the reserved words `ends`, which stays, a closing parenthesis or the end.
    fn steps(&mut self, ends: &[&str]) -> Result<Script, Unreadable> {
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
    fn reserved(&self) -> Option<String> {
        let word: String = self.chars[self.at..]
            .iter()
            .take_while(|c| c.is_ascii_lowercase() || matches!(c, '{' | '}' | '!' | '['))
            .take(16)
            .collect();
        let behind = self.peek_at(word.len());
        (!word.is_empty() && behind.is_none_or(is_end)).then_some(word)
    }

    fn takes_reserved(&mut self, words: &[&str]) -> Option<String> {
        self.skip_lines();
        let word = self.reserved().filter(|word| words.contains(&word.as_str()))?;
        self.at += word.len();
        Some(word)
    }

    fn needs(&mut self, words: &[&str]) -> Result<String, Unreadable> {
        self.takes_reserved(words).ok_or(Unreadable("a compound command is not complete"))
    }

    fn pipeline(&mut self) -> Result<Vec<Command>, Unreadable> {
        let mut commands = Vec::new();
        loop {
            while self.takes_reserved(&["!"]).is_some() {}
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

    fn command(&mut self) -> Result<Command, Unreadable> {
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

    fn compound(&mut self) -> Result<Option<Body>, Unreadable> {
        if self.peek() == Some('(') {
            if self.peek_at(1) == Some('(') && self.is_arithmetic() {
                return Ok(Some(Body::Test(vec![self.arithmetic()?])));
            }
            self.at += 1;
            return Ok(Some(Body::Subshell(self.script_until(')')?)));
        }
        let Some(word) = self.reserved() else { return Ok(None) };
        let start = self.at;
        self.at += word.len();
        let body = match word.as_str() {
            "{" => {
                let script = self.steps(CLOSE)?;
                self.needs(CLOSE)?;
                Body::Block(script)
            }
            "if" => Body::Block(self.branches()?),
            "while" | "until" => {
                let mut script = self.steps(DO)?;
                script.steps.extend(self.loop_body()?.steps);
                Body::Block(script)
            }
            "for" | "select" => self.for_loop()?,
            "case" => Body::Block(self.cases()?),
            "[[" => Body::Test(self.test()?),
            "function" => {
                self.skip_blanks();
                let name = plain_text(&self.word(Until::Blank)?);
                self.skip_blanks();
                if self.takes("(") {
                    self.skip_blanks();
                    self.takes(")");
                }
                self.function(name)?
            }
            "coproc" => {
                self.skip_blanks();
                return Ok(Some(Body::Block(Script {
                    steps: vec![Step { pipeline: vec![self.command()?], joint: Joint::Background }],
                })));
            }
            _ => {
                self.at = start;
                return Ok(None);
            }
        };
        Ok(Some(body))
    }

    fn loop_body(&mut self) -> Result<Script, Unreadable> {
        self.needs(DO)?;
        let script = self.steps(DONE)?;
        self.needs(DONE)?;
        Ok(script)
    }

    /// Behind `if`.
    fn branches(&mut self) -> Result<Script, Unreadable> {
        let mut script = self.steps(THEN)?;
        self.needs(THEN)?;
        loop {
            script.steps.extend(self.steps(FI)?.steps);
            match self.needs(FI)?.as_str() {
                "fi" => return Ok(script),
                "elif" => {
                    script.steps.extend(self.steps(THEN)?.steps);
                    self.needs(THEN)?;
                }
                _ => {}
            }
        }
    }

    /// Behind `for`.
    fn for_loop(&mut self) -> Result<Body, Unreadable> {
        self.skip_blanks();
        if self.peek() == Some('(') && self.peek_at(1) == Some('(') {
            let head = self.arithmetic()?;
            self.skip_blanks();
            self.takes(";");
            let mut script = self.for_body()?;
            let test = Command { body: Body::Test(vec![head]), redirects: Vec::new() };
            script.steps.insert(0, Step { pipeline: vec![test], joint: Joint::Then });
            return Ok(Body::Block(script));
        }
        let name = plain_text(&self.word(Until::Blank)?);
        let mut words = Vec::new();
        if self.takes_reserved(&["in"]).is_some() {
            loop {
                self.skip_blanks();
                match self.peek() {
                    None | Some(';' | '\n') => break,
                    Some(c) if is_end(c) && c != '<' => {
                        return Err(Unreadable("a loop's list is not complete"));
                    }
                    Some(_) => words.push(self.word(Until::Blank)?),
                }
            }
        } else {
            words.push(vec![Part::Variable {
                parameter: crate::guard::shell::Parameter {
                    name: "@".to_owned(),
                    index: None,
                    change: crate::guard::shell::Change::None,
                },
                quoted: true,
            }]);
        }
        self.skip_blanks();
        self.takes(";");
        Ok(Body::For { name, words, body: self.for_body()? })
    }

    fn for_body(&mut self) -> Result<Script, Unreadable> {
        if self.takes_reserved(&["{"]).is_some() {
            let script = self.steps(CLOSE)?;
            self.needs(CLOSE)?;
            return Ok(script);
        }
        self.loop_body()
    }

    /// Behind `case`.
    fn cases(&mut self) -> Result<Script, Unreadable> {
        self.skip_blanks();
        let mut words = vec![self.word(Until::Blank)?];
        self.needs(&["in"])?;
        let mut bodies = Vec::new();
        while self.takes_reserved(&["esac"]).is_none() {
            self.takes("(");
            loop {
                self.skip_blanks();
                let word = self.word(Until::Blank)?;
                if word.is_empty() && self.peek() != Some('|') && self.peek() != Some(')') {
                    return Err(Unreadable("a case is not complete"));
                }
                words.push(word);
                self.skip_blanks();
                match self.next() {
                    Some('|') => {}
                    Some(')') => break,
                    _ => return Err(Unreadable("a case is not complete")),
                }
            }
            bodies.extend(self.steps(&["esac"])?.steps);
            if !(self.takes(";;&") || self.takes(";;")) {
                self.takes(";&");
            }
        }
        let test = Command { body: Body::Test(words), redirects: Vec::new() };
        let mut steps = vec![Step { pipeline: vec![test], joint: Joint::Then }];
        steps.extend(bodies);
        Ok(Script { steps })
    }

    /// Behind `[[`, to behind `]]`.
    fn test(&mut self) -> Result<Vec<Word>, Unreadable> {
        let mut words = Vec::new();
        loop {
            self.skip_lines();
            if self.takes("]]") {
                return Ok(words);
            }
            match self.peek() {
                None => return Err(Unreadable("[[ is never closed")),
                Some(';' | '&') => self.at += 1,
                Some(_) => words.push(self.word(Until::Space)?),
            }
        }
    }

    /// The body behind `name()`.
    fn function(&mut self, name: String) -> Result<Body, Unreadable> {
        self.skip_lines();
        let body = Box::new(self.nested(Reader::command)?);
        Ok(Body::Function { name, body })
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
                Some(c) if is_end(c) && c != '<' && c != '>' => {
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

    /// Reads one redirection, if one is here.
    fn redirect(&mut self, redirects: &mut Vec<Redirect>) -> Result<bool, Unreadable> {
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
        let kind = match self.next() {
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
