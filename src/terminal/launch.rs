//! Starting an agent in a session: in its own pane when nothing of the operator's is there,
//! else beside it.

use std::path::{Path, PathBuf};

use crate::core::action::LaunchAgent;
use crate::ids::{PaneId, SessionName};
use crate::launch::LaunchSpec;
use crate::terminal::command::{Command, Exchange, session_target};
use crate::terminal::connection::Connection;
use crate::terminal::create::check_directory;
use crate::terminal::effect::{self, Fence, Outcome};
use crate::terminal::encode::directory;
use crate::terminal::error::TerminalError;
use crate::terminal::leader;
use crate::terminal::protocol::first_text;
use crate::terminal::tell::tell;

/// The panes may change between the look and the effect; then it is planned anew.
const PLANS_MAX: usize = 3;

/// The command a pane was started with comes last: it may hold spaces.
const PANE_FIELDS: &str = "#{pane_id} #{pane_pid} #{pane_dead} #{session_attached} \
    #{e|+|:0,#{@failover_fence}} #{pane_start_command}";

enum Place {
    /// Instead of what runs in this pane, as long as that is still this process.
    Pane {
        pane: PaneId,
        leader_pid: i32,
    },
    /// In front when nobody looks, behind when somebody does.
    Window {
        attached: bool,
    },
    Session,
}

struct PaneFacts {
    pane: PaneId,
    leader_pid: i32,
    dead: bool,
    attached: bool,
    fence: u64,
    start_command: String,
}

/// Starts the agent at most once for this fence and gives its pane. Asked again with the same
/// fence it finds that pane. `None`: it is starting, and tmux cannot be asked where; ask again.
pub fn launch(connection: &mut Connection, order: &LaunchAgent) -> Option<Result<PaneId, String>> {
    let spec = spec_path(connection, order);
    match try_launch(connection, order, &spec) {
        Err(Trouble::NotDone(why)) => Some(Err(why)),
        // Whoever removes the file decides: without it a command that comes late starts nothing.
        Err(Trouble::Unknown(why)) => match fs_err::remove_file(&spec) {
            Ok(()) => Some(Err(format!("withdrawn: {why}"))),
            Err(_) => None,
        },
        Ok(pane) => Some(Ok(pane)),
    }
}

enum Trouble {
    /// It did not run and will not, or has ended already.
    NotDone(String),
    /// It may have run, or may still.
    Unknown(String),
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Trouble::NotDone(why)
    }
}

fn try_launch(
    connection: &mut Connection,
    order: &LaunchAgent,
    spec: &Path,
) -> Result<PaneId, Trouble> {
    for _ in 0..PLANS_MAX {
        let panes = look(connection, &order.session)?;
        let reached = panes.iter().map(|facts| facts.fence).max().unwrap_or(0);
        if reached == order.fence {
            return Ok(launched_before(&panes, order, spec)?);
        }
        if reached > order.fence {
            let (session, fence) = (&order.session, order.fence);
            let why =
                format!("not done: the fence of session {session} is at {reached}, beyond {fence}");
            return Err(Trouble::NotDone(why));
        }
        check_directory(&order.session, &order.cwd)?;
        // INVARIANT: before the pane is looked into. It takes as long as the disk does, and whoever
        // begins something there meanwhile must be seen.
        write_spec(order, spec)?;
        let place = choose(&panes, order, &connection.settings.launcher);
        let outcome = start(connection, order, &place, spec);
        if let Outcome::NotDone(_) | Outcome::Failed(_) = outcome {
            // Nobody will read it; a leftover is not worth an error.
            let _ = fs_err::remove_file(spec);
        }
        match outcome {
            Outcome::Ran(blocks) => {
                let printed = blocks.iter().find_map(|block| block.lossy().parse().ok());
                return Ok(arrived(connection, order, &place, printed)?);
            }
            Outcome::RanUnheard => {
                let panes = look(connection, &order.session)?;
                return Ok(launched_before(&panes, order, spec)?);
            }
            Outcome::Unmet => {}
            Outcome::Failed(why) | Outcome::NotDone(why) => return Err(Trouble::NotDone(why)),
            Outcome::Unknown(why) => return Err(Trouble::Unknown(why)),
        }
    }
    let _ = fs_err::remove_file(spec);
    Err(Trouble::NotDone(format!(
        "not done: the panes of session {} changed {PLANS_MAX} times while an agent was to start",
        order.session
    )))
}

/// All panes of the session; none when there is no such session.
fn look(connection: &mut Connection, session: &SessionName) -> Result<Vec<PaneFacts>, Trouble> {
    let command = Command::new("list-panes").flag("-s").session(session).option("-F", PANE_FIELDS);
    let reply = connection.read_one(Exchange::plain(&[command])).map_err(|error| match error {
        // It hangs, and what it was asked before may have been done.
        TerminalError::TimedOut { .. } => Trouble::Unknown(error.to_string()),
        // Without a server there is no pane either, nor will there be this one.
        other => Trouble::NotDone(format!("not done: {other}")),
    })?;
    let rows = match reply.as_slice() {
        [block] if block.ok => block.lossy(),
        [block] if block.text.starts_with(b"can't find session") => return Ok(Vec::new()),
        other => {
            let why = first_text(other);
            return Err(format!("not done: panes of session {session}: {why}").into());
        }
    };
    rows.lines()
        .map(|row| {
            let unexpected = || format!("not done: unexpected pane row {row:?}").into();
            parse_facts(row).ok_or_else(unexpected)
        })
        .collect()
}

fn parse_facts(row: &str) -> Option<PaneFacts> {
    let fields: Vec<&str> = row.splitn(6, ' ').collect();
    let [pane, pid, dead, attached, fence, start_command] = fields.try_into().ok()?;
    Some(PaneFacts {
        pane: pane.parse().ok()?,
        leader_pid: pid.parse().ok()?,
        dead: dead == "1",
        attached: attached != "0",
        // A fence that is no number lets nothing through in tmux; here it must not either.
        fence: if fence.is_empty() { u64::MAX } else { fence.parse().ok()? },
        start_command: start_command.to_owned(),
    })
}

fn choose(panes: &[PaneFacts], order: &LaunchAgent, launcher: &Path) -> Place {
    let Some(first) = panes.first() else {
        return Place::Session;
    };
    let wanted = panes.iter().find(|facts| Some(facts.pane) == order.pane);
    // An earlier launch that nobody heard of any more has made a window of its own: this one
    // takes its place, or two agents would stand in one session.
    let earlier = panes.iter().filter(|facts| is_of_earlier_launch(facts, order));
    let free = |facts: &&PaneFacts| facts.dead || leader::is_free(facts.leader_pid, launcher);
    match wanted.into_iter().chain(earlier).find(free) {
        Some(facts) => Place::Pane { pane: facts.pane, leader_pid: facts.leader_pid },
        None => Place::Window { attached: first.attached },
    }
}

fn is_of_earlier_launch(facts: &PaneFacts, order: &LaunchAgent) -> bool {
    facts.start_command.contains(&format!("/launch/{}-", order.session))
}

fn start(connection: &mut Connection, order: &LaunchAgent, place: &Place, spec: &Path) -> Outcome {
    let session = &order.session;
    let fence = Fence { session, number: order.fence };
    let launcher = connection.settings.launcher.clone();
    let run = |command: Command| {
        command
            .flag("--")
            .arg(launcher.as_os_str().as_encoded_bytes())
            .arg("launch")
            .arg("--spec")
            .arg(spec.as_os_str().as_encoded_bytes())
    };
    let cwd = directory(order.cwd.as_os_str().as_encoded_bytes());
    let facts = facts_of(order);
    match place {
        Place::Pane { pane, leader_pid } => {
            let respawn =
                Command::new("respawn-pane").flag("-k").pane(session, *pane).option("-c", cwd);
            let same_leader = format!("#{{==:#{{pane_pid}},{leader_pid}}}");
            let effect = [vec![run(respawn)], facts].concat();
            effect::in_pane(connection, fence, *pane, &[same_leader], &effect)
        }
        Place::Window { attached } => {
            let window = Command::new("new-window")
                .flag(if *attached { "-d -P" } else { "-P" })
                .option("-F", "#{pane_id}")
                .option("-t", session_target(session))
                .option("-c", cwd);
            effect::in_session(connection, fence, &[vec![run(window)], facts].concat())
        }
        Place::Session => {
            let create = run(effect::new_session(session, &order.cwd));
            effect::with_new_session(connection, fence, &order.cwd, create, &facts)
        }
    }
}

/// What a later daemon reads to adopt this session.
fn facts_of(order: &LaunchAgent) -> Vec<Command> {
    let options = [
        ("@failover_session", order.session.as_str()),
        ("@failover_account", order.account.as_str()),
        ("@failover_uuid", order.conversation.as_str()),
    ];
    let set =
        |(name, value)| Command::new("set-option").session(&order.session).arg(name).arg(value);
    options.map(set).to_vec()
}

fn arrived(
    connection: &mut Connection,
    order: &LaunchAgent,
    place: &Place,
    printed: Option<PaneId>,
) -> Result<PaneId, String> {
    if let Place::Pane { pane, .. } = place {
        return Ok(*pane);
    }
    let pane = printed.ok_or("it ran, but tmux did not say in which pane")?;
    if let Place::Window { attached: true } = place {
        let text = format!(
            "claude-failover: the agent of {} goes on in a new window ({pane})",
            order.session
        );
        tell(connection, &order.session, &text);
    }
    Ok(pane)
}

/// The pane in which this very launch has run; tmux keeps the command a pane was started with.
fn launched_before(
    panes: &[PaneFacts],
    order: &LaunchAgent,
    spec: &Path,
) -> Result<PaneId, String> {
    let name = format!("/{}", spec_name(order));
    let started = |facts: &&PaneFacts| facts.start_command.contains(&name);
    panes.iter().find(started).map(|facts| facts.pane).ok_or_else(|| {
        format!(
            "it ran, but no pane of session {} was started with {} any more",
            order.session,
            spec.display()
        )
    })
}

fn spec_name(order: &LaunchAgent) -> String {
    format!("{}-{}.json", order.session, order.fence)
}

fn spec_path(connection: &Connection, order: &LaunchAgent) -> PathBuf {
    let dir = connection.settings.runtime_dir.join("launch");
    dir.join(spec_name(order))
}

fn write_spec(order: &LaunchAgent, path: &Path) -> Result<(), String> {
    let spec = LaunchSpec {
        argv: order.argv.clone(),
        cwd: order.cwd.clone(),
        home: order.home.clone(),
        env: order.env.clone(),
    };
    let failed = |error: std::io::Error| {
        format!("not done: writing the launch file {}: {error}", path.display())
    };
    let dir = path.parent().unwrap_or(Path::new("/"));
    fs_err::create_dir_all(dir).map_err(failed)?;
    spec.write(path).map_err(failed)
}
