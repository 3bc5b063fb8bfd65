//! `doctor`: each check on what is right and on what is not, and the whole of it on a host of its own.

mod checks;
mod config;
mod files;
mod whole;
