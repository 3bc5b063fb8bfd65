//! What the client says on a hook's standard input before a tool runs.

use serde::Deserialize;

use crate::guard::rules::Rules;
use crate::guard::{Place, Refusal, World, judge, judge_file};

/// Tools that write to a file that they name.
const WRITERS: [&str; 5] = ["Write", "Edit", "MultiEdit", "NotebookEdit", "Update"];

/// The part of it that counts. Fields of later clients are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Call {
    pub tool_name: String,
    #[serde(default)]
    pub tool_input: Input,
    /// Absolute; where a command would start.
    pub cwd: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Input {
    pub command: Option<String>,
    pub file_path: Option<String>,
    pub notebook_path: Option<String>,
}

impl Call {
    /// # Errors
    /// It is not what a client says before a tool runs.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let call: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if !call.cwd.starts_with('/') {
            return Err(format!("cwd is no absolute path: {:?}", call.cwd));
        }
        Ok(call)
    }

    /// Whether there is anything that could be refused.
    pub fn is_judged(&self) -> bool {
        self.tool_input.command.is_some() || WRITERS.contains(&self.tool_name.as_str())
    }

    /// # Errors
    /// It must not run.
    pub fn judge(
        &self,
        rules: &Rules,
        place: &Place,
        world: &dyn World,
    ) -> Result<(), Box<Refusal>> {
        let input = &self.tool_input;
        if let Some(command) = &input.command {
            judge(command, rules, place, world)?;
        }
        if WRITERS.contains(&self.tool_name.as_str()) {
            let mut files = input.file_path.iter().chain(&input.notebook_path);
            files.try_for_each(|file| judge_file(file, rules, place, world))?;
        }
        Ok(())
    }
}
