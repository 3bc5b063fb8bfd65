//! Is the pool that is configured the pool that exists?
//!
//! A prefix without its dash once left a fleet without work for days while sessions of the wrong
//! name were made beside it.

use std::collections::BTreeSet;

use crate::config::Config;
use crate::config::near::distance;

/// Names shown in one warning.
const SHOWN_MAX: usize = 5;

pub fn near_misses(config: &Config, existing: &[String]) -> Option<String> {
    let pool = config.pool.autonomous.as_ref()?;
    let ours: BTreeSet<String> = pool.names().map(String::from).collect();
    if ours.is_empty() || existing.iter().any(|name| ours.contains(name)) {
        return None;
    }
    let near: Vec<&str> = existing
        .iter()
        .map(String::as_str)
        .filter(|name| {
            let is_dedicated = name.parse().is_ok_and(|name| config.dedicated(&name).is_some());
            !is_dedicated && looks_like(name, &pool.prefix)
        })
        .collect();
    if near.is_empty() {
        return None;
    }
    let shown = &near[..near.len().min(SHOWN_MAX)];
    let more = match near.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "pool.autonomous: no session of its range ({} sessions, such as {}) exists, but {}{more} \
         do: are prefix and start_index what they should be?",
        pool.max,
        pool.session(0),
        shown.join(", ")
    ))
}

/// Another number behind the prefix, or a prefix that a slip of the hand changes into ours.
fn looks_like(name: &str, prefix: &str) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem == name {
        return false;
    }
    let bare = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    let (stem, prefix) = (bare(stem), bare(prefix));
    let slips_max = (prefix.len() / 4).min(2);
    !stem.is_empty() && distance(&stem, &prefix) <= slips_max
}
