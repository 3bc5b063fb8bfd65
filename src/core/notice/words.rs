//! Moments, causes and remedies, as a message says them.

use std::fmt::Write as _;

use crate::config::Config;
use crate::core::standing::PlanWindow;
use crate::core::trigger::Trigger;
use crate::ids::{AccountName, SessionName};
use crate::moment::Wall;
use crate::quota::local_time::Zone;
use crate::shell_word::shell_word;

/// How moments are printed: in this zone, with the day where it is another than `near`'s.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    pub zone: Option<&'a str>,
    pub near: Wall,
}

impl Words<'_> {
    /// `16:00 (Europe/Paris)`, `Sat 28 Nov 16:00 (UTC)`.
    pub fn moment(&self, at: Wall) -> String {
        let zone = self.zone.and_then(Zone::of).unwrap_or(Zone::Named("UTC"));
        let name = self.zone.unwrap_or("UTC");
        let shown = |at: Wall| zone.shown(at.0.div_euclid(1000));
        let (Some(local), Some(near)) = (shown(at), shown(self.near)) else {
            return at.to_string();
        };
        let time = format!("{:02}:{:02} ({name})", local.hour(), local.minute());
        if local.date() == near.date() {
            return time;
        }
        let (weekday, month) = (local.weekday().to_string(), local.month().to_string());
        let short = |word: &str| word.chars().take(3).collect::<String>();
        format!("{} {} {} {time}", short(&weekday), local.day(), short(&month))
    }

    /// `at 16:00 (Europe/Paris), in 2 h 13 min`.
    pub fn until(&self, at: Wall) -> String {
        format!("{}, in {}", self.moment(at), length_s((at - self.near).as_secs()))
    }
}

/// `95 s`, `13 min`, `2 h 13 min`, `3 d 4 h`.
pub fn length_s(length_s: u64) -> String {
    let (minutes, hours) = (length_s / 60, length_s / 3600);
    match length_s {
        0..120 => format!("{length_s} s"),
        120..7_200 => format!("{minutes} min"),
        7_200..172_800 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{} d {} h", hours / 24, hours % 24),
    }
}

/// The limit as people speak of it.
pub fn window(window: PlanWindow) -> &'static str {
    match window {
        PlanWindow::FiveHour => "its 5-hour limit",
        PlanWindow::Weekly => "its weekly limit",
        PlanWindow::Unnamed => "its limit",
        PlanWindow::Spend => "its spend limit",
    }
}

/// Why a swap was planned, with the evidence.
pub fn cause(trigger: &Trigger, source: &AccountName, target: &AccountName) -> String {
    match trigger {
        Trigger::Refusal { session, row, evidence } => {
            format!("{source} refused {session}: \"{row}\" (by its {evidence})")
        }
        Trigger::AccountReturned => format!("{target} came back"),
        Trigger::Operator => "you asked for it (claude-failover swap)".to_owned(),
        Trigger::LoginFailed { reason } => format!("the login of {source} fails: {reason}"),
        Trigger::SetAside => format!("{source} is held, set aside, or another account is pinned"),
        Trigger::Preempt { window: used, used_permille, .. } => format!(
            "{source} has used {}.{} % of {}, which is quota.preempt_at",
            used_permille / 10,
            used_permille % 10,
            window(*used)
        ),
        Trigger::Preferred => format!("{target} is preferred and can be taken again"),
    }
}

/// What a person types to renew a login.
pub fn login_remedy(config: &Config, account: &AccountName) -> String {
    match config.account(account) {
        Some(known) => {
            format!("CLAUDE_CONFIG_DIR={} claude, then /login", shell_word(&known.home))
        }
        None => "log in to it, then `claude-failover account release`".to_owned(),
    }
}

/// What a person types to see a session.
pub fn attach(config: &Config, session: &SessionName) -> String {
    let mut command = config.tmux.command.clone();
    if let Some(socket) = &config.tmux.socket {
        write!(command, " -S {}", shell_word(socket)).expect("a String takes all");
    }
    format!("{command} attach -t ={session}")
}
