//! `{ … }`, `( … )`, `if`, loops, `case`, functions, `[[ … ]]`.

use crate::guard::shell::parse::{Reader, Unreadable};
use crate::guard::shell::word::{Until, is_end, plain_text};
use crate::guard::shell::{Body, Change, Command, Joint, Parameter, Part, Script, Step, Word};

const THEN: &[&str] = &["then"];
const FI: &[&str] = &["elif", "else", "fi"];
const DO: &[&str] = &["do"];
const DONE: &[&str] = &["done"];
const CLOSE: &[&str] = &["}"];

impl Reader {
    pub fn compound(&mut self) -> Result<Option<Body>, Unreadable> {
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
                    Some(c) if is_end(c) && !self.is_process() => {
                        return Err(Unreadable("a loop's list is not complete"));
                    }
                    Some(_) => words.push(self.word(Until::Blank)?),
                }
            }
        } else {
            words.push(vec![Part::Variable {
                parameter: Parameter { name: "@".to_owned(), index: None, change: Change::None },
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
                match self.take() {
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
    pub fn function(&mut self, name: String) -> Result<Body, Unreadable> {
        self.skip_lines();
        let body = Box::new(self.nested(Reader::command)?);
        Ok(Body::Function { name, body })
    }
}
