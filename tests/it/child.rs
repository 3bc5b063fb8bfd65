//! A test that runs once more, alone, in a process of its own: for what binds a whole process.

use std::io::Read;
use std::process::{Child, Command, Stdio};

/// This test once more, alone, in a process of its own, until its standard input ends.
pub fn in_a_child(test: &str) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", test, "--nocapture"])
        .env("CF_TEST_CHILD", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    child
}

pub fn is_child() -> bool {
    std::env::var_os("CF_TEST_CHILD").is_some()
}

/// The rest of the next line of the child's output that starts with `key=`.
#[expect(clippy::unbuffered_bytes, reason = "a buffer would take what is for the next call")]
pub fn told(child: &mut Child, key: &str) -> String {
    let mut line = Vec::new();
    for byte in child.stdout.as_mut().unwrap().bytes() {
        match byte.unwrap() {
            b'\n' => {
                let text = String::from_utf8(std::mem::take(&mut line)).unwrap();
                if let Some((_, rest)) = text.split_once(key) {
                    return rest.trim_start_matches('=').to_owned();
                }
            }
            byte => line.push(byte),
        }
    }
    panic!("it ended without a word of {key}");
}
