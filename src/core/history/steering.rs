//! What the records of a pause tell: one entry from its beginning to its end.

use crate::core::history::entry::{End, EndedBy, Happening, Pause};
use crate::core::history::{History, Open};
use crate::core::steer::PauseEnd;
use crate::moment::Wall;

impl History {
    pub(in crate::core::history) fn paused(&mut self, at: Wall, until: Option<Wall>) {
        if let Some(id) = self.pause.and_then(|open| open.entry)
            && let Some(Happening::Pause(pause)) = self.what(id)
        {
            pause.until = until; // said again, for another time
            return;
        }
        let pause = Pause { until, end: End::default() };
        self.pause = Some(self.open(at, Happening::Pause(pause)));
    }

    pub(in crate::core::history) fn end_pause(&mut self, by: EndedBy, at: Wall) {
        if let Some(open) = self.pause.take() {
            self.end(open, by, at);
        }
    }

    /// A compaction's word on it.
    pub(in crate::core::history) fn look_at_pause(&mut self, since: Option<Wall>) {
        let at = self.at;
        match since {
            None => self.end_pause(EndedBy::Unknown, at),
            Some(since) => {
                self.pause.get_or_insert(Open { since, entry: None });
            }
        }
    }
}

impl From<PauseEnd> for EndedBy {
    fn from(by: PauseEnd) -> Self {
        match by {
            PauseEnd::Operator => EndedBy::Resume,
            PauseEnd::Time => EndedBy::Time,
        }
    }
}
