//! Which build this is, as `etc/build.rs` found it.

/// By semantic versioning: `0.1.0`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// With the commit and its day, where the build knew them: `0.1.0 (8f7b909, 2026-11-26)`.
pub const LONG: &str = env!("BUILD_VERSION");

/// `8f7b909`; `None` when it was built from a bare tree.
pub const COMMIT: Option<&str> = match env!("BUILD_COMMIT") {
    commit if commit.is_empty() => None,
    commit => Some(commit),
};
