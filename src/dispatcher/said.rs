//! Trouble that lasts is said once, and once more when it is over.

use std::collections::BTreeMap;
use std::fmt::Display;

/// Troubles remembered; past that they are only counted in the debug log.
const SAID_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub struct Said {
    troubles: BTreeMap<String, String>,
}

impl Said {
    /// `about` is what the trouble is with, the same while it lasts.
    pub fn trouble(&mut self, about: &str, text: &dyn Display) {
        let text = text.to_string();
        if self.troubles.get(about) == Some(&text) {
            return;
        }
        if self.troubles.len() >= SAID_MAX && !self.troubles.contains_key(about) {
            log::debug!("{about} {text}");
            return;
        }
        log::warn!("{about} {text}");
        self.troubles.insert(about.to_owned(), text);
    }

    pub fn over(&mut self, about: &str) {
        if self.troubles.remove(about).is_some() {
            log::info!("{about} works again");
        }
    }

    /// What was told of it is gone with it: nothing is said.
    pub fn forget(&mut self, about: &str) {
        self.troubles.remove(about);
    }
}
