//! Goes through a script in the order of a shell and carries out what can be known without running
//! anything: directories, variables, functions, what is written to files and what a pipe passes on.
//!
//! What a branch or a loop does is taken for done. The answer is the first command that is refused.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::guard::rules::Rules;
use crate::guard::shell::{Assign, Assigned, Body, Command, Joint, Redirect, RedirectKind, Script};
use crate::guard::text::{OUTPUT_BYTES_MAX, UNKNOWN, shown};
use crate::guard::{Place, Refusal, World, unreadable};

/// Commands that one call may come to, loops unrolled.
const COMMANDS_MAX: usize = 2_000;
/// Bytes of all texts that are put together on the way.
const TEXTS_BYTES_MAX: usize = 4 << 20;
/// Functions, `eval`, `sh -c` and their like inside each other.
const NESTING_MAX: u32 = 40;
/// Characters of a command that a refusal shows.
const PART_CHARS_MAX: usize = 160;

pub type Done<T> = Result<T, Box<Refusal>>;

pub struct Walk<'a> {
    pub rules: &'a Rules,
    pub place: &'a Place,
    pub world: &'a dyn World,
    commands_left: Cell<usize>,
    bytes_left: Cell<usize>,
    nesting: u32,
    /// Functions that are being carried out.
    pub calls: Vec<String>,
    /// Process substitutions so far.
    pub processes: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    List(Vec<String>),
}

/// What a shell carries from command to command.
#[derive(Debug, Clone)]
pub struct State {
    pub cwd: String,
    pub last_cwd: String,
    pub variables: BTreeMap<String, Value>,
    pub functions: BTreeMap<String, Rc<Command>>,
    pub aliases: BTreeMap<String, String>,
    /// `$1`, `$2` …; `None` where nobody knows them.
    pub arguments: Option<Vec<String>>,
    pub stdin: String,
    /// What this command has put into files, by their paths.
    pub files: BTreeMap<String, String>,
    /// The links it has made: where each is, and where it leads.
    pub links: BTreeMap<String, String>,
    /// The scripts behind `>(…)`.
    pub sinks: BTreeMap<String, Script>,
    /// The branch it has switched to.
    pub branch: Option<String>,
    /// On another machine: what counts there are the roots alone.
    pub is_remote: bool,
}

impl<'a> Walk<'a> {
    pub fn new(rules: &'a Rules, place: &'a Place, world: &'a dyn World) -> Self {
        Self {
            rules,
            place,
            world,
            commands_left: Cell::new(COMMANDS_MAX),
            bytes_left: Cell::new(TEXTS_BYTES_MAX),
            nesting: 0,
            calls: Vec::new(),
            processes: 0,
        }
    }

    pub fn whole(mut self, script: &Script) -> Done<()> {
        let mut state = State::of(self.place);
        self.script(script, &mut state).map(|_| ())
    }

    pub fn file(self, path: &str) -> Done<()> {
        let state = State::of(self.place);
        self.judge_write(path, &state)
    }

    /// An error unless the operator has switched the rule off.
    pub fn refuse(&self, rule: &str, part: &str) -> Done<()> {
        if !self.rules.holds(rule) {
            return Ok(());
        }
        let rule = self.rules.rule(rule).cloned().unwrap_or_default();
        Err(Box::new(Refusal {
            rule: rule.name,
            why: rule.why,
            instead: rule.instead,
            part: cut(&shown(part)),
        }))
    }

    /// Counts what is done, so that no command keeps its agent waiting.
    pub fn charge(&self, commands: usize, bytes: usize) -> Done<()> {
        let commands = self.commands_left.get().checked_sub(commands);
        let bytes = self.bytes_left.get().checked_sub(bytes);
        let (Some(commands), Some(bytes)) = (commands, bytes) else {
            return Err(unreadable("it comes to too many commands, or too much text"));
        };
        self.commands_left.set(commands);
        self.bytes_left.set(bytes);
        Ok(())
    }

    pub fn nested<T>(&mut self, run: impl FnOnce(&mut Self) -> Done<T>) -> Done<T> {
        if self.nesting >= NESTING_MAX {
            return Err(unreadable("it is nested too deeply"));
        }
        self.nesting += 1;
        let done = run(self);
        self.nesting -= 1;
        done
    }

    /// What the script prints.
    pub fn script(&mut self, script: &Script, state: &mut State) -> Done<String> {
        let mut output = String::new();
        let mut joint = Joint::Then;
        for step in &script.steps {
            let printed = match (step.pipeline.as_slice(), joint) {
                // It runs only if the command before failed: what that did counts, and this not.
                ([command], Joint::Or) => {
                    let mut other = state.clone();
                    let printed = self.command(command, &mut other)?;
                    state.learn_from(other);
                    printed
                }
                ([command], _) => self.command(command, state)?,
                (commands, _) => self.pipeline(commands, state)?,
            };
            append(&mut output, &printed);
            joint = step.joint;
        }
        Ok(output)
    }

    /// Each command in a shell of its own.
    fn pipeline(&mut self, commands: &[Command], state: &mut State) -> Done<String> {
        let mut passed = state.stdin.clone();
        for command in commands {
            let mut own = state.clone();
            own.stdin = passed;
            passed = self.command(command, &mut own)?;
            state.files.append(&mut own.files);
        }
        Ok(passed)
    }

    pub fn command(&mut self, command: &Command, state: &mut State) -> Done<String> {
        self.charge(1, 0)?;
        let stdin = state.stdin.clone();
        let mut files = Vec::new();
        for redirect in &command.redirects {
            self.redirect(redirect, state, &mut files)?;
        }
        let output = self.body(&command.body, state)?;
        state.stdin = stdin;
        if files.is_empty() {
            return Ok(output);
        }
        for path in files {
            if let Some(script) = state.sinks.get(&path).cloned() {
                let mut own = State { stdin: output.clone(), ..state.clone() };
                self.nested(|walk| walk.script(&script, &mut own))?;
            }
            append(state.files.entry(path).or_default(), &output);
        }
        Ok(String::new())
    }

    fn redirect(
        &mut self,
        redirect: &Redirect,
        state: &mut State,
        files: &mut Vec<String>,
    ) -> Done<()> {
        let word = self.text(&redirect.word, state)?;
        match redirect.kind {
            RedirectKind::Here => state.stdin = format!("{word}\n"),
            RedirectKind::In => state.stdin = self.content(&word, state),
            RedirectKind::Out => {
                self.judge_write(&word, state)?;
                if redirect.takes_output {
                    files.push(state.absolute(&word));
                }
            }
        }
        Ok(())
    }

    fn body(&mut self, body: &Body, state: &mut State) -> Done<String> {
        match body {
            Body::Simple { assigns, words } => {
                for assign in assigns {
                    self.assign(assign, state)?;
                }
                let mut fields = Vec::new();
                for word in words {
                    fields.extend(self.fields(word, state)?);
                }
                self.call(&fields, state)
            }
            Body::Block(script) => self.nested(|walk| walk.script(script, state)),
            Body::Subshell(script) => {
                let mut own = state.clone();
                let output = self.nested(|walk| walk.script(script, &mut own))?;
                state.files.append(&mut own.files);
                Ok(output)
            }
            Body::For { name, words, body } => {
                let mut values = Vec::new();
                for word in words {
                    values.extend(self.fields(word, state)?);
                }
                let mut output = String::new();
                for value in distinct(values) {
                    state.set(name, value);
                    let printed = self.nested(|walk| walk.script(body, state))?;
                    append(&mut output, &printed);
                }
                Ok(output)
            }
            Body::Function { name, body } => {
                if forks_without_end(name, body) {
                    self.refuse("fork-bomb", name)?;
                }
                state.functions.insert(name.clone(), Rc::new((**body).clone()));
                Ok(String::new())
            }
            Body::Test(words) => {
                for word in words {
                    self.text(word, state)?;
                }
                Ok(String::new())
            }
        }
    }

    fn assign(&mut self, assign: &Assign, state: &mut State) -> Done<()> {
        let value = match &assign.value {
            Assigned::Word(word) => Value::Text(self.text(word, state)?),
            Assigned::Item(index, word) => {
                self.text(index, state)?;
                let item = self.text(word, state)?;
                let mut items = match state.variables.remove(&assign.name) {
                    Some(Value::List(items)) => items,
                    _ => Vec::new(),
                };
                items.push(item);
                Value::List(items)
            }
            Assigned::List(words) => {
                let mut items = Vec::new();
                for word in words {
                    items.extend(self.fields(word, state)?);
                }
                Value::List(items)
            }
        };
        if let Value::Text(text) = &value {
            self.judge_setting_of_shell(&assign.name, text, state)?;
        }
        let before = if assign.append { state.variables.remove(&assign.name) } else { None };
        let value = match (before, value) {
            (Some(Value::Text(before)), Value::Text(text)) => Value::Text(before + &text),
            (Some(Value::List(before)), Value::List(items)) => {
                Value::List([before, items].concat())
            }
            (_, value) => value,
        };
        state.variables.insert(assign.name.clone(), value);
        Ok(())
    }
}

impl Walk<'_> {
    /// Variables whose text is run by somebody else.
    fn judge_setting_of_shell(&mut self, name: &str, text: &str, state: &State) -> Done<()> {
        const RUN: [&str; 6] = ["COMMAND", "EDITOR", "PAGER", "BROWSER", "VISUAL", "ASKPASS"];
        if RUN.iter().any(|end| name.ends_with(end)) {
            self.try_text(text, state)?;
        }
        if name == "BASH_ENV" || name == "ENV" {
            let script = self.content(text, state);
            self.try_text(&script, state)?;
        }
        Ok(())
    }
}

impl State {
    fn of(place: &Place) -> Self {
        let known = [
            ("HOME", place.home.clone()),
            ("USER", place.user.clone()),
            ("LOGNAME", place.user.clone()),
            ("IFS", " \t\n".to_owned()),
            ("TMPDIR", "/tmp".to_owned()),
            ("CLAUDE_PROJECT_DIR", place.work.clone().unwrap_or_else(|| place.cwd.clone())),
        ];
        let known = known.into_iter().map(|(name, value)| (name.to_owned(), Value::Text(value)));
        Self {
            cwd: place.cwd.clone(),
            last_cwd: place.cwd.clone(),
            variables: known.collect(),
            functions: BTreeMap::new(),
            aliases: BTreeMap::new(),
            arguments: None,
            stdin: UNKNOWN.to_string(),
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            sinks: BTreeMap::new(),
            branch: None,
            is_remote: false,
        }
    }

    pub fn set(&mut self, name: &str, value: String) {
        self.variables.insert(name.to_owned(), Value::Text(value));
    }

    /// Keeps what `other` knows and this one does not.
    fn learn_from(&mut self, other: Self) {
        for (name, value) in other.variables {
            self.variables.entry(name).or_insert(value);
        }
        self.functions.extend(other.functions);
        self.aliases.extend(other.aliases);
        self.files.extend(other.files);
    }
}

/// Appends, up to what is followed.
pub fn append(text: &mut String, more: &str) {
    if text.len() + more.len() > OUTPUT_BYTES_MAX {
        *text = UNKNOWN.to_string();
    } else {
        text.push_str(more);
    }
}

/// One number stands for all.
fn distinct(values: Vec<String>) -> Vec<String> {
    let is_number = |value: &String| value.chars().all(|c| c.is_ascii_digit());
    let first = values.iter().find(|value| is_number(value)).cloned();
    let mut kept: Vec<String> = values.into_iter().filter(|value| !is_number(value)).collect();
    kept.extend(first);
    kept
}

/// A function that starts itself twice, or beside itself.
fn forks_without_end(name: &str, body: &Command) -> bool {
    let (Body::Block(script) | Body::Subshell(script)) = &body.body else { return false };
    let calls = |command: &Command| match &command.body {
        Body::Simple { words, .. } => {
            words.first().is_some_and(|word| crate::guard::shell::word::plain_text(word) == name)
        }
        _ => false,
    };
    script.steps.iter().any(|step| {
        let own = step.pipeline.iter().filter(|command| calls(command)).count();
        own > 1 || (own == 1 && step.joint == Joint::Background)
    })
}

fn cut(text: &str) -> String {
    let start: String = text.trim().chars().take(PART_CHARS_MAX).collect();
    if start.len() < text.trim().len() { format!("{start}…") } else { start }
}
