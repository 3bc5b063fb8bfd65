//! Evidence about quota turned into verdicts. Pure: no clock, file, thread, process or channel.
//!
//! Reading order: [`verdict`] (what comes out), [`pane`] (a captured screen → [`verdict::Reading`]),
//! [`fold`], [`row`] and [`screen`] (its rows), [`live`] (the row that counts), [`form`] (what one row
//! of the client says, by the words in [`phrases`]), [`banner`] (how it ends), [`pattern`] (the
//! operator's phrases), [`quoted`] (a wrapper's row), [`unknown`] (rows to report), [`activity`],
//! [`armed`] and [`dialog`] (what the client does), [`dialog_keys`] (what may be pressed in one);
//! [`json`] (as the client writes it), [`transcript`] (a record of a conversation file), [`report`] (a hook's), [`headless`] (what one
//! request without a screen came to); [`reset_phrase`] and [`reset_time`] (when it ends), [`local_time`]
//! (zones).

pub mod activity;
pub mod armed;
pub mod banner;
pub mod dialog;
pub mod dialog_keys;
pub mod fold;
pub mod form;
pub mod headless;
pub mod json;
pub mod live;
pub mod local_time;
pub mod pane;
pub mod pattern;
pub mod phrases;
pub mod quoted;
pub mod report;
pub mod reset_phrase;
pub mod reset_time;
pub mod row;
pub mod screen;
pub mod transcript;
pub mod unknown;
pub mod verdict;
