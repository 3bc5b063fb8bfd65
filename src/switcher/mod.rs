//! The executor of a swap's effects outside tmux: check the target, stop agents, flip the link.
//! Before each swap it also sees to the settings that agents are launched with.
//!
//! Each order is answered by one event. It starts no agent and types nothing.

pub mod check;

use std::io;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use crate::agent_settings::AgentSettings;
use crate::component::Component;
use crate::config::Config;
use crate::core::action::OrderId;
use crate::core::event::Event;
use crate::files::{self, Flip};
use crate::ids::{AccountName, ProcessRef};
use crate::process::shell::{login_path, login_shell};
use crate::process::stop::{StopOutcome, stop_trees};

#[derive(Debug, Clone)]
pub enum Order {
    /// → `TargetChecked`
    CheckTarget { order: OrderId, account: AccountName },
    /// → `AgentsStopped`, after `swap.stop_grace` and `stop::KILLED_WAIT` at most.
    StopAgents { order: OrderId, agents: Vec<ProcessRef> },
    /// → `LinkFlipped`
    FlipLink { order: OrderId, to: AccountName },
    /// Not answered; holds for the orders after it.
    Reconfigure(Arc<Config>),
}

/// Processes, and why.
type Troubled = Vec<(ProcessRef, String)>;

/// Starts the component. Before its first order it asks the login shell for its PATH and the
/// client for its version.
pub fn spawn(
    config: Arc<Config>,
    settings: AgentSettings,
    events: Sender<Event>,
) -> io::Result<Component<Order>> {
    Component::spawn("switcher", events, move |orders, events| {
        Switcher::new(config, settings).run(&orders, events);
        Ok(())
    })
}

struct Switcher {
    config: Arc<Config>,
    settings: AgentSettings,
    /// Kept, because a profile may take a second and a swap has none to spare.
    login_path: Option<String>,
}

impl Switcher {
    fn new(config: Arc<Config>, settings: AgentSettings) -> Self {
        let mut switcher = Self { config, settings, login_path: login_path(&login_shell()) };
        switcher.refresh_settings();
        switcher
    }

    fn run(mut self, orders: &Receiver<Order>, events: &Sender<Event>) {
        for order in orders {
            if let Some(answer) = self.carry_out(order)
                && events.send(answer).is_err()
            {
                return;
            }
        }
    }

    fn carry_out(&mut self, order: Order) -> Option<Event> {
        match order {
            Order::CheckTarget { order, account } => {
                Some(Event::TargetChecked { order, result: self.check(&account) })
            }
            Order::StopAgents { order, agents } => {
                let (survivors, left_behind) = self.stop(&agents);
                Some(Event::AgentsStopped { order, survivors, left_behind })
            }
            Order::FlipLink { order, to } => {
                Some(Event::LinkFlipped { order, result: self.flip(&to) })
            }
            Order::Reconfigure(config) => {
                self.config = config;
                self.settings.forget_client();
                self.refresh_settings();
                None
            }
        }
    }

    fn check(&mut self, account: &AccountName) -> Result<(), String> {
        let resolved = check::resolve_agent(&self.config, self.login_path.as_deref());
        let agent = resolved.or_else(|_| {
            // Installed, or put on the PATH, since we last asked.
            self.login_path = login_path(&login_shell());
            check::resolve_agent(&self.config, self.login_path.as_deref())
        });
        // The client may have updated itself since.
        let agent = agent.and_then(|program| self.settings.refresh(&self.config, &program));
        let problems: Vec<String> =
            [check::target_problems(&self.config, account), agent.err().into_iter().collect()]
                .concat();
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems.join("; ")),
        }
    }

    /// Outside a swap: what cannot be written now stays as it is, and is tried again before one.
    fn refresh_settings(&mut self) {
        let agent = check::resolve_agent(&self.config, self.login_path.as_deref());
        let refreshed = agent.and_then(|program| self.settings.refresh(&self.config, &program));
        if let Err(error) = refreshed {
            log::warn!("the settings of agents stay as they are: {error}");
        }
    }

    /// Who lives on, and who has left something behind.
    fn stop(&self, agents: &[ProcessRef]) -> (Troubled, Troubled) {
        let (mut survivors, mut left_behind) = (Vec::new(), Vec::new());
        for (process, outcome) in stop_trees(agents, self.config.swap.stop_grace) {
            match outcome {
                StopOutcome::AlreadyGone | StopOutcome::Stopped => {}
                StopOutcome::Survived(why) => survivors.push((process, why)),
                StopOutcome::LeftBehind(why) => left_behind.push((process, why)),
            }
        }
        (survivors, left_behind)
    }

    fn flip(&self, to: &AccountName) -> Result<(), String> {
        let account = self
            .config
            .account(to)
            .ok_or_else(|| format!("no account {to} in the configuration"))?;
        let link = &self.config.link;
        match files::flip_link(link, &account.home) {
            Ok(Flip::Done) => log::debug!("link={} to={to} flipped", link.display()),
            Ok(Flip::Already) => log::debug!("link={} to={to} was there already", link.display()),
            Err(error) => return Err(format!("cannot flip to {to}: {error}")),
        }
        Ok(())
    }
}
