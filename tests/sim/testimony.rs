//! What clients write into their conversation files and report by their hooks, and how late the core
//! hears of it.

use std::collections::BTreeMap;

use claude_failover::core::event::{Event, TranscriptSeen};
use claude_failover::ids::{AccountName, ConversationId, ProcessRef};
use claude_failover::moment::Wall;
use claude_failover::quota::report::{Figures, News, Report, Window};
use claude_failover::quota::transcript::{ApiError, Ending};
use claude_failover::quota::verdict::{LimitKind, Reading, Verdict};

use crate::run::{Sim, Step};
use crate::world::Banner;

/// One conversation file: the last entries of each kind, with the process that wrote them.
#[derive(Debug, Clone, Default)]
pub struct Talk {
    writer: Option<ProcessRef>,
    ending: Ending,
    /// A prompt of any process stands in it.
    prompted: bool,
}

impl Talk {
    /// What the whole file says; `None` without a prompt.
    pub fn ending_of_all(&self) -> Option<Ending> {
        self.prompted.then(|| self.ending.clone())
    }
}

/// What a turn ended in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnEnd {
    Answer,
    Refusal,
    Throttle,
    Login,
}

impl Sim {
    fn talk(&mut self, pid: i32) -> Option<&mut Talk> {
        let agent = self.world.agents.get(&pid).filter(|agent| agent.writes)?;
        let (process, id) = (agent.process, agent.conversation.clone());
        self.world.talks_changed = true;
        let talk = self.world.talks.entry(id).or_default();
        if talk.writer != Some(process) {
            // Older than this process: history, whatever it says.
            let prompted = talk.prompted;
            *talk = Talk { writer: Some(process), ending: Ending::default(), prompted };
        }
        Some(talk)
    }

    pub fn writes_prompt(&mut self, pid: i32) {
        let at = Wall(self.wall());
        if let Some(talk) = self.talk(pid) {
            talk.ending.prompted_at = Some(at);
            talk.prompted = true;
        }
        self.reports(pid, News::PromptSubmitted);
    }

    pub fn answered(&mut self, pid: i32) {
        let home = self.world.agents.get(&pid).map(|agent| agent.home.clone());
        let Some(account) = home.and_then(|home| self.world.account_of(&home)) else { return };
        let more = u16::try_from(self.rng.within(0..60)).expect("small");
        let (now, wall, offset) = (self.now, self.wall(), self.wall_offset);
        let truth = self.world.account_mut(&account);
        truth.answered_last = Some(now);
        if truth.window_ends <= now {
            truth.window_ends = now + 5 * 3_600_000;
            truth.used_permille = 0;
        }
        truth.used_permille = (truth.used_permille + more).min(990);
        let left = i64::try_from(truth.window_ends - now).expect("small");
        let resets_at = Some(Wall(wall - offset + left));
        let five_hour = Some(Window { used_permille: truth.used_permille, resets_at });
        self.reports(pid, News::Figures(Figures { five_hour, weekly: None }));
    }

    pub fn writes_progress(&mut self, pid: i32) {
        let at = Wall(self.wall());
        self.answered(pid);
        if let Some(talk) = self.talk(pid) {
            talk.ending.answered_at = Some(at);
            talk.ending.error = None;
        }
    }

    /// The record of how a turn ended, and the hook's word for it.
    pub fn writes_end(&mut self, pid: i32, end: TurnEnd, banner: Option<&Banner>) {
        let at = Wall(self.wall());
        let reading = match end {
            TurnEnd::Answer => {
                self.writes_progress(pid);
                self.reports(pid, News::TurnEnded { last_text: String::new(), background: None });
                return;
            }
            TurnEnd::Refusal => refusal(banner, self.exact_reset(pid)),
            TurnEnd::Throttle => Reading { verdict: Verdict::Throttled, ..Reading::clear() },
            TurnEnd::Login => Reading { verdict: Verdict::AuthFailed, ..Reading::clear() },
        };
        if let Some(talk) = self.talk(pid) {
            let record = format!("{pid} {}", at.0);
            talk.ending.error = Some(ApiError { record, at, reading: reading.clone() });
        }
        self.reports(pid, News::TurnFailed { error: "rate_limit".to_owned(), reading });
    }

    /// The end of the window as the API tells it, when it does.
    fn exact_reset(&self, pid: i32) -> Option<Wall> {
        let agent = self.world.agents.get(&pid)?;
        self.told_reset(&self.world.account_of(&agent.home)?)
    }

    /// A refusal of this account as the client records it.
    pub fn refusal_of(&self, account: &AccountName) -> Reading {
        refusal(Some(&self.banner(account)), self.told_reset(account))
    }

    fn told_reset(&self, account: &AccountName) -> Option<Wall> {
        let account = self.world.account(account);
        let left = i64::try_from(account.refuses_until.saturating_sub(self.now)).expect("small");
        let end = self.wall() - self.wall_offset + left - account.prints_early_ms;
        account.prints_reset.then_some(Wall(end))
    }

    /// Only agents that the daemon launched have its hooks, and a report may get lost.
    pub fn reports(&mut self, pid: i32, news: News) {
        let Some(agent) = self.world.agents.get(&pid) else { return };
        if agent.launched_fence.is_none() || self.life.is_none() {
            return;
        }
        let report = Report {
            // A client starts a moment before it takes its first prompt.
            at: Wall(self.wall() - i64::from(matches!(news, News::SessionStarted { .. })) * 50),
            pid: Some(pid),
            conversation: Some(agent.conversation.clone()),
            transcript: None,
            news,
        };
        if self.rng.chance(50) {
            return;
        }
        let delay = self.rng.within(1..80);
        let life = self.life_number;
        self.at(delay, Step::Deliver { life, event: Event::ReportsReceived(vec![report]) });
    }

    pub fn sense_talks(&mut self) {
        let seen = self.endings_now();
        let Some(life) = &mut self.life else { return };
        let sent = &mut life.sent.talks;
        sent.retain(|process, _| seen.iter().any(|said| said.process == *process));
        let news: Vec<TranscriptSeen> = seen
            .into_iter()
            .filter(|said| sent.insert(said.process, said.clone()).as_ref() != Some(said))
            .collect();
        if !news.is_empty() {
            self.tell("watcher", Event::TranscriptsObserved(news));
        }
    }

    /// The watcher looks for the files of the agents that it has told of with their conversation.
    fn endings_now(&self) -> Vec<TranscriptSeen> {
        let Some(life) = &self.life else { return Vec::new() };
        let mut endings = Vec::new();
        for pane in &life.watched {
            for agent in self.world.agents.values().filter(|a| a.pane == Some(pane.pane)) {
                if agent.old || !agent.filed || !life.sent.has_told_of(agent.process) {
                    continue;
                }
                let talk = self.world.talks.get(&agent.conversation);
                let ending = talk.map(|talk| {
                    if talk.writer == Some(agent.process) {
                        talk.ending.clone()
                    } else {
                        Ending::default()
                    }
                });
                endings.push(TranscriptSeen {
                    session: pane.session.clone(),
                    process: agent.process,
                    conversation: agent.conversation.clone(),
                    ending,
                });
            }
        }
        endings
    }
}

fn refusal(banner: Option<&Banner>, resets_at: Option<Wall>) -> Reading {
    let row = match banner {
        Some(Banner::Limit { row, .. }) => row.clone(),
        Some(Banner::Login | Banner::NoConversation(_)) | None => String::new(),
    };
    let limit = LimitKind::FiveHour;
    let verdict = Verdict::Exhausted { limit, resets_at };
    Reading { verdict, rule: "usage_limit_reached".to_owned(), row, ..Reading::clear() }
}

/// What the core was told last of each agent.
pub type SentTalks = BTreeMap<ProcessRef, TranscriptSeen>;

/// All conversation files.
pub type Talks = BTreeMap<ConversationId, Talk>;
