//! The head of a task file: YAML between two lines of `---`, above a body of any bytes. Pure.

use crate::ids::TaskId;
use crate::task::{TaskResult, TaskSpec};

/// What the head of a task file says.
///
/// # Errors
/// Why it is malformed, in one line that names the key and the remedy.
pub fn read(id: &TaskId, bytes: &[u8]) -> Result<TaskSpec, String> {
    let _ = (id, bytes);
    unimplemented!()
}

/// The file with its result in the front matter. What it said before and its body stay, byte for byte.
pub fn with_result(bytes: &[u8], result: &TaskResult) -> Vec<u8> {
    let _ = (bytes, result);
    unimplemented!()
}

/// The file as it was before [`with_result`], for another try.
pub fn without_result(bytes: &[u8]) -> Vec<u8> {
    let _ = bytes;
    unimplemented!()
}
