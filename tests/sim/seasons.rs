//! Accounts over months: windows that run out and come back, printed moments that are wrong, clocks that
//! are set and put forward, and a fleet that is always at work. Effects are prompt here and nothing
//! fails; what crashes and lost answers do is played in [`crate::run`].
//!
//! `SEASON=n cargo test --test sim seasons` plays one and prints what the journal says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use claude_failover::config::{self, Strategy};
use claude_failover::core::event::{AgentHome, AgentState};
use claude_failover::core::record::Record;
use claude_failover::core::standing::{AccountState, PlanWindow};
use claude_failover::ids::{AccountName, ConversationId};
use claude_failover::moment::Wall;
use claude_failover::quota::transcript::{ApiError, Ending};
use claude_failover::quota::verdict::{LimitKind, Reading, Verdict};
use claude_failover::quota::{reset_phrase, reset_time};
use time::OffsetDateTime;

use crate::number;
use crate::prng::Prng;
use crate::scenario;
use crate::tables::desk::{self, Desk, START_WALL, account, id};

const SEASONS: u64 = 24;
const DAYS: u64 = 75;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// 2026-03-01: clocks are put forward within the season, in Europe and in America.
const ZONES: [&str; 3] = ["Europe/Paris", "America/New_York", "UTC"];

/// Beyond this after the true reset nobody may still wait.
const AWAKE_WITHIN_MS: u64 = MINUTE_MS;

/// Refusals of one account within an hour: the steps in which a wrong moment is asked again, and a
/// window that runs out.
const REFUSALS_IN_AN_HOUR_MAX: usize = 9;

/// What a client prints is rounded to the minute, upwards.
const PRINTED_WITHIN_MS: u64 = MINUTE_MS;

/// The truth about one account.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Used in the window of five hours, and when that ends.
    five_hour: (u64, u64),
    week: (u64, u64),
    five_hour_max: u64,
    week_max: u64,
    /// Refuses until this true moment, by this window.
    pub refuses_until: Option<(u64, LimitKind)>,
    /// It prints a moment that lies so much before the true one.
    prints_early_ms: u64,
    zone: &'static str,
}

impl Plan {
    pub fn refuses(&self, now: u64) -> Option<(u64, LimitKind)> {
        self.refuses_until.filter(|(until, _)| *until > now)
    }

    /// One agent works on it for so long.
    fn work(&mut self, now: u64, length: u64) {
        for (window, span) in [(&mut self.five_hour, 5 * HOUR_MS), (&mut self.week, 7 * DAY_MS)] {
            if window.1 <= now {
                *window = (0, now + span);
            }
            window.0 += length;
        }
        if self.week.0 > self.week_max {
            self.refuses_until = Some((self.week.1, LimitKind::Weekly));
        } else if self.five_hour.0 > self.five_hour_max {
            self.refuses_until = Some((self.five_hour.1, LimitKind::FiveHour));
        }
    }

    /// Out of its five hours already, it runs out of its week as well: not only our agents work on it.
    fn spend_the_week(&mut self, now: u64) {
        if let Some((_, LimitKind::FiveHour)) = self.refuses(now)
            && self.week.1 > now
        {
            self.week.0 = self.week_max + 1;
            self.refuses_until = Some((self.week.1, LimitKind::Weekly));
        }
    }

    /// The row of a refusal as a client prints it, read as the daemon reads it.
    pub fn refusal(&self, now: u64, wall: i64) -> Option<Reading> {
        let (until, limit) = self.refuses(now)?;
        // The server names an instant, whatever the clock of the host shows.
        let end = i64::try_from(until.saturating_sub(self.prints_early_ms)).expect("small");
        let text = shown(START_WALL + end, wall, self.zone);
        let row = format!("You've hit your limit · resets {text}");
        let phrase = reset_phrase::find(&row).expect("a reset is named");
        let resets_at = reset_time::parse(phrase, Wall(wall), None);
        let verdict = Verdict::Exhausted { limit, resets_at };
        Some(Reading { verdict, rule: "limit".to_owned(), row, ..Reading::clear() })
    }
}

/// `4:24pm (Europe/Paris)`; with the day when it is more than a day away.
fn shown(at: i64, now: i64, zone: &str) -> String {
    let minute = (at + 59_999).div_euclid(60_000) * 60;
    let rules = tzdb::tz_by_name(zone).expect("a zone");
    let offset = rules.find_local_time_type(minute).expect("in range").ut_offset();
    let local = OffsetDateTime::from_unix_timestamp(minute + i64::from(offset)).expect("in range");
    let (hour, half) = (local.hour(), if local.hour() < 12 { "am" } else { "pm" });
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    let day = match at - now > 22 * 3_600_000 {
        true => format!("{} {}, ", &local.month().to_string()[..3], local.day()),
        false => String::new(),
    };
    format!("{day}{twelve}:{:02}{half} ({zone})", local.minute())
}

struct Season {
    rng: Prng,
    desk: Desk,
    /// True time of the last disturbance: a clock that was set, a daemon that was down.
    disturbed_at: u64,
    flips: Vec<u64>,
    /// True times of refusals that were recorded, and how much of the journal was read for them.
    refusals: BTreeMap<AccountName, Vec<u64>>,
    records_read: usize,
    /// What stands against each account, told by the records one by one.
    limits: BTreeMap<AccountName, BTreeSet<PlanWindow>>,
    counts: BTreeMap<&'static str, u64>,
}

impl Season {
    fn new(seed: u64) -> Self {
        let mut rng = Prng::new(seed ^ 0x5ea5_0000);
        let count = 2 + rng.below(7);
        let mut config = desk::config();
        config.selection.strategy =
            [Strategy::Priority, Strategy::SoonestReset, Strategy::MostHeadroom][rng.below(3)];
        config.selection.return_to_preferred = rng.chance(300);
        config.swap.max_per_hour = if rng.chance(250) { 3 } else { 12 };
        config.accounts = (1..=count)
            .map(|number| config::Account {
                name: account(&format!("a{number}")),
                home: scenario::home(&format!("a{number}")),
                priority: u32::try_from(number).expect("small"),
            })
            .collect();
        let mut plans = BTreeMap::new();
        for config in &config.accounts {
            let plan = Plan {
                five_hour_max: rng.within(HOUR_MS..12 * HOUR_MS),
                week_max: rng.within(40 * HOUR_MS..400 * HOUR_MS),
                prints_early_ms: if rng.chance(200) { rng.within(1..HOUR_MS) } else { 0 },
                zone: ZONES[rng.below(ZONES.len())],
                ..Plan::default()
            };
            plans.insert(config.name.clone(), plan);
        }
        let mut desk = Desk::new(config);
        desk.link = account("a1");
        desk.plans = plans;
        for (name, number) in [("ded", 1), ("auto-11", 2), ("auto-12", 3)] {
            desk.add_agent(name, AgentHome::Homed(account("a1")), Some(number));
        }
        desk.start();
        Self {
            rng,
            desk,
            disturbed_at: 0,
            flips: Vec::new(),
            refusals: BTreeMap::new(),
            records_read: 0,
            limits: BTreeMap::new(),
            counts: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn play(&mut self) {
        while self.desk.now_ms < DAYS * DAY_MS {
            // Now and then nobody does anything for hours.
            let length = match self.rng.below(40) {
                0 => self.rng.within(HOUR_MS..9 * HOUR_MS),
                _ => self.rng.within(MINUTE_MS..12 * MINUTE_MS),
            };
            self.pass(length);
            self.work(length);
            self.disturb();
        }
        let talks: Vec<Option<ConversationId>> = ["ded", "auto-11", "auto-12"]
            .map(|name| self.desk.agent(name).conversation.clone())
            .to_vec();
        assert_eq!(talks, [Some(id(1)), Some(id(2)), Some(id(3))], "a conversation is lost");
    }

    /// In steps so short that a wake-up that does not come is noticed.
    fn pass(&mut self, length: u64) {
        let end = self.desk.now_ms + length;
        while self.desk.now_ms < end {
            // A listing every 15 s while somebody waits; else it tells nothing new.
            let most = if self.desk.core.is_parked() { 15_000 } else { 2 * MINUTE_MS };
            let step = (end - self.desk.now_ms).min(most);
            let active = self.desk.active().to_owned();
            self.desk.pass(Duration::from_millis(step));
            self.desk.list();
            self.desk.work();
            if self.desk.active() != active {
                self.note_flip();
            }
            self.note_refusals();
            self.check();
        }
    }

    fn note_flip(&mut self) {
        let now = self.desk.now_ms;
        self.flips.retain(|flip| now - flip < HOUR_MS);
        self.flips.push(now);
        self.count("flips");
        let most = self.desk.core.config.swap.max_per_hour as usize;
        let undisturbed = now - self.disturbed_at > HOUR_MS;
        assert!(self.flips.len() <= most || !undisturbed, "{} flips in an hour", self.flips.len());
    }

    /// Who printed a wrong moment is not asked again all the time.
    fn note_refusals(&mut self) {
        let now = self.desk.now_ms;
        let undisturbed = now - self.disturbed_at > HOUR_MS;
        for record in &self.desk.journal[self.records_read..] {
            if let Record::LimitReset { account, window, .. } = record {
                self.limits.entry(account.clone()).or_default().remove(window);
            }
            let Record::AccountRefused { account, window, .. } = record else { continue };
            self.limits.entry(account.clone()).or_default().insert(*window);
            let refusals = self.refusals.entry(account.clone()).or_default();
            refusals.retain(|at| now - at < HOUR_MS);
            refusals.push(now);
            let count = refusals.len();
            assert!(
                count <= REFUSALS_IN_AN_HOUR_MAX || !undisturbed,
                "{account} was asked and has refused {count} times in an hour"
            );
        }
        self.records_read = self.desk.journal.len();
        for (account, limits) in &self.limits {
            let known = self.desk.core.standing(account).limits.keys();
            assert!(known.eq(limits), "not {limits:?} stand against {account}");
        }
    }

    fn check(&mut self) {
        let (now, core) = (self.desk.now_ms, &self.desk.core);
        if !core.is_parked() {
            return;
        }
        let idle =
            core.config.accounts.iter().find(|account| {
                core.durable.account_state(&account.name) == AccountState::Available
            });
        assert!(idle.is_none() || core.throttled(), "parked, and {idle:?} is available");
        let late = self.desk.plans.iter().find(|(name, plan)| {
            let wait = AWAKE_WITHIN_MS + PRINTED_WITHIN_MS;
            let over = plan.refuses_until.map_or(0, |(until, _)| until) + wait < now;
            // What was read by a clock that was wrong is as wrong as that.
            let mut limits = core.standing(name).limits.values();
            let sound = limits.all(|limit| !self.desk.misread.contains(&limit.since));
            // Who prints a wrong moment is asked again in steps of some minutes.
            over && sound && plan.prints_early_ms == 0
        });
        let bad = late.filter(|_| self.desk.wall_is_true() && !core.throttled());
        if let Some((name, plan)) = bad {
            panic!(
                "{name} has been back since {:?}, it is {now} and nobody woke",
                plan.refuses_until
            );
        }
        self.count("looks at a parked fleet");
    }

    /// Everybody works, as far as he is let.
    fn work(&mut self, length: u64) {
        for name in ["ded", "auto-11", "auto-12"] {
            let Some(agent) = self.desk.agents.iter().find(|agent| agent.session.as_str() == name)
            else {
                continue;
            };
            let AgentHome::Homed(home) = agent.home.clone() else { continue };
            let (now, process) = (self.desk.now_ms, agent.process);
            let plan = self.desk.plans.get_mut(&home).expect("a known account");
            if plan.refuses(now).is_none() && self.rng.chance(900) {
                plan.work(now, length.min(15 * MINUTE_MS));
            } else if self.rng.chance(5) {
                plan.spend_the_week(now);
            }
            let at = Wall(self.desk.wall_ms);
            let reading = self.desk.refusal_of(&home);
            // Who was refused waits; a person tries again now and then.
            let tries = self.rng.chance(if name == "ded" { 100 } else { 0 });
            let known =
                self.desk.endings.get(&process).is_some_and(|ending| ending.error.is_some());
            if known && !tries {
                continue;
            }
            let ending = match reading {
                Some(reading) => {
                    let error = ApiError { record: format!("{now}"), at, reading };
                    Ending { error: Some(error), prompted_at: Some(at), answered_at: None }
                }
                None => Ending { error: None, prompted_at: Some(at), answered_at: Some(at) },
            };
            self.desk.endings.insert(process, ending);
        }
        self.desk.tell_transcripts();
        self.desk.work();
    }

    fn disturb(&mut self) {
        match self.rng.below(2_000) {
            0 => {
                let step = i64::try_from(self.rng.within(1_000..2 * HOUR_MS)).expect("small");
                self.desk.wall_ms += if self.rng.chance(500) { step } else { -step };
                self.disturbed_at = self.desk.now_ms;
                self.count("clocks set");
            }
            1..=100 if !self.desk.wall_is_true() => {
                self.desk.set_clock_right();
                self.disturbed_at = self.desk.now_ms;
            }
            1..=15 => {
                self.desk.restart();
                self.count("restarts");
            }
            _ => {}
        }
    }
}

#[test]
fn seasons_of_many_accounts_keep_every_promise() {
    if let Some(seed) = number("SEASON") {
        let mut season = Season::new(seed);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| season.play()));
        for record in season.desk.journal.iter().rev().take(120).rev() {
            println!("{record}");
        }
        println!("{:#?} {:#?}", season.desk.plans, season.desk.core.durable.standings);
        assert!(result.is_ok(), "season {seed}");
        return;
    }
    let seasons = number("SEASONS").unwrap_or(SEASONS);
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in 0..seasons {
        let mut season = Season::new(seed);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| season.play()));
        assert!(result.is_ok(), "SEASON={seed} plays it");
        for (what, count) in &season.counts {
            *counts.entry(what).or_default() += count;
        }
        let parked = season.desk.recorded("parked until=");
        *counts.entry("parkings").or_default() += u64::try_from(parked).expect("small");
        let probed = season.desk.recorded("answers again by=probe");
        *counts.entry("proofs by a request").or_default() += u64::try_from(probed).expect("small");
    }
    println!("{seasons} seasons of {DAYS} days: {counts:#?}");
    for what in ["flips", "parkings", "proofs by a request", "clocks set", "restarts"] {
        assert!(counts.get(what).is_some_and(|count| *count > 0), "no {what} were played");
    }
}

/// By whom a launched agent is answered, with or without a nudge.
pub fn answers(desk: &mut Desk, home: &AccountName) -> (AgentState, Ending) {
    let at = Wall(desk.wall_ms);
    match desk.refusal_of(home) {
        Some(reading) => {
            let error = ApiError { record: format!("{}", desk.now_ms), at, reading };
            let ending = Ending { error: Some(error), prompted_at: Some(at), answered_at: None };
            (AgentState::Idle, ending)
        }
        None => {
            let ending = Ending { error: None, prompted_at: Some(at), answered_at: Some(at) };
            (AgentState::Idle, ending)
        }
    }
}
