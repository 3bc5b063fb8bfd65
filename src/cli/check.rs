//! `check [FILE]`: says everything that is wrong with a configuration and changes nothing.

use std::io::Write;
use std::path::Path;

use crate::cli::exit;
use crate::config::load::{Base, DEFAULT_PATH, load_with};
use crate::config::reload::summary;

/// Problems and warnings go to `err`, one a line, the good news to `out`. Gives the exit code.
pub fn run(path: Option<&Path>, base: &Base, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let path = path.unwrap_or(Path::new(DEFAULT_PATH));
    // A closed pipe has nobody left to tell; the exit code still says the result.
    match load_with(path, base) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                let _ = writeln!(err, "warning: {}: {warning}", path.display());
            }
            let _ = writeln!(out, "{}", summary(&loaded.config));
            exit::OK
        }
        Err(error) => {
            let _ = writeln!(err, "{error}");
            exit::CONFIG
        }
    }
}
