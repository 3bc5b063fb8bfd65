//! The two tasks of the demo, as anybody sees them: by the files of their queue, the conversations and
//! the accounts' own logs of requests.

use anyhow::{Context, ensure};
use fs_err as fs;
use serde_json::Value;

use crate::cli::demo::outside;
use crate::cli::demo::stage::{PROJECT, Stage};
use crate::ids::TaskRef;
use crate::queue::submit::submit;
use crate::task::{TaskResult, front_matter};

/// A task for the scripted agent.
pub struct Errand {
    pub id: &'static str,
    orders: &'static str,
}

/// Over before the account runs out.
pub const QUICK: Errand = Errand { id: "quick", orders: "work 100ms" };
/// At work when the account runs out: in one step, at whose end it is refused.
pub const LONG: Errand = Errand { id: "long", orders: "work 900ms" };

impl Errand {
    fn task(&self) -> anyhow::Result<TaskRef> {
        let name = format!("{PROJECT}:{}", self.id);
        name.parse().with_context(|| format!("naming the task {name}"))
    }

    /// As `claude-failover submit` does.
    pub fn submit(&self, stage: &Stage) -> anyhow::Result<()> {
        let text = format!("---\ntitle: {} work\n---\n{}\n", self.id, self.orders);
        let task = self.task()?;
        submit(&stage.work(), &task, text.as_bytes()).context("submitting a task").map(drop)
    }

    /// Session and conversation, once its agent has it.
    pub fn at_work(&self, stage: &Stage) -> Option<(String, String)> {
        let text = fs::read_to_string(stage.queue().join("status.json")).ok()?;
        let status: Value = serde_json::from_str(&text).ok()?;
        let row = status["tasks"].as_array()?.iter().find(|row| row["id"] == self.id)?;
        let conversation = row["conversation"].as_str()?;
        let has_it = !outside::transcript(&stage.projects(), conversation).prompts.is_empty();
        has_it.then(|| Some((row["session"].as_str()?.to_owned(), conversation.to_owned())))?
    }

    /// Once it has left the inbox.
    pub fn result(&self, stage: &Stage) -> anyhow::Result<Option<TaskResult>> {
        let name = format!("{}.md", self.id);
        if stage.queue().join("inbox").join(&name).exists() {
            return Ok(None);
        }
        let found = ["done", "failed"].map(|part| stage.queue().join(part).join(&name));
        let Some(path) = found.into_iter().find(|path| path.exists()) else {
            return Ok(None);
        };
        let result = front_matter::result(&self.task()?, &fs::read(&path)?);
        result.with_context(|| format!("{} holds no result", path.display())).map(Some)
    }

    /// It is done at the first attempt, was told to one agent once, and these accounts, in this order,
    /// were asked for its work.
    pub fn verify(
        &self,
        stage: &Stage,
        result: &TaskResult,
        accounts: &[char],
    ) -> anyhow::Result<()> {
        ensure!(result.done && result.attempts == 1, "task {} ended as {result:?}", self.id);
        let conversation =
            result.conversation.as_ref().context("its result names no conversation")?;
        let prompts = outside::transcript(&stage.projects(), conversation.as_str()).prompts;
        let told = prompts.iter().filter(|prompt| prompt.starts_with("Do the task ")).count();
        ensure!(told == 1, "task {} was told {told} times: {prompts:?}", self.id);
        let asked = [('a', stage.home_a()), ('b', stage.home_b())].into_iter();
        let asked = asked.filter(|(_, home)| {
            let log = fs::read_to_string(home.join("requests.log")).unwrap_or_default();
            log.contains(conversation.as_str())
        });
        let asked: Vec<char> = asked.map(|(account, _)| account).collect();
        ensure!(asked == accounts, "task {} was worked on by {asked:?}", self.id);
        let last = accounts.last().map(char::to_string);
        let named = result.account.as_ref().map(ToString::to_string);
        ensure!(named == last, "the result of {} names account {named:?}", self.id);
        Ok(())
    }
}
