//! Processes in which descriptors run out.

use std::fs::File;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::child::{in_a_child, is_child};

pub const FEW: u64 = 64;

/// Runs `body` in a process of its own that may open [`FEW`] files: this test once more.
#[track_caller]
pub fn with_few(test: &str, body: fn()) {
    if is_child() {
        may_open(FEW);
        return body();
    }
    let output = in_a_child(test).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{why}");
}

/// So many files, from now on, in this process.
pub fn may_open(files: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum }).unwrap();
}

/// Until it is dropped, only `free` are left.
pub fn take_all_but(free: usize) -> Vec<File> {
    let mut taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(taken.len() < usize::try_from(FEW).unwrap(), "there is no end of them");
    taken.truncate(taken.len() - free);
    taken
}
