//! Effects that run at most once: fenced in tmux itself, and accounted for when no answer came.
//!
//! The session option `@failover_fence` rises strictly. An effect runs only while the fence is
//! lower than its own number and raises it in the same step, so neither a second order nor a
//! ghost (a command that timed out and runs when the server wakes) can run it again.

use std::path::Path;

use crate::ids::{PaneId, SessionName};
use crate::terminal::command::{
    Command, Exchange, all_of, guarded, list, marker_value, pane_target, session_target,
};
use crate::terminal::connection::{Connection, Sent};
use crate::terminal::encode::directory;
use crate::terminal::protocol::{Block, Reply};

const FENCE_OPTION: &str = "@failover_fence";
const FENCE: &str = "#{@failover_fence}";
/// Printed by the step that raises a fence in place of its effect.
const RAISED: &str = "failover-raised";

#[derive(Debug, Clone, Copy)]
pub struct Fence<'a> {
    pub session: &'a SessionName,
    pub number: u64,
}

#[derive(Debug)]
pub enum Outcome {
    /// It ran now; what its commands answered.
    Ran(Vec<Block>),
    /// It ran, before or without an answer.
    RanUnheard,
    /// It began, and tmux refused a part of it.
    Failed(String),
    /// Nothing was done: what tmux checked does not hold any more.
    Unmet,
    /// Nothing was done, and nothing will be.
    NotDone(String),
    /// Nobody knows, for as long as tmux cannot be asked.
    Unknown(String),
}

/// Runs `effect` if the pane is in the session and `conditions` hold for that pane.
pub fn in_pane(
    connection: &mut Connection,
    fence: Fence<'_>,
    pane: PaneId,
    conditions: &[String],
    effect: &[Command],
) -> Outcome {
    let target = pane_target(fence.session, pane);
    // For a pane that is elsewhere or gone, `if-shell` would quietly take another one.
    let mut all = vec![has_pane(pane)];
    all.extend_from_slice(conditions);
    run(connection, fence, &target, &all, effect)
}

/// Runs `effect` if the session exists.
pub fn in_session(connection: &mut Connection, fence: Fence<'_>, effect: &[Command]) -> Outcome {
    let target = session_target(fence.session);
    run(connection, fence, &target, &[], effect)
}

fn run(
    connection: &mut Connection,
    fence: Fence<'_>,
    target: &str,
    conditions: &[String],
    effect: &[Command],
) -> Outcome {
    let mut all = vec![fence.belongs(), fence.is_ahead()];
    all.extend_from_slice(conditions);
    let steps = [&fence.raise(), effect].concat();
    let guarded = guarded(target, &all_of(&all), &steps);
    let exchange = Exchange::marked(&[guarded], &session_target(fence.session), FENCE);
    match connection.send(&exchange) {
        Sent::Answered(reply) => fence.judge(reply),
        Sent::Unsent(error) => Outcome::NotDone(error.to_string()),
        Sent::Unanswered(error) => settle(connection, fence, None, &error.to_string()),
    }
}

/// Creates the session with its fence and then runs `effect`. `new_session` must be the
/// `new-session` of `fence.session`; if it exists already, nothing is done.
pub fn with_new_session(
    connection: &mut Connection,
    fence: Fence<'_>,
    cwd: &Path,
    new_session: Command,
    effect: &[Command],
) -> Outcome {
    let steps = [&[new_session], &fence.raise()[..], effect].concat();
    let exchange = Exchange::marked(&steps, &session_target(fence.session), FENCE);
    match connection.send(&exchange) {
        Sent::Answered(reply) if is_duplicate(&reply) => Outcome::Unmet,
        Sent::Answered(reply) => fence.judge(reply),
        Sent::Unsent(error) => Outcome::NotDone(error.to_string()),
        Sent::Unanswered(error) => settle(connection, fence, Some(cwd), &error.to_string()),
    }
}

/// Finds out what became of an effect without an answer, and closes the door behind it: either
/// it ran, or the fence is raised in its place so that it never will.
///
/// With `create_in` the effect was to create the session; a bare one is then made instead,
/// because a fence needs a session to stand in.
fn settle(
    connection: &mut Connection,
    fence: Fence<'_>,
    create_in: Option<&Path>,
    why: &str,
) -> Outcome {
    let unknown = |error: String| Outcome::Unknown(format!("outcome unknown: {why}; then {error}"));
    if let Err(error) = connection.connect() {
        return unknown(error.to_string());
    }
    let raised = Command::new("display-message").option("-p", RAISED);
    let steps = [&fence.raise()[..], &[raised]].concat();
    let target = session_target(fence.session);
    let mut lines = Vec::new();
    if let Some(cwd) = create_in {
        let bare = new_session(fence.session, cwd);
        lines.push(list(&[&[bare], &steps[..]].concat()));
    }
    let check = all_of(&[fence.belongs(), fence.is_ahead()]);
    lines.push(list(&[guarded(&target, &check, &steps)]));
    let exchange = Exchange::marked_lines(&lines, &target, FENCE);
    let reply = match connection.send(&exchange) {
        Sent::Answered(reply) => reply,
        Sent::Unsent(error) | Sent::Unanswered(error) => return unknown(error.to_string()),
    };
    if reply.iter().any(|block| block.text == RAISED.as_bytes()) {
        return Outcome::NotDone(format!("not done: {why}"));
    }
    match marker_value(&reply).parse::<u64>() {
        Ok(number) if number == fence.number => Outcome::RanUnheard,
        Ok(number) => Outcome::NotDone(format!("not done: {why}; the fence is at {number}")),
        // No session, so its panes are gone, and nothing can be done in them.
        Err(_) => Outcome::NotDone(format!("not done: {why}; session {} is gone", fence.session)),
    }
}

/// The session that the format is expanded for shows this pane. `?` stands for the `%`, which
/// some formats take for a time.
pub fn has_pane(pane: PaneId) -> String {
    let number = pane.0;
    format!("#{{!=:#{{W:#{{P:#{{?#{{m:?{number},#{{pane_id}}}},x,}}}}}},}}")
}

/// Leaves all modes of the pane: also a tree or a clock, in which `send-keys -X cancel` is an error. In
/// none it does nothing.
pub fn leave_modes(session: &SessionName, pane: PaneId) -> Command {
    Command::new("copy-mode").flag("-q").pane(session, pane)
}

/// What is typed into the pane goes to it alone. With `synchronize-panes` a key of ours would run what a
/// person has typed in a split and not sent.
pub fn is_typed_alone() -> String {
    "#{==:#{pane_synchronized},0}".to_owned()
}

/// A detached session with a login shell. Errors of tmux: `duplicate session: NAME`.
pub fn new_session(session: &SessionName, cwd: &Path) -> Command {
    Command::new("new-session")
        .flag("-d -P")
        .option("-F", "#{pane_id}")
        .option("-s", session.as_str())
        .option("-c", directory(cwd.as_os_str().as_encoded_bytes()))
        .flag("-x 200 -y 50")
}

/// Keeps the session while nobody is attached, whatever its operator has set for all of theirs. With
/// `destroy-unattached on` the end of any client, even of `tmux ls`, takes every such session along,
/// so this stands in one list with what makes the session: no client ends in between.
pub fn stays(session: &SessionName) -> Command {
    Command::new("set-option").session(session).flag("destroy-unattached off")
}

pub fn is_duplicate(reply: &Reply) -> bool {
    let refused = |block: &Block| !block.ok && block.text.starts_with(b"duplicate session");
    reply.iter().any(refused)
}

impl Fence<'_> {
    fn belongs(&self) -> String {
        format!("#{{==:#{{session_name}},{}}}", self.session)
    }

    /// A fence that was never set counts as 0; one that is no number lets nothing through.
    fn is_ahead(&self) -> String {
        format!("#{{e|<|:{FENCE},{}}}", self.number)
    }

    /// A session that others have made is from its first effect on one that stays, too.
    fn raise(&self) -> [Command; 2] {
        let raise = Command::new("set-option")
            .session(self.session)
            .arg(FENCE_OPTION)
            .arg(self.number.to_string());
        [raise, stays(self.session)]
    }

    /// The guard answers with a block of its own, and each step behind it with another.
    fn judge(&self, mut reply: Reply) -> Outcome {
        let reached = marker_value(&reply).parse() == Ok(self.number);
        reply.pop();
        if let Some(refused) = reply.iter().find(|block| !block.ok) {
            return Outcome::Failed(format!("tmux refused it: {}", refused.lossy()));
        }
        match (reached, reply.len() > 1) {
            (true, true) => Outcome::Ran(reply),
            (true, false) => Outcome::RanUnheard,
            (false, _) => Outcome::Unmet,
        }
    }
}
