//! What this process has logged; each test looks for what names its own directory.

use std::path::Path;
use std::sync::{Mutex, Once};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static STARTED: Once = Once::new();

struct Sink;

impl log::Log for Sink {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("claude_failover") && metadata.level() <= log::Level::Info
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            LINES.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// From now on.
pub fn start() {
    STARTED.call_once(|| {
        log::set_logger(&Sink).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
}

pub fn lines_with(word: &str) -> Vec<String> {
    LINES.lock().unwrap().iter().filter(|line| line.contains(word)).cloned().collect()
}

pub fn lines_of(dir: &Path) -> Vec<String> {
    lines_with(dir.to_str().unwrap())
}
