//! `notify --test`: one message through each configured channel, whether the daemon runs or not, and
//! what came of it. Quiet hours and levels do not count: who asks wants to see it now.

use std::path::PathBuf;

use crate::cli::assemble::{host_name, host_zone};
use crate::cli::exit;
use crate::cli::say;
use crate::clock::Clock;
use crate::config::load::{DEFAULT_PATH, load};
use crate::config::notifications::{Level, Notifications};
use crate::core::notice::Notice;
use crate::moment::Wall;
use crate::notifier::channel::{self, Configured};
use crate::notifier::http::{Client, TIMEOUT};
use crate::notifier::message::{Message, Part, Reader};

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Send one test message through each channel
    #[arg(long, required = true)]
    test: bool,
    /// Through this channel alone: telegram, resend or webhook
    #[arg(long, value_name = "NAME", value_parser = channel::NAMES)]
    channel: Option<String>,
    /// Instead of /etc/claude-failover/config.yaml
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH, hide_default_value = true)]
    config: PathBuf,
}

/// 0: each channel has taken it. 1: one has not, or there is none.
pub fn run(args: &Args) -> u8 {
    debug_assert!(args.test, "required by its definition");
    let config = match load(&args.config) {
        Ok(loaded) => loaded.config.notifications,
        Err(error) => {
            say::error(error);
            return exit::CONFIG;
        }
    };
    let channels = chosen(&config, args.channel.as_deref());
    if channels.is_empty() {
        let which = args.channel.as_deref().unwrap_or("telegram, resend or webhook");
        say::error(format_args!("no channel to test: write {which} under notifications"));
        return exit::FAILED;
    }
    if channels.iter().any(|(_, configured)| configured.channel.check().is_err()) {
        say::error(
            "note: secrets that only the daemon's unit gives it (LoadCredential=, Environment=) are \
             not seen here; what its own messages came to is in /status under notifications",
        );
    }
    let (clock, client) = (Clock::start(), Client::new(TIMEOUT));
    let message = message(&config, clock.wall());
    let mut code = exit::OK;
    for (name, configured) in channels {
        match configured.channel.send(&message, &client, clock.wall()) {
            Ok(()) => say::line(format_args!("{name}: sent")),
            Err(failure) => {
                say::line(format_args!("{name}: not sent: {failure}"));
                code = exit::FAILED;
            }
        }
    }
    code
}

fn chosen(config: &Notifications, only: Option<&str>) -> Vec<(&'static str, Configured)> {
    channel::NAMES
        .into_iter()
        .filter(|name| only.is_none_or(|only| only == *name))
        .filter_map(|name| Some((name, channel::configured(config, name)?)))
        .collect()
}

fn message(config: &Notifications, now: Wall) -> Message {
    let notice = Notice {
        key: "test/".to_owned(),
        level: Level::Info,
        at: now,
        title: "Test message of claude-failover".to_owned(),
        lines: vec![
            "Why: you asked for it (claude-failover notify --test)".to_owned(),
            "You: nothing to do; messages arrive here".to_owned(),
        ],
    };
    let (host, zone) = (host_name(), config.time_zone.clone().or_else(host_zone));
    let reader = Reader { host: &host, zone: zone.as_deref() };
    let id = format!("{host}-test-{}", now.0);
    reader.compose(id, &[Part { notice: &notice, again: 0 }], 0)
}
