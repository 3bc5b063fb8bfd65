//! What programs beyond tmux say of ours: chromium of the page, promtool of the metrics and the alert
//! rules, zsh of the completions, groff of the man page. Apart from tests/it, so that `cargo test` needs
//! none of them: `cargo test --test tools`, after
//! `apt-get install chromium prometheus openssl zsh groff-base`. A program that is missing fails its test.

#![allow(clippy::disallowed_methods, reason = "tests start processes and look at the clock")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

#[allow(dead_code, reason = "shared with tests/it")]
mod daemon;
#[path = "../it/support.rs"]
mod support;

mod generate;
mod metrics;
mod monitored;
mod page;
