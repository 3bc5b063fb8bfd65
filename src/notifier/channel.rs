//! The one interface of all channels, and those that a configuration names.

use std::sync::Arc;

use crate::config::notifications::{Notifications, Rules};
use crate::moment::Wall;
use crate::notifier::failure::Failure;
use crate::notifier::http::Client;
use crate::notifier::message::Message;
use crate::notifier::resend::Resend;
use crate::notifier::telegram::Telegram;
use crate::notifier::webhook::Webhook;

/// Their names, in the configuration, in `/status` and on the command line.
pub const NAMES: [&str; 3] = ["telegram", "resend", "webhook"];

/// A way to tell a person.
pub trait Channel: Send + Sync {
    /// Whether its secrets are there, so that an operator hears of it before the night.
    ///
    /// # Errors
    /// What is missing, and the remedy.
    fn check(&self) -> Result<(), String>;

    /// Hands the message over. Blocks, for the timeout of `client` at most.
    ///
    /// # Errors
    /// It was not taken; the words hold no secret.
    fn send(&self, message: &Message, client: &Client, now: Wall) -> Result<(), Failure>;
}

/// A channel of the configuration.
#[derive(Clone)]
pub struct Configured {
    pub channel: Arc<dyn Channel>,
    pub rules: Rules,
}

/// The channel of this name; `None` when it is not configured.
pub fn configured(config: &Notifications, name: &str) -> Option<Configured> {
    match name {
        "telegram" => config.telegram.clone().map(|telegram| Configured {
            rules: telegram.rules,
            channel: Arc::new(Telegram(telegram)),
        }),
        "resend" => config
            .resend
            .clone()
            .map(|resend| Configured { rules: resend.rules, channel: Arc::new(Resend(resend)) }),
        _ => config.webhook.clone().map(|webhook| Configured {
            rules: webhook.rules,
            channel: Arc::new(Webhook(webhook)),
        }),
    }
}
