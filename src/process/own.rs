//! What our own process uses, as the kernel says.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::clock;
use crate::process::table;

/// Too little for a core in a file; and to the kernel the word that no program gets one either, for
/// which it passes over every other limit (`fs/coredump.c`).
const NO_CORE: u64 = 1;

/// No core of this process is kept: it would hold secrets of notifications and what was on the agents'
/// screens. What we start inherits that, and may ask for more.
pub fn leave_no_core() -> io::Result<()> {
    let maximum = getrlimit(Resource::Core).maximum;
    let current = Some(maximum.map_or(NO_CORE, |maximum| maximum.min(NO_CORE)));
    Ok(setrlimit(Resource::Core, Rlimit { current, maximum })?)
}

/// Whether it failed because we, or the host, have no descriptor left: it says nothing of the file.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Zero where the kernel does not say.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Own {
    /// Seconds since 1970.
    pub started_s: f64,
    /// Processor time, of user and kernel together.
    pub used: Duration,
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
    pub threads: u64,
    pub files_open: u64,
    /// The soft limit; `None`: none.
    pub files_max: Option<u64>,
}

/// Four small files and a directory of `/proc`: some 50 µs.
pub fn own() -> Own {
    let pid = i32::try_from(std::process::id()).unwrap_or(0);
    let stat = table::stat(pid).ok().flatten();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    // The directory itself is open while it is read.
    let files = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().max(1) - 1);
    Own {
        started_s: stat.map_or(0.0, |stat| started_s(stat.started_ticks)),
        used: stat.map_or(Duration::ZERO, |stat| stat.used),
        resident_bytes: field(&status, "VmRSS:") << 10,
        virtual_bytes: field(&status, "VmSize:") << 10,
        threads: field(&status, "Threads:"),
        files_open: files as u64,
        files_max: getrlimit(Resource::Nofile).current,
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^53")]
fn started_s(ticks: u64) -> f64 {
    let at = clock::wall_at_boot() + table::after_boot(ticks);
    at.0 as f64 / 1000.0
}

/// A line of `/proc/<pid>/status`: a name, a number and perhaps `kB`.
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_uses_something_of_everything() {
        let own = own();
        assert!(own.resident_bytes > 1 << 20 && own.virtual_bytes > own.resident_bytes, "{own:?}");
        assert!(own.threads > 0 && own.files_open >= 3, "{own:?}");
        assert!(own.files_max.is_none_or(|max| max > own.files_open), "{own:?}");
        let age_s = clock::Clock::start().wall().0 / 1000;
        assert!((own.started_s - age_s as f64).abs() < 3_600.0, "{own:?}");
    }
}
