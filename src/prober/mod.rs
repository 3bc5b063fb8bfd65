//! The executor that asks an account one question, to learn whether it takes requests again.
//!
//! Each question is answered by one event. It runs the client without a screen ([`question`]), reads
//! nothing of the account but what that client prints, and touches no agent, link or pane. A thread
//! of its own, for an answer may take a minute and holds nobody up: neither swaps nor our end.
//!
//! A hint and no proof, either way. The client's `-p` has been refused while its screens went on
//! (anthropics/claude-code#86272), its vendor has announced and put off that it be paid apart from
//! the plan (help article 15036540), and the small model answers while another's own limit stands,
//! or from usage credits. Where there is an agent to start, its first turn is the better question.

pub mod question;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use crate::agent_settings::client_version::Asked;
use crate::clock::Clock;
use crate::component::{Component, INBOX_ORDERS_MAX};
use crate::config::Config;
use crate::core::action::OrderId;
use crate::core::event::{Event, ProbeEnd};
use crate::ids::AccountName;
use crate::prober::question::Question;
use crate::process::run::{Output, RunError};
use crate::quota::headless::{self, Told};
use crate::quota::verdict::{Context, Reading, Verdict};

/// Characters of a text of the client that stand in an answer.
const TEXT_CHARS_MAX: usize = 300;

pub struct Settings {
    pub config: Arc<Config>,
    pub clock: Clock,
    /// The zone in which the client prints resets; `None` = UTC.
    pub zone: Option<String>,
    /// [`question::TIMEOUT`], but for tests.
    pub timeout: Duration,
}

#[derive(Debug, Clone)]
pub enum Order {
    /// → `AccountProbed`, after `timeout` and [`question::STOP_GRACE`] at most, and those of the
    /// questions before it.
    Probe { order: OrderId, account: AccountName },
    /// Not answered; holds for the orders after it.
    Reconfigure(Arc<Config>),
}

pub fn spawn(settings: Settings, events: Sender<Event>) -> io::Result<Component<Order>> {
    Component::spawn("prober", events, move |orders, events| {
        Prober { settings, asked: Asked::default() }.run(&orders, events);
        Ok(())
    })
}

struct Prober {
    settings: Settings,
    /// A flag that the client does not know would end it.
    asked: Asked,
}

/// The inbox, and what came while a question was under way: only who takes from it learns that
/// nobody sends any more.
struct Inbox<'a> {
    orders: &'a Receiver<Order>,
    waiting: VecDeque<Order>,
    is_closed: bool,
}

impl Inbox<'_> {
    fn next(&mut self) -> Option<Order> {
        if self.is_closed {
            return None;
        }
        self.waiting.pop_front().or_else(|| self.orders.recv().ok())
    }

    /// Whether there is still somebody to answer.
    fn is_open(&mut self) -> bool {
        while self.waiting.len() < INBOX_ORDERS_MAX {
            match self.orders.try_recv() {
                Ok(order) => self.waiting.push_back(order),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.is_closed = true;
                    break;
                }
            }
        }
        !self.is_closed
    }
}

impl Prober {
    fn run(mut self, orders: &Receiver<Order>, events: &Sender<Event>) {
        let mut inbox = Inbox { orders, waiting: VecDeque::new(), is_closed: false };
        while let Some(order) = inbox.next() {
            match order {
                Order::Probe { order, account } => {
                    let result = self.probe(&account, &mut inbox);
                    if events.send(Event::AccountProbed { order, account, result }).is_err() {
                        return;
                    }
                }
                Order::Reconfigure(config) => {
                    self.settings.config = config;
                    self.asked.forget();
                }
            }
        }
    }

    fn probe(&mut self, account: &AccountName, inbox: &mut Inbox<'_>) -> Result<ProbeEnd, String> {
        let config = &self.settings.config;
        let account = config
            .account(account)
            .ok_or_else(|| format!("no account {account} in the configuration"))?;
        let question = Question::new(config, account, &mut self.asked)?;
        let output = question
            .ask(self.settings.timeout, &mut || inbox.is_open())
            .map_err(|error: RunError| error.to_string())?;
        let context = Context {
            now: self.settings.clock.wall(),
            zone: self.settings.zone.as_deref(),
            patterns: &config.quota.patterns,
        };
        end_of(&output, &context)
    }
}

fn end_of(output: &Output, context: &Context<'_>) -> Result<ProbeEnd, String> {
    match headless::read(&output.stdout, context) {
        Some(Told::Answered) if output.status.success() => Ok(ProbeEnd::Answered),
        Some(Told::Failed(reading)) => refused(reading),
        Some(Told::Answered) | None => Err(format!(
            "the client ended with {} and no answer that we know: {:?}",
            output.status,
            first_words(output)
        )),
    }
}

/// Only what lasts refuses an account; all else would be asked again before it is believed.
fn refused(reading: Reading) -> Result<ProbeEnd, String> {
    let why = match reading.verdict {
        Verdict::Exhausted { .. } | Verdict::SpendLimit { .. } | Verdict::AuthFailed => {
            return Ok(ProbeEnd::Refused(reading));
        }
        Verdict::Throttled => "it was throttled",
        Verdict::ServerError => "the server failed",
        Verdict::ModelLimit => "one model's limit refused it",
        Verdict::Warning => "it failed beside a warning",
        Verdict::Clear => "it failed for a reason that is not the account's",
    };
    Err(format!("{why}: {:?}", cut(&reading.row)))
}

fn first_words(output: &Output) -> String {
    let texts = [&output.stderr, &output.stdout].map(|bytes| String::from_utf8_lossy(bytes));
    let mut lines = texts.iter().flat_map(|text| text.lines()).map(str::trim);
    cut(lines.find(|line| !line.is_empty()).unwrap_or_default())
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}
