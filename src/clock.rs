//! The one place that asks the operating system for the time.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::moment::{Mono, Now, Wall};

/// `Mono` counts from here; `CLOCK_BOOTTIME`, so a suspended host does not stretch a deadline.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Duration,
}

impl Clock {
    pub fn start() -> Self {
        Self { started: read(ClockId::Boottime) }
    }

    pub fn now(&self) -> Now {
        let monotonic = read(ClockId::Boottime).saturating_sub(self.started);
        let wall = read(ClockId::Realtime);
        Now {
            monotonic: Mono(u64::try_from(monotonic.as_millis()).unwrap_or(u64::MAX)),
            wall: Wall(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)),
        }
    }

    pub fn wall(&self) -> Wall {
        self.now().wall
    }

    /// The `std` instant at which `moment` comes, for channels that wait on one.
    pub fn instant_of(&self, moment: Mono) -> std::time::Instant {
        instant() + (moment - self.now().monotonic)
    }
}

/// What the wall clock would have said at boot, by what it says now.
///
/// A thread may be put aside between two readings of two clocks; of three tries the one with the
/// narrowest gap is taken, so that what the kernel dates from boot is not dated too late.
pub fn wall_at_boot() -> Wall {
    let attempt = || {
        let before = read(ClockId::Boottime);
        let wall = read(ClockId::Realtime);
        let after = read(ClockId::Boottime);
        (after.saturating_sub(before), wall.saturating_sub(after))
    };
    let tries = [attempt(), attempt(), attempt()];
    let (_, at_boot) = tries.into_iter().min().unwrap_or_else(attempt);
    Wall(i64::try_from(at_boot.as_millis()).unwrap_or(i64::MAX))
}

/// Since boot, with the time that the host was suspended.
pub fn uptime() -> Duration {
    read(ClockId::Boottime)
}

/// Now, for a deadline inside one function.
#[expect(clippy::disallowed_methods, reason = "the owner of the clock")]
pub fn instant() -> std::time::Instant {
    std::time::Instant::now()
}

fn read(clock: ClockId) -> Duration {
    let at = clock_gettime(clock);
    Duration::new(u64::try_from(at.tv_sec).unwrap_or(0), u32::try_from(at.tv_nsec).unwrap_or(0))
}
