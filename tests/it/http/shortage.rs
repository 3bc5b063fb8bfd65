//! A process that has no descriptors left, or just so many.

use std::fs::File;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// In a child all threads have these together.
const FILES_MAX: u64 = 64;

/// Descriptors taken by nobody's need.
pub struct Shortage {
    _taken: Vec<File>,
}

impl Shortage {
    /// Of those that this process may open just so many are left.
    pub fn leaving(spare: usize) -> Self {
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(FILES_MAX), maximum }).unwrap();
        let mut taken: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        assert!(taken.len() >= spare, "{spare} is too much to leave");
        taken.truncate(taken.len() - spare);
        Self { _taken: taken }
    }
}
