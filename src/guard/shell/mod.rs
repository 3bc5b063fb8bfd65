//! Commands as bash reads them: from text to a tree. It knows quotes, substitutions, here-documents
//! and every compound command, and nothing of what any command does.
//!
//! Branches and loops become plain sequences: whoever judges the tree takes each for run.

mod compound;
mod parameter;
pub mod parse;
mod redirect;
pub mod word;

/// One word before expansion.
pub type Word = Vec<Part>;

#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Unquoted, with its meaning to braces, globs and `~`.
    Plain(char),
    /// Taken as it is.
    Quoted(String),
    Variable {
        parameter: Parameter,
        quoted: bool,
    },
    /// `$(…)` and backticks.
    Output {
        script: Script,
        quoted: bool,
    },
    /// `$((…))`, with what it substitutes.
    Arithmetic(Word),
    /// `<(…)` and `>(…)`.
    Process(Script),
}

/// `$name`, `${name…}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    pub name: String,
    /// `${name[index]}`
    pub index: Option<Word>,
    pub change: Change,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    None,
    /// `${#name}`
    Length,
    /// `${!name}`
    Indirect,
    /// `:-`, `-`, `:=`, `=`
    Default(Word),
    /// `:+`, `+`
    Instead(Word),
    /// `:?`, `?`
    Needed,
    /// `:offset:length`
    Part(Word, Option<Word>),
    /// `#`, `##`, `%`, `%%`, `/`, `//`, `^`, `,`, `@`, with what follows.
    Edit(String, Word),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Script {
    pub steps: Vec<Step>,
}

/// A pipeline and how the next one follows.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub pipeline: Vec<Command>,
    pub joint: Joint,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joint {
    Then,
    And,
    Or,
    Background,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    pub body: Body,
    pub redirects: Vec<Redirect>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    Simple {
        assigns: Vec<Assign>,
        words: Vec<Word>,
    },
    /// `{ …; }`, and `if`, `while`, `until`, `case` with all of their parts in a row.
    Block(Script),
    Subshell(Script),
    For {
        name: String,
        words: Vec<Word>,
        body: Script,
    },
    Function {
        name: String,
        body: Box<Command>,
    },
    /// `[[ … ]]`, `((…))`: only what it substitutes counts.
    Test(Vec<Word>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Assign {
    pub name: String,
    pub value: Assigned,
    /// `+=`
    pub append: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Assigned {
    Word(Word),
    List(Vec<Word>),
    /// `name[index]=…`
    Item(Word, Word),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Redirect {
    pub kind: RedirectKind,
    pub word: Word,
    /// Whether it is the standard output that goes there.
    pub takes_output: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectKind {
    In,
    Out,
    /// Here-documents and here-strings: the word is the text.
    Here,
}
