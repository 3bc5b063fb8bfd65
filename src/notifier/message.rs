//! What waits for one channel, as one message: the most serious in full, the others as far as there
//! is room, and how many there were besides.

use serde::Serialize;

use crate::config::notifications::Level;
use crate::core::notice::Notice;
use crate::harmless;
use crate::moment::Wall;
use crate::quota::local_time::Zone;

/// Notices that are told with all their lines.
const WHOLE_MAX: usize = 3;
/// Beyond those, with their titles.
const TITLES_MAX: usize = 15;
/// Telegram takes 4096 units of UTF-16; ours are cut at a line well before.
const TEXT_UNITS_MAX: usize = 3_500;
const SUBJECT_CHARS_MAX: usize = 200;

/// One of those that wait, with how often it was said again meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<'a> {
    pub notice: &'a Notice,
    pub again: u32,
}

/// What a channel sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// The same when it is tried again.
    pub id: String,
    /// Of the most serious.
    pub level: Level,
    pub host: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    pub notices: Vec<Notice>,
}

/// For whom a message is written.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    pub host: &'a str,
    /// An IANA zone; `None`: UTC.
    pub zone: Option<&'a str>,
}

impl Reader<'_> {
    /// `parts` in the order in which they happened, at least one; `left_out`: earlier ones that
    /// could not be kept.
    pub fn compose(&self, id: String, parts: &[Part<'_>], left_out: u32) -> Message {
        let level = parts.iter().map(|part| part.notice.level).max().unwrap_or_default();
        let mut order: Vec<&Part<'_>> = parts.iter().collect();
        // Stable: among equals the earlier comes first.
        order.sort_by_key(|part| std::cmp::Reverse(part.notice.level));
        let first = order.first().map_or("", |part| part.notice.title.as_str());
        let others = match parts.len() {
            0 | 1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        let mark = match level {
            Level::Critical => "CRITICAL: ",
            Level::Warning => "Warning: ",
            Level::Info => "",
        };
        let room = SUBJECT_CHARS_MAX - mark.len() - others.len();
        let subject = format!("{mark}{}{others}", harmless::line(first, room));
        let text = self.text(&subject, &order, left_out);
        let notices = parts.iter().map(|part| part.notice.clone()).collect();
        Message { id, level, host: self.host.to_owned(), subject, text, notices }
    }

    fn text(&self, subject: &str, order: &[&Part<'_>], left_out: u32) -> String {
        let mut text = Text::new(subject);
        for (place, part) in order.iter().take(WHOLE_MAX).enumerate() {
            text.line("");
            let when = self.moment(part.notice.at);
            match place {
                0 => text.line(&format!("{when} on {}", self.host)),
                _ => text.line(&format!("{when} {}", part.notice.title)),
            }
            for line in &part.notice.lines {
                text.line(line);
            }
            if part.again > 0 {
                text.line(&format!("Said again: {} ×", part.again));
            }
        }
        let titles = order.iter().skip(WHOLE_MAX);
        for (place, part) in titles.clone().take(TITLES_MAX).enumerate() {
            if place == 0 {
                text.line("");
                text.line("Besides:");
            }
            text.line(&format!("{} {}", self.moment(part.notice.at), part.notice.title));
        }
        let more = titles.len().saturating_sub(TITLES_MAX);
        if more > 0 {
            text.line(&format!("and {more} more: see `claude-failover history`"));
        }
        if left_out > 0 {
            text.line("");
            text.line(&format!(
                "{left_out} earlier messages were given up: see `claude-failover history`"
            ));
        }
        text.end()
    }

    /// `03:12 (Europe/Paris)`, with its day: who reads it late must not take it for today's.
    fn moment(&self, at: Wall) -> String {
        let zone = self.zone.and_then(Zone::of).unwrap_or(Zone::Named("UTC"));
        let name = self.zone.unwrap_or("UTC");
        match zone.shown(at.0.div_euclid(1000)) {
            Some(shown) => {
                format!("{} {:02}:{:02} ({name})", shown.date(), shown.hour(), shown.minute())
            }
            None => at.to_string(),
        }
    }
}

/// Lines, as long as there is room for them.
struct Text {
    text: String,
    units: usize,
    is_full: bool,
}

impl Text {
    fn new(first: &str) -> Self {
        Self { text: first.to_owned(), units: first.encode_utf16().count(), is_full: false }
    }

    fn line(&mut self, line: &str) {
        let units = line.encode_utf16().count() + 1;
        if self.is_full || self.units + units > TEXT_UNITS_MAX {
            self.is_full = true;
            return;
        }
        self.units += units;
        self.text.push('\n');
        self.text.push_str(line);
    }

    fn end(mut self) -> String {
        if self.is_full {
            self.text.push_str("\n… the rest does not fit: see `claude-failover history`");
        }
        self.text
    }
}
