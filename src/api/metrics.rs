//! The document of `GET /metrics`: what the snapshot says, and what our process uses.

use crate::process::own::Own;
use crate::snapshot::Snapshot;
use crate::snapshot::metrics::metrics;
use crate::snapshot::metrics::text::{Kind, count, seconds};

/// The names of the process's figures are those that monitors know from everywhere.
pub fn document(snapshot: &Snapshot, own: &Own) -> String {
    let mut text = metrics(snapshot);
    let help = "When the daemon's process started.";
    text.gauge("process_start_time_seconds", own.started_s, help);
    let help = "Processor time of the daemon's process.";
    text.family("process_cpu_seconds_total", Kind::Counter, help).sample(&[], seconds(own.used));
    let help = "Memory of the daemon's process that is in RAM.";
    text.gauge("process_resident_memory_bytes", count(own.resident_bytes), help);
    let help = "Address space of the daemon's process.";
    text.gauge("process_virtual_memory_bytes", count(own.virtual_bytes), help);
    let help = "Threads of the daemon's process.";
    text.gauge("process_threads", count(own.threads), help);
    let help = "Open files of the daemon's process.";
    text.gauge("process_open_fds", count(own.files_open), help);
    let help = "Files that the daemon's process may have open.";
    text.gauge_if("process_max_fds", own.files_max.map(count), help);
    text.into_string()
}
