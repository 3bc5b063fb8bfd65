//! The daemon's edges, by the built binary: bad input, reloads, signals, the service manager.

mod instances;
mod newer;
mod predecessor;
mod private;
mod refused;
mod reload;
pub mod service;
mod signals;
pub mod site;
mod units;
mod usage;
mod version;
mod watchdog;
