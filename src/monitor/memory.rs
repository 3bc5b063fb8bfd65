//! What the monitor remembers of one pane: enough to know when it must be read again, and what of a
//! reading is news. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem;

use crate::core::event::{PaneSeen, PaneStamp};
use crate::moment::Wall;
use crate::quota::activity;
use crate::quota::verdict::{Activity, Reading};

#[derive(Debug)]
pub struct Memory {
    leader_pid: i32,
    stamp: PaneStamp,
    /// The second of the look, taken before the list that gave `stamp`.
    looked_at_s: i64,
    text_hash: u64,
    /// What the text alone showed the client to be doing.
    screen: Activity,
    /// What the title said.
    title: Option<Activity>,
    sent: Reading,
}

impl Memory {
    /// Whether the pane may show something else than at the last look, or deserves a second one.
    ///
    /// tmux dates output by the second: what came in the second of the look may have come after it.
    pub fn is_due(&self, seen: &PaneSeen) -> bool {
        self.leader_pid != seen.leader_pid
            || self.stamp != seen.stamp
            || self.title != activity::of_title(&seen.title)
            || seen.stamp.activity_s >= self.looked_at_s
            || needs_second_look(&self.sent)
    }

    /// The memory after a look at `now`, and the reading when it is to be reported.
    pub fn update(
        earlier: Option<Self>,
        seen: &PaneSeen,
        now: Wall,
        text: &str,
        read: impl FnOnce(&str) -> Reading,
    ) -> (Self, Option<Reading>) {
        // Another leader is another life of the pane: nothing of it was reported yet.
        let earlier = earlier.filter(|memory| memory.leader_pid == seen.leader_pid);
        let text_hash = hash(text);
        let title = activity::of_title(&seen.title);
        let read_anew = match &earlier {
            Some(memory) if memory.text_hash == text_hash => {
                Reading { activity: memory.screen, ..memory.sent.clone() }
            }
            Some(memory) => anchored(read(text), &memory.sent),
            None => read(text),
        };
        let screen = read_anew.activity;
        let reading = Reading { activity: activity::combined(screen, title), ..read_anew };
        let unchanged = earlier.is_some_and(|memory| memory.sent == reading);
        let news = (!unchanged || needs_second_look(&reading)).then(|| reading.clone());
        let memory = Self {
            leader_pid: seen.leader_pid,
            stamp: seen.stamp,
            looked_at_s: now.0.div_euclid(1000),
            text_hash,
            screen,
            title,
            sent: reading,
        };
        (memory, news)
    }
}

/// The same row under the same prompt is the same refusal: its reset stays where the first look put
/// it. Read again after that reset, `resets 4pm` would mean tomorrow.
fn anchored(mut fresh: Reading, earlier: &Reading) -> Reading {
    let words = |reading: &Reading| {
        (
            reading.rule.clone(),
            reading.row.clone(),
            reading.reset_text.clone(),
            reading.last_user_row.clone(),
            mem::discriminant(&reading.verdict),
        )
    };
    if fresh.reset_text.is_some() && words(&fresh) == words(earlier) {
        fresh.verdict = earlier.verdict.clone();
    }
    fresh
}

/// A refusal without a reset counts when it stands in two consecutive polls, so each one tells.
fn needs_second_look(reading: &Reading) -> bool {
    reading.verdict.is_exhaustion() && reading.verdict.resets_at().is_none()
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use crate::ids::PaneId;
    use crate::quota::verdict::{LimitKind, Verdict};

    use super::*;

    fn seen(leader_pid: i32, activity_s: i64, history_size: u64) -> PaneSeen {
        PaneSeen {
            session: "s".to_owned(),
            session_made: Wall(0),
            pane: PaneId(1),
            leader_pid,
            dead: false,
            in_mode: false,
            active: true,
            attached: 0,
            typed_at: None,
            title: String::new(),
            fence: None,
            stamp: PaneStamp { activity_s, history_size, cursor: (0, 0) },
        }
    }

    fn exhausted(resets_at: Option<i64>) -> Reading {
        let limit = LimitKind::Weekly;
        let resets_at = resets_at.map(Wall);
        Reading {
            verdict: Verdict::Exhausted { limit, resets_at },
            rule: "weekly".to_owned(),
            reset_text: resets_at.map(|_| "resets 4pm".to_owned()),
            ..Reading::clear()
        }
    }

    fn look(
        earlier: Option<Memory>,
        seen: &PaneSeen,
        now_s: i64,
        text: &str,
        reading: Reading,
    ) -> (Memory, Option<Reading>) {
        Memory::update(earlier, seen, Wall(now_s * 1000 + 999), text, |_| reading)
    }

    #[test]
    fn a_pane_is_due_when_its_text_may_differ() {
        for (what, at, expected) in [
            ("nothing", seen(7, 100, 3), false),
            ("activity", seen(7, 101, 3), true),
            ("history", seen(7, 100, 4), true),
            ("leader", seen(8, 100, 3), true),
        ] {
            let (memory, _) = look(None, &seen(7, 100, 3), 101, "", Reading::clear());
            assert_eq!(memory.is_due(&at), expected, "{what}");
        }
    }

    fn titled(title: &str) -> PaneSeen {
        PaneSeen { title: title.to_owned(), ..seen(7, 100, 3) }
    }

    #[test]
    fn a_title_that_says_something_else_is_news_though_the_text_is_the_same() {
        let shows = |activity| Reading { activity, ..Reading::clear() };
        let idle = || shows(Activity::Idle);
        let (memory, news) = look(None, &titled("✳ a"), 200, "a", idle());
        assert_eq!(news, Some(idle()));
        assert!(!memory.is_due(&titled("✳ another name")));
        assert!(memory.is_due(&titled("◐ a")));
        let (memory, news) = look(Some(memory), &titled("◐ a"), 200, "a", idle());
        assert_eq!(news, Some(shows(Activity::Busy)));
        assert!(!memory.is_due(&titled("◑ a")), "the glyph turns, the state is the same");
        let (memory, news) = look(Some(memory), &titled("◑ a"), 200, "b", idle());
        assert_eq!(news, None, "another text, the same activity");
        let (memory, news) = look(Some(memory), &titled("✳ a"), 200, "b", idle());
        assert_eq!(news, Some(idle()), "what the screen shows is not forgotten");
        let (_, news) = look(Some(memory), &titled("✳ a"), 200, "c", shows(Activity::Busy));
        assert_eq!(news, Some(shows(Activity::Busy)));
    }

    #[test]
    fn output_in_the_second_of_the_look_is_looked_at_until_that_second_is_over() {
        let at = seen(7, 100, 3);
        let (memory, _) = look(None, &at, 100, "a", Reading::clear());
        assert!(memory.is_due(&at), "more may have come in second 100");
        let (memory, _) = look(Some(memory), &at, 100, "a", Reading::clear());
        assert!(memory.is_due(&at));
        let (memory, _) = look(Some(memory), &at, 101, "b", Reading::clear());
        assert!(!memory.is_due(&at), "seen after its last second");
    }

    #[test]
    fn a_clock_set_back_hides_nothing() {
        let (memory, _) = look(None, &seen(7, 100, 3), 5000, "a", Reading::clear());
        assert!(memory.is_due(&seen(7, 90, 3)));
    }

    #[test]
    fn only_a_reading_that_differs_is_news() {
        let at = seen(7, 100, 3);
        let (memory, news) = look(None, &at, 100, "a", Reading::clear());
        assert_eq!(news, Some(Reading::clear()), "the first look tells");
        let (memory, news) = look(Some(memory), &at, 101, "b", Reading::clear());
        assert_eq!(news, None);
        let (memory, news) = look(Some(memory), &at, 102, "c", exhausted(Some(5)));
        assert_eq!(news, Some(exhausted(Some(5))));
        assert!(!memory.is_due(&at));
        let (memory, news) = look(Some(memory), &at, 103, "d", Reading::clear());
        assert_eq!(news, Some(Reading::clear()));
        let (_, news) = look(Some(memory), &seen(8, 100, 3), 104, "d", Reading::clear());
        assert_eq!(news, Some(Reading::clear()), "another leader, another life");
    }

    #[test]
    fn a_refusal_without_a_reset_is_told_at_every_poll() {
        let at = seen(7, 100, 3);
        let (memory, news) = look(None, &at, 200, "a", exhausted(None));
        assert_eq!(news, Some(exhausted(None)));
        assert!(memory.is_due(&at), "a second look");
        let (memory, news) = look(Some(memory), &at, 201, "a", Reading::clear());
        assert_eq!(news, Some(exhausted(None)), "the text is the same");
        let (memory, news) = look(Some(memory), &at, 202, "b", Reading::clear());
        assert_eq!(news, Some(Reading::clear()));
        assert!(!memory.is_due(&at));
    }

    #[test]
    fn the_same_refusal_keeps_the_reset_of_its_first_look() {
        let at = seen(7, 100, 3);
        let (memory, _) = look(None, &at, 200, "a", exhausted(Some(5)));
        let (memory, news) = look(Some(memory), &at, 201, "a, draft", exhausted(Some(9)));
        assert_eq!(news, None, "the reset did not move to tomorrow");
        let mut again = exhausted(Some(9));
        again.last_user_row = Some("try again".to_owned());
        let (_, news) = look(Some(memory), &at, 202, "b", again.clone());
        assert_eq!(news, Some(again), "a new prompt was refused");
    }
}
