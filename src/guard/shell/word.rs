//! One word: quotes, substitutions, parameters.

use crate::guard::shell::parse::{DEPTH_MAX, Reader, Unreadable};
use crate::guard::shell::{Parameter, Part, Script, Word};

/// Characters of one `((…))`; what is longer is read as two parentheses.
const ARITHMETIC_CHARS_MAX: usize = 4_096;

/// What ends an unquoted word.
pub fn is_end(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')')
}

/// How far a word goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The next blank or operator.
    Blank,
    /// The next blank: parentheses and `|` are part of it, as in `[[ $a =~ (b|c) ]]`.
    Space,
    /// This character, which stays: inside `${…}`.
    Char(char),
    /// The same within double quotes, where a single quote is one like any other character.
    CharInQuotes(char),
}

impl Reader {
    pub fn word(&mut self, until: Until) -> Result<Word, Unreadable> {
        let mut word = Vec::new();
        while let Some(c) = self.peek() {
            match until {
                Until::Blank if is_end(c) => match c {
                    '<' | '>' if self.peek_at(1) == Some('(') => {}
                    '(' if self.opens_a_pattern(&word) => {
                        self.balanced()?;
                        word.push(Part::Plain('*'));
                        continue;
                    }
                    _ => break,
                },
                Until::Space if matches!(c, ' ' | '\t' | '\n' | ';' | '&') => break,
                Until::Char(end) | Until::CharInQuotes(end) if c == end => break,
                _ => {}
            }
            self.part(c, until, &mut word)?;
        }
        Ok(word)
    }

    fn part(&mut self, c: char, until: Until, word: &mut Word) -> Result<(), Unreadable> {
        match c {
            '\\' => {
                self.at += 1;
                match self.take() {
                    Some('\n') => {}
                    Some(c) => word.push(Part::Quoted(c.to_string())),
                    None => word.push(Part::Quoted("\\".to_owned())),
                }
            }
            '\'' if !matches!(until, Until::CharInQuotes(_)) => {
                self.at += 1;
                word.push(Part::Quoted(self.until_quote()?));
            }
            '"' => {
                self.at += 1;
                self.double_quoted(word)?;
            }
            '$' => self.dollar(false, word)?,
            '`' => {
                let script = self.backticks()?;
                word.push(Part::Output { script, quoted: false });
            }
            '<' | '>' if until == Until::Blank => {
                self.at += 2;
                let script = self.nested(|reader| reader.script_until(')'))?;
                word.push(Part::Process(script));
            }
            c => {
                self.at += 1;
                word.push(Part::Plain(c));
            }
        }
        Ok(())
    }

    /// `!(…)`, `@(…)`, `*(…)`, `+(…)`, `?(…)` inside a word.
    fn opens_a_pattern(&self, word: &Word) -> bool {
        word.len() > 1 && matches!(word.last(), Some(Part::Plain('!' | '@' | '*' | '+' | '?')))
            || word.len() == 1 && matches!(word.last(), Some(Part::Plain('!' | '@' | '*' | '+')))
    }

    fn balanced(&mut self) -> Result<(), Unreadable> {
        let mut open = 0_usize;
        while let Some(c) = self.take() {
            match c {
                '(' => open += 1,
                ')' => open -= 1,
                _ => {}
            }
            if open == 0 {
                return Ok(());
            }
        }
        Err(Unreadable("a parenthesis is never closed"))
    }

    fn until_quote(&mut self) -> Result<String, Unreadable> {
        let mut text = String::new();
        while let Some(c) = self.take() {
            if c == '\'' {
                return Ok(text);
            }
            text.push(c);
        }
        Err(Unreadable("a single quote is never closed"))
    }

    fn double_quoted(&mut self, word: &mut Word) -> Result<(), Unreadable> {
        let mut text = String::new();
        loop {
            match self.peek() {
                None => return Err(Unreadable("a double quote is never closed")),
                Some('"') => {
                    self.at += 1;
                    word.push(Part::Quoted(text));
                    return Ok(());
                }
                Some(_) => self.inside_quotes(&mut text, word)?,
            }
        }
    }

    /// One character or substitution of a text in which only `\`, `$` and backticks mean something.
    pub fn inside_quotes(&mut self, text: &mut String, word: &mut Word) -> Result<(), Unreadable> {
        match self.peek() {
            Some('\\') => {
                self.at += 1;
                match self.take() {
                    Some('\n') => {}
                    Some(c @ ('$' | '`' | '"' | '\\')) => text.push(c),
                    Some(c) => text.extend(['\\', c]),
                    None => text.push('\\'),
                }
            }
            Some('$') => {
                word.push(Part::Quoted(std::mem::take(text)));
                self.dollar(true, word)?;
            }
            Some('`') => {
                word.push(Part::Quoted(std::mem::take(text)));
                let script = self.backticks()?;
                word.push(Part::Output { script, quoted: true });
            }
            Some(c) => {
                self.at += 1;
                text.push(c);
            }
            None => {}
        }
        Ok(())
    }

    fn dollar(&mut self, quoted: bool, word: &mut Word) -> Result<(), Unreadable> {
        self.at += 1;
        match self.peek() {
            Some('(') if self.peek_at(1) == Some('(') && self.is_arithmetic() => {
                word.push(Part::Arithmetic(self.arithmetic()?));
            }
            Some('(') => {
                self.at += 1;
                let script = self.nested(|reader| reader.script_until(')'))?;
                word.push(Part::Output { script, quoted });
            }
            Some('{') => {
                self.at += 1;
                let end = if quoted { Until::CharInQuotes('}') } else { Until::Char('}') };
                let parameter = self.nested(|reader| reader.braced(end))?;
                word.push(Part::Variable { parameter, quoted });
            }
            Some('\'') if !quoted => {
                self.at += 1;
                word.push(Part::Quoted(self.ansi_c()?));
            }
            Some('"') if !quoted => {
                self.at += 1;
                self.double_quoted(word)?;
            }
            Some('[') => {
                // The old form of arithmetic.
                let parts = self.word_in_brackets()?;
                word.push(Part::Arithmetic(parts));
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let name = self.name();
                word.push(Part::Variable { parameter: Parameter::plain(name), quoted });
            }
            Some(c) if c.is_ascii_digit() || "@*#?-$!".contains(c) => {
                self.at += 1;
                let parameter = Parameter::plain(c.to_string());
                word.push(Part::Variable { parameter, quoted });
            }
            _ => word.push(Part::Quoted("$".to_owned())),
        }
        Ok(())
    }

    fn word_in_brackets(&mut self) -> Result<Word, Unreadable> {
        self.at += 1;
        let word = self.nested(|reader| reader.word(Until::Char(']')))?;
        match self.take() {
            Some(_) => Ok(word),
            None => Err(Unreadable("a bracket is never closed")),
        }
    }

    pub fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek().filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
            self.at += 1;
        }
        name
    }

    /// `$'…'`
    fn ansi_c(&mut self) -> Result<String, Unreadable> {
        let mut raw = String::new();
        while let Some(c) = self.take() {
            match c {
                '\'' => return Ok(unescaped(&raw)),
                '\\' => {
                    raw.push('\\');
                    raw.extend(self.take());
                }
                c => raw.push(c),
            }
        }
        Err(Unreadable("a single quote is never closed"))
    }

    fn backticks(&mut self) -> Result<Script, Unreadable> {
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.take() {
                None => return Err(Unreadable("a backtick is never closed")),
                Some('`') => break,
                Some('\\') => match self.take() {
                    Some(c @ ('`' | '\\' | '$')) => text.push(c),
                    Some(c) => text.extend(['\\', c]),
                    None => {}
                },
                Some(c) => text.push(c),
            }
        }
        Reader::at_depth(&text, self.depth + 1)?.whole()
    }

    /// Whether the `((` here is closed by `))`.
    pub fn is_arithmetic(&self) -> bool {
        let mut open = 0_usize;
        let mut last = ' ';
        for c in self.chars[self.at..].iter().copied().take(ARITHMETIC_CHARS_MAX) {
            match c {
                '(' => open += 1,
                ')' if open == 1 => return last == ')',
                ')' => open -= 1,
                _ => {}
            }
            last = c;
        }
        false
    }

    /// From `((` to behind `))`.
    pub fn arithmetic(&mut self) -> Result<Word, Unreadable> {
        self.at += 2;
        self.nested(|reader| {
            let (mut open, mut word, mut text) = (2_usize, Vec::new(), String::new());
            while open > 0 {
                match reader.peek() {
                    None => return Err(Unreadable("(( is never closed")),
                    Some('(') => open += 1,
                    Some(')') => open -= 1,
                    Some(_) => {}
                }
                reader.inside_quotes(&mut text, &mut word)?;
            }
            Ok(word)
        })
    }

    pub fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Unreadable>,
    ) -> Result<T, Unreadable> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Unreadable("it is nested too deeply"));
        }
        let done = read(self)?;
        self.depth -= 1;
        Ok(done)
    }
}

/// The text of a word that substitutes nothing; the rest is left out.
pub fn plain_text(word: &[Part]) -> String {
    let mut text = String::new();
    for part in word {
        match part {
            Part::Plain(c) => text.push(*c),
            Part::Quoted(quoted) => text.push_str(quoted),
            Part::Variable { .. }
            | Part::Output { .. }
            | Part::Arithmetic(_)
            | Part::Process(_) => {}
        }
    }
    text
}

/// With the escapes of `$'…'`, `printf` and `echo -e` carried out.
pub fn unescaped(raw: &str) -> String {
    let mut text = String::new();
    let mut rest = raw.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        let Some(kind) = rest.next() else {
            text.push('\\');
            break;
        };
        let mut digits = |radix: u32, count: usize, first: Option<char>| {
            let mut value = first.and_then(|c| c.to_digit(radix)).unwrap_or(0);
            let mut taken = usize::from(first.is_some());
            while taken < count
                && let Some(digit) = rest.peek().and_then(|c| c.to_digit(radix))
            {
                value = value * radix + digit;
                rest.next();
                taken += 1;
            }
            char::from_u32(value).unwrap_or('\u{fffd}')
        };
        match kind {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            'a' | 'b' | 'c' | 'e' | 'E' | 'f' | 'v' => text.push(' '),
            'x' => text.push(digits(16, 2, None)),
            'u' => text.push(digits(16, 4, None)),
            'U' => text.push(digits(16, 6, None)),
            // `echo -e` and `printf %b` take a zero before three digits.
            '0' => text.push(digits(8, 4, Some('0'))),
            c @ '1'..='7' => text.push(digits(8, 3, Some(c))),
            c @ ('\\' | '\'' | '"' | '?') => text.push(c),
            c => text.extend(['\\', c]),
        }
    }
    text.chars().map(|c| if crate::guard::text::is_reserved(c) { ' ' } else { c }).collect()
}
