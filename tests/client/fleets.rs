//! Whole fleets under one daemon: operators' own sessions and a pool at work, while accounts run out,
//! come back, and lose their login. They wait for real resets, so they run beside each other.

mod fleet;
mod plan;

mod busy;
mod login;
mod three_accounts;
mod waking;
