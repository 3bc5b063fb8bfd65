//! Every event in every phase: answered or dropped, never a panic, and always replayable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use claude_failover::core::Core;
use claude_failover::core::action::{Action, AskId, OrderId};
use claude_failover::core::durable::{Durable, Phase};
use claude_failover::core::event::{
    AccountVerb, AgentHome, AgentSeen, AgentState, AgentsObserved, DialogEnd, Event, PaneReading,
    PaneSeen, PaneStamp, ProbeEnd, SignalSeen, StuckVerb, TasksOffered, TranscriptSeen, Verb,
};
use claude_failover::core::record::Record;
use claude_failover::ids::{AccountName, ConversationId, PaneId, ProcessRef, SessionName, TaskRef};
use claude_failover::moment::{Mono, Now, Wall};
use claude_failover::quota::report::{News, Report};
use claude_failover::quota::transcript::{ApiError, Ending};
use claude_failover::quota::verdict::{LimitKind, Reading, Verdict};

use crate::run::Sim;

/// Histories that are cut to find a journal for each phase.
const HISTORIES: u64 = 800;

/// Journals tried for each phase.
const JOURNALS: usize = 3;

const PHASES: [Phase; 12] = [
    Phase::Planned,
    Phase::Checked,
    Phase::Probing,
    Phase::Saved,
    Phase::Stopped,
    Phase::Flipped,
    Phase::Relaunched,
    Phase::Verified,
    Phase::Aborting,
    Phase::Unflipped,
    Phase::Restored,
    Phase::Stuck,
];

struct Case {
    config: Arc<claude_failover::config::Config>,
    journal: Vec<Record>,
}

/// Journals that end in each phase, cut from played histories.
fn cases() -> BTreeMap<Option<Phase>, Vec<Case>> {
    let mut cases: BTreeMap<Option<Phase>, Vec<Case>> = BTreeMap::new();
    for seed in 0..HISTORIES {
        let mut sim = Sim::new(&seed.into(), false);
        sim.run();
        let mut durable = Durable::default();
        let mut last = None;
        for (index, record) in sim.disk.records().iter().enumerate() {
            durable.apply(record).expect("the journal is ours");
            let phase = durable.swap.as_ref().map(|swap| swap.phase);
            let of_phase = cases.entry(phase).or_default();
            if phase != last && of_phase.len() < JOURNALS {
                let journal = sim.disk.records()[..=index].to_vec();
                of_phase.push(Case { config: sim.config.clone(), journal });
            }
            last = phase;
        }
    }
    cases
}

fn events(core: &Core) -> Vec<Event> {
    let config = &core.config;
    let session = config.desired_sessions()[0].0.clone();
    let account = config.accounts[0].name.clone();
    let moving = core.durable.moves.values().next();
    let conversation = moving.and_then(|moving| moving.agent.conversation.clone());
    let pane = PaneId(7);
    let row = PaneSeen {
        session: session.to_string(),
        session_made: Wall(0),
        pane,
        leader_pid: 70,
        dead: false,
        in_mode: false,
        active: true,
        attached: 0,
        typed_at: None,
        title: String::new(),
        fence: Some(3),
        stamp: PaneStamp::default(),
    };
    let mut events = vec![
        Event::SessionsObserved { panes: Vec::new() },
        Event::SessionsObserved { panes: vec![row] },
        Event::TerminalLost { reason: "gone".to_owned() },
        Event::TerminalConnected,
        asked(Verb::Reload),
        Event::ConfigReloaded(config.clone()),
        Event::ConfigRejected { problems: vec!["a: b".to_owned()] },
        Event::StopRequested,
        Event::ComponentExited { name: "monitor".to_owned(), error: Some("x".to_owned()) },
        Event::DeadlineReached,
        Verb::Swap { to: None }.into(),
        asked(Verb::Swap { to: None }),
        asked(Verb::Stuck(StuckVerb::Rollback)),
        asked(Verb::Stuck(StuckVerb::Resume)),
        asked(Verb::Stuck(StuckVerb::Clear)),
        asked(Verb::Pause { length: None }),
        asked(Verb::Pause { length: Some(Duration::from_secs(30)) }),
        asked(Verb::Drain { session: None }),
        asked(Verb::Drain { session: Some(session.clone()) }),
        asked(Verb::Resume { session: None }),
        asked(Verb::Resume { session: Some(session.clone()) }),
        asked(Verb::Stop),
    ];
    events.extend(of_tasks(core, &session));
    for account in &config.accounts {
        let account = account.name.clone();
        events.push(asked(Verb::Swap { to: Some(account.clone()) }));
        for verb in [AccountVerb::Hold, AccountVerb::Release, AccountVerb::Pin] {
            events.push(asked(Verb::Account { verb, account: account.clone() }));
        }
    }
    events.extend(sightings(&session, pane, &account, conversation.as_ref()));
    let sessions: Vec<SessionName> = core.durable.moves.keys().cloned().chain([session]).collect();
    for number in 1..8 {
        events.extend(answers(OrderId(number), &sessions, account.clone()));
    }
    events
}

fn asked(verb: Verb) -> Event {
    Event::VerbRequested { verb, ask: Some(AskId(1)) }
}

/// Answers that are owed at the end: each verb's own, and a reload's when the file has been read.
fn answers_owed(events: &[&Event]) -> usize {
    let (mut owed, mut reloads) = (0, 0);
    for event in events {
        match event {
            Event::VerbRequested { verb: Verb::Reload, ask } => {
                reloads += usize::from(ask.is_some());
            }
            Event::VerbRequested { ask, .. } => owed += usize::from(ask.is_some()),
            Event::ConfigReloaded(_) | Event::ConfigRejected { .. } => {
                owed += std::mem::take(&mut reloads);
            }
            _ => {}
        }
    }
    owed
}

/// What may be said of the first task in hand, or of one that nobody has.
fn of_tasks(core: &Core, session: &SessionName) -> Vec<Event> {
    let job = core.durable.jobs.iter().next();
    let session = job.map_or(session, |(session, _)| session).clone();
    let task: TaskRef = job
        .map_or_else(|| "p:none".parse().expect("a valid name"), |(_, job)| job.offer.task.clone());
    let signal = |done| SignalSeen {
        session: session.clone(),
        done,
        at: Wall(1_772_352_000_000),
        text: String::new(),
    };
    let offers = job.map(|(_, job)| job.offer.clone()).into_iter().collect();
    let mut events = vec![
        Event::TasksOffered(TasksOffered { offers, ..TasksOffered::default() }),
        Event::SignalsSeen(vec![signal(true), signal(false)]),
        Event::ToolsWorked {
            session: session.clone(),
            process: ProcessRef { pid: 71, started_ticks: 1 },
        },
        asked(Verb::TaskRetry { task: task.clone() }),
        asked(Verb::TaskCancel { task: task.clone() }),
    ];
    for order in (1..3).map(OrderId) {
        let failed = || "it failed".to_owned();
        let (task, session) = (task.clone(), session.clone());
        events.extend([
            Event::TaskClaimed { order, task: task.clone(), result: Err(failed()) },
            Event::TaskReleased { order, task: task.clone(), result: Ok(()) },
            Event::TaskClosed { order, task, result: Err(failed()) },
            Event::SignalsCleared { order, session: session.clone(), result: Ok(()) },
            Event::ConversationRead { order, session: session.clone(), result: Ok(None) },
            Event::ConversationRead { order, session: session.clone(), result: Err(failed()) },
            Event::DialogHandled { order, session, result: Ok(DialogEnd::Gone) },
        ]);
    }
    events
}

/// An agent, and what its screen may show.
fn sightings(
    session: &SessionName,
    pane: PaneId,
    account: &AccountName,
    conversation: Option<&ConversationId>,
) -> Vec<Event> {
    let mut events = Vec::new();
    for state in [AgentState::Idle, AgentState::Busy, AgentState::Unknown] {
        for home in [AgentHome::Homed(account.clone()), AgentHome::Linked, AgentHome::Elsewhere] {
            events.push(Event::AgentsObserved(AgentsObserved {
                order: None,
                agents: vec![AgentSeen {
                    session: session.clone(),
                    pane,
                    process: ProcessRef { pid: 71, started_ticks: 1 },
                    started_at: Wall::default(),
                    home: home.clone(),
                    conversation: conversation.cloned(),
                    state: state.clone(),
                    state_since: Wall(0),
                    args: None,
                    cwd: "/".into(),
                }],
                link: Some(account.clone()),
                linked_foreign: 1,
                credentials_changed: Vec::new(),
            }));
        }
    }
    for verdict in [
        Verdict::Clear,
        Verdict::AuthFailed,
        Verdict::Exhausted { limit: LimitKind::Weekly, resets_at: None },
        Verdict::Exhausted { limit: LimitKind::FiveHour, resets_at: Some(Wall(i64::MAX / 2)) },
    ] {
        let reading = Reading {
            verdict,
            missing_conversation: conversation.cloned(),
            row: "You've hit".to_owned(),
            ..Reading::clear()
        };
        let session = session.clone();
        let process = ProcessRef { pid: 71, started_ticks: 1 };
        let at = Wall(1_772_352_000_000);
        let news = News::TurnFailed { error: "rate_limit".to_owned(), reading: reading.clone() };
        let (pid, transcript) = (Some(71), None);
        let conversation = conversation.cloned();
        let report = Report { at, pid, conversation: conversation.clone(), transcript, news };
        events.push(Event::ReportsReceived(vec![report]));
        for file_is_there in [true, false] {
            let record = "r".to_owned();
            let error = Some(ApiError { record, at, reading: reading.clone() });
            let ending = file_is_there.then(|| Ending { error, ..Ending::default() });
            let talk = "82840528-5c4e-4114-8dc2-50dc43ea65c9".parse().expect("a valid id");
            let (session, conversation) = (session.clone(), conversation.clone().unwrap_or(talk));
            let said = TranscriptSeen { session, process, conversation, ending };
            events.push(Event::TranscriptsObserved(vec![said]));
        }
        events.push(Event::PanesObserved(vec![PaneReading { session, pane, reading }]));
    }
    events
}

fn answers(order: OrderId, sessions: &[SessionName], link: AccountName) -> Vec<Event> {
    let failed = || "it failed".to_owned();
    let survivor = ProcessRef { pid: 71, started_ticks: 1 };
    let mut events = vec![
        Event::TargetChecked { order, result: Ok(()) },
        Event::TargetChecked { order, result: Err(failed()) },
        Event::AgentsStopped { order, survivors: Vec::new(), left_behind: Vec::new() },
        Event::AgentsStopped {
            order,
            survivors: vec![(survivor, failed())],
            left_behind: vec![(survivor, failed())],
        },
        Event::LinkFlipped { order, result: Ok(()) },
        Event::LinkFlipped { order, result: Err(failed()) },
        Event::AccountProbed { order, account: link.clone(), result: Ok(ProbeEnd::Answered) },
        Event::AccountProbed { order, account: link.clone(), result: Err(failed()) },
        Event::AgentsObserved(AgentsObserved {
            order: Some(order),
            agents: Vec::new(),
            link: Some(link),
            linked_foreign: 0,
            credentials_changed: Vec::new(),
        }),
    ];
    for session in sessions {
        let session = session.clone();
        let pane = PaneId(9);
        events.extend([
            Event::SessionCreated { order, session: session.clone(), result: Ok(pane) },
            Event::SessionCreated { order, session: session.clone(), result: Err(failed()) },
            Event::AgentLaunched { order, session: session.clone(), result: Ok(pane) },
            Event::AgentLaunched { order, session: session.clone(), result: Err(failed()) },
            Event::PaneRead { order, session: session.clone(), result: Ok(Vec::new()) },
            Event::PaneRead { order, session, result: Err(failed()) },
        ]);
    }
    events
}

/// Recovers, starts, handles the events; every record must follow the journal.
fn play(case: &Case, events: &[&Event]) {
    let mut durable = Durable::default();
    for record in &case.journal {
        durable.apply(record).expect("the journal is ours");
    }
    let mut core = Core::recover(case.config.clone(), &case.journal).expect("it recovers");
    let at = |step: usize| Now {
        monotonic: Mono(step as u64 * 40_000),
        wall: Wall(1_772_352_000_000 + i64::try_from(step).expect("small") * 40_000),
    };
    let link = core.durable.active.clone();
    let started = Record::DaemonStarted { version: "t".to_owned(), pid: 1 };
    let mut actions = core.start(at(0), link, started);
    for (event, step) in events.iter().zip(1..) {
        actions.extend(core.handle(at(step), (*event).clone()));
    }
    let answers = actions.iter().filter(|action| matches!(action, Action::Answer { .. }));
    assert_eq!(answers.count(), answers_owed(events), "{events:?}");
    for action in actions {
        if let Action::Persist(record) = action {
            durable.apply(&record).expect("the record follows the journal");
        }
    }
    assert!(durable == core.durable, "the state is not what its records say");
    let text = serde_json::to_string(&core.durable).expect("it has a text");
    let again: Durable = serde_json::from_str(&text).expect("its text reads back");
    assert!(again == core.durable, "the state changes on disk");
}

#[test]
fn every_event_in_every_phase_is_answered_and_replayable() {
    let cases = cases();
    for phase in PHASES {
        assert!(cases.contains_key(&Some(phase)), "no history reaches {phase:?}");
    }
    let mut played = 0_u64;
    for case in cases.values().flatten() {
        let core = Core::recover(case.config.clone(), &case.journal).expect("it recovers");
        let events = events(&core);
        let listing = &events[1];
        for event in &events {
            play(case, &[event]);
            play(case, &[listing, event]);
            play(case, &[&Event::StopRequested, event]);
            for next in events.iter().step_by(7) {
                play(case, &[listing, event, next]);
                played += 1;
            }
        }
    }
    assert!(played > 5_000, "only {played} pairs were played");
}
