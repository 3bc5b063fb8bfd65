//! What has happened: told from records, and by the verb from real files.

mod fold;
mod missing;
pub mod script;
mod verb;
