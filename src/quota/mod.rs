//! Evidence about quota turned into verdicts. Pure: no clock, file, thread, process or channel.
//!
//! Reading order: [`verdict`] (what comes out), [`pane`] (a captured screen → [`verdict::Reading`]),
//! [`screen`] (its rows), [`form`] (what one row of the client says, by the words in [`phrases`]),
//! [`reset_phrase`] and [`reset_time`] (when it ends), [`local_time`] (zones).

pub mod form;
pub mod local_time;
pub mod pane;
pub mod phrases;
pub mod reset_phrase;
pub mod reset_time;
pub mod screen;
pub mod verdict;
