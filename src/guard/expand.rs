//! From a word to the fields that a command would get.

use crate::guard::brace::braces;
use crate::guard::edit::{edited, part};
use crate::guard::shell::word::plain_text;
use crate::guard::shell::{Change, Parameter, Part, Word};
use crate::guard::text::{ONE, SOME, STAR, UNKNOWN, has_hole};
use crate::guard::unreadable;
use crate::guard::walk::{Done, State, Value, Walk, append};

/// Set by the shell itself to something harmless.
const OWN: [&str; 20] = [
    "?",
    "$",
    "!",
    "#",
    "-",
    "RANDOM",
    "SRANDOM",
    "SECONDS",
    "LINENO",
    "UID",
    "EUID",
    "PPID",
    "HOSTNAME",
    "BASHPID",
    "BASH_VERSION",
    "EPOCHSECONDS",
    "EPOCHREALTIME",
    "COLUMNS",
    "LINES",
    "SHLVL",
];

/// Process substitutions of one command.
const PROCESSES_MAX: u32 = 100;

/// Fields on the way of being made.
#[derive(Default)]
struct Fields {
    done: Vec<String>,
    open: Option<String>,
}

impl Fields {
    fn push(&mut self, text: &str) {
        append(self.open.get_or_insert_default(), text);
    }

    fn end(&mut self) {
        self.done.extend(self.open.take());
    }

    /// Unquoted: separators end a field.
    fn split(&mut self, text: &str, separators: &str) {
        let mut pieces = text.split(|c| separators.contains(c));
        if let Some(first) = pieces.next().filter(|first| !first.is_empty()) {
            self.push(first);
        }
        for piece in pieces {
            self.end();
            if !piece.is_empty() {
                self.push(piece);
            }
        }
    }
}

impl Walk<'_> {
    /// All fields of a word.
    pub fn fields(&mut self, word: &Word, state: &mut State) -> Done<Vec<String>> {
        // Most have none, and some are long.
        if !word.contains(&Part::Plain('{')) {
            let mut fields = Fields::default();
            self.expand(word, state, &mut fields)?;
            fields.end();
            return Ok(fields.done);
        }
        let Some(words) = braces(word) else {
            return Err(unreadable("its braces make too many words"));
        };
        let mut fields = Fields::default();
        for word in words {
            self.expand(&word, state, &mut fields)?;
            fields.end();
        }
        Ok(fields.done)
    }

    /// A word that stays one: a value, a file, a text.
    pub fn text(&mut self, word: &[Part], state: &mut State) -> Done<String> {
        let quoted = |part: &Part| match part {
            Part::Variable { parameter, .. } => {
                Part::Variable { parameter: parameter.clone(), quoted: true }
            }
            Part::Output { script, .. } => Part::Output { script: script.clone(), quoted: true },
            part => part.clone(),
        };
        let changes = |part: &Part| matches!(part, Part::Variable { .. } | Part::Output { .. });
        let mut fields = Fields::default();
        if word.iter().any(changes) {
            let word: Word = word.iter().map(quoted).collect();
            self.expand(&word, state, &mut fields)?;
        } else {
            self.expand(word, state, &mut fields)?;
        }
        fields.end();
        Ok(fields.done.join(" "))
    }

    fn expand(&mut self, word: &[Part], state: &mut State, fields: &mut Fields) -> Done<()> {
        let mut at = self.tilde(word, state, fields);
        while let Some(part) = word.get(at) {
            at += 1;
            match part {
                Part::Plain('*') => fields.push(&STAR.to_string()),
                Part::Plain('?') => fields.push(&ONE.to_string()),
                Part::Plain('[') => match set_end(&word[at..]) {
                    Some(length) => {
                        at += length;
                        fields.push(&ONE.to_string());
                    }
                    None => fields.push("["),
                },
                Part::Plain('~') if word.get(at.wrapping_sub(2)) == Some(&Part::Plain('=')) => {
                    fields.push(&self.place.home);
                }
                Part::Plain(c) => fields.push(c.encode_utf8(&mut [0; 4])),
                Part::Quoted(text) => fields.push(text),
                Part::Variable { parameter, quoted } => {
                    self.variable(parameter, *quoted, state, fields)?;
                }
                Part::Output { script, quoted } => {
                    let mut own = state.clone();
                    let output = self.nested(|walk| walk.script(script, &mut own))?;
                    let output = output.trim_end_matches('\n');
                    self.charge(0, output.len())?;
                    match quoted {
                        true => fields.push(output),
                        false => fields.split(output, &state.separators()),
                    }
                }
                Part::Arithmetic(word) => {
                    self.text(word, state)?;
                    fields.push(&SOME.to_string());
                }
                Part::Process(script) => {
                    let mut own = state.clone();
                    let output = self.nested(|walk| walk.script(script, &mut own))?;
                    self.processes += 1;
                    if self.processes > PROCESSES_MAX {
                        return Err(unreadable("it has too many process substitutions"));
                    }
                    let path = format!("/dev/fd/{}", 63 + self.processes);
                    fields.push(&path);
                    state.files.insert(path.clone(), output);
                    state.sinks.insert(path, script.clone());
                }
            }
        }
        Ok(())
    }

    /// `~` and `~name` at the beginning. How many parts that took.
    fn tilde(&self, word: &[Part], state: &State, fields: &mut Fields) -> usize {
        if word.first() != Some(&Part::Plain('~')) {
            return 0;
        }
        let mut name = String::new();
        for part in &word[1..] {
            match part {
                Part::Plain('/') => break,
                Part::Plain(c) => name.push(*c),
                // Quoted in part: it stays as it is.
                _ => return 0,
            }
        }
        match name.as_str() {
            "" => fields.push(&self.place.home),
            "+" => fields.push(&state.cwd),
            "-" => fields.push(&state.last_cwd),
            "root" => fields.push("/root"),
            name if name == self.place.user => fields.push(&self.place.home),
            name => fields.push(&format!("/home/{name}")),
        }
        1 + name.chars().count()
    }

    fn variable(
        &mut self,
        parameter: &Parameter,
        quoted: bool,
        state: &mut State,
        fields: &mut Fields,
    ) -> Done<()> {
        let is_list = parameter.name == "@"
            || parameter.name == "*"
            || parameter
                .index
                .as_deref()
                .is_some_and(|index| matches!(plain_text(index).as_str(), "@" | "*"));
        let values = self.values(parameter, state)?;
        if quoted && is_list && parameter.name != "*" {
            self.charge(0, values.iter().map(String::len).sum())?;
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    fields.end();
                }
                fields.push(value);
            }
            return Ok(());
        }
        let text = values.join(" ");
        self.charge(0, text.len())?;
        match quoted {
            true => fields.push(&text),
            false => {
                let text = text.replace('*', &STAR.to_string()).replace('?', &ONE.to_string());
                fields.split(&text, &state.separators());
            }
        }
        Ok(())
    }

    fn values(&mut self, parameter: &Parameter, state: &mut State) -> Done<Vec<String>> {
        let index = parameter.index.as_ref().map(|index| self.text(index, state)).transpose()?;
        let index = index.map(|index| index.replace(STAR, "*"));
        let values = state.lookup(&parameter.name, index.as_deref());
        let only = values.join(" ");
        let changed = match &parameter.change {
            Change::None => return Ok(values),
            Change::Length => SOME.to_string(),
            Change::Indirect => return Ok(state.lookup(&only, None)),
            Change::Default(word) => match only.contains(UNKNOWN) || only.is_empty() {
                true => self.text(word, state)?,
                false => return Ok(values),
            },
            Change::Instead(word) => match only.is_empty() {
                true => String::new(),
                false => self.text(word, state)?,
            },
            Change::Needed => match only.is_empty() {
                true => SOME.to_string(),
                false => only.replace(UNKNOWN, &SOME.to_string()),
            },
            Change::Part(offset, length) => {
                if values.len() != 1 {
                    return Ok(values);
                }
                let offset = self.text(offset, state)?;
                let length = length.as_ref().map(|length| self.text(length, state)).transpose()?;
                part(&only, &offset, length.as_deref())
            }
            Change::Edit(operator, word) => {
                let rest = self.text(word, state)?;
                return Ok(values.iter().map(|value| edited(value, operator, &rest)).collect());
            }
        };
        Ok(vec![changed])
    }
}

impl State {
    fn separators(&self) -> String {
        match self.variables.get("IFS") {
            Some(Value::Text(text)) if !has_hole(text) => text.clone(),
            _ => " \t\n".to_owned(),
        }
    }

    fn lookup(&self, name: &str, index: Option<&str>) -> Vec<String> {
        let one = |text: String| vec![text];
        match name {
            "PWD" => return one(self.cwd.clone()),
            "OLDPWD" => return one(self.last_cwd.clone()),
            "@" | "*" => {
                return self.arguments.clone().unwrap_or_else(|| one(UNKNOWN.to_string()));
            }
            name if OWN.contains(&name) => return one(SOME.to_string()),
            _ => {}
        }
        if let Some(number) = name.parse::<usize>().ok().filter(|number| *number > 0) {
            let value = match &self.arguments {
                Some(arguments) => arguments.get(number - 1).cloned().unwrap_or_default(),
                None => UNKNOWN.to_string(),
            };
            return one(value);
        }
        match (self.variables.get(name), index) {
            (Some(Value::Text(text)), _) => one(text.clone()),
            (Some(Value::List(items)), Some("@" | "*")) => items.clone(),
            (Some(Value::List(items)), index) => {
                let at = index.map_or(Some(0), |index| index.parse::<usize>().ok());
                match at.and_then(|at| items.get(at)) {
                    Some(item) => one(item.clone()),
                    None => one(UNKNOWN.to_string()),
                }
            }
            (None, _) => one(UNKNOWN.to_string()),
        }
    }
}

/// How many parts behind `[` a set of characters takes, its `]` among them.
fn set_end(rest: &[Part]) -> Option<usize> {
    const PARTS_MAX: usize = 80;
    let end = rest.iter().take(PARTS_MAX).skip(1).position(|part| *part == Part::Plain(']'))?;
    let inside = &rest[..=end];
    let is_set = inside.iter().all(|part| match part {
        Part::Plain(c) => *c != '/',
        Part::Quoted(_) => true,
        _ => false,
    });
    is_set.then_some(end + 2)
}
