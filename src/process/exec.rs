//! Becoming another program: it takes our place, with its signals, output and exit code.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fs::{MemfdFlags, memfd_create};

/// Becomes `sh -c command` with `input` on its standard input and `variable` in its environment.
/// Comes back only with the reason why it could not.
#[expect(clippy::disallowed_methods, reason = "an owner of processes")]
pub fn shell(command: &str, input: &[u8], variable: (&str, &str)) -> io::Error {
    let stdin = match in_memory(input) {
        Ok(file) => file,
        Err(error) => return error,
    };
    let (name, value) = variable;
    Command::new("/bin/sh").arg("-c").arg(command).env(name, value).stdin(stdin).exec()
}

/// Becomes `program` by the PATH. Comes back only with the reason why it could not.
#[expect(clippy::disallowed_methods, reason = "an owner of processes")]
pub fn program(program: &str, args: &[String]) -> io::Error {
    Command::new(program).args(args).exec()
}

/// A pipe would hold only its first 64 KiB before somebody reads.
fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("input", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}
