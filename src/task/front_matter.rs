//! The head of a task file: YAML between two lines of `---`, above a body of any bytes. Pure.
//!
//! `head` finds where it stands, `keys` knows what it may say, `outcome` is the part that we add when
//! the task has ended. What an author wrote is never rewritten, only added to.

mod head;
mod keys;
mod outcome;

use crate::harmless;
use crate::ids::{TaskId, TaskRef};
use crate::task::front_matter::head::Head;
use crate::task::{TaskResult, TaskSpec};

/// Of the sentence that says why a front matter is malformed.
const WHY_CHARS_MAX: usize = 500;

/// What the head of a task file says. A file without one is a task with all defaults.
///
/// # Errors
/// Why it is malformed, in one line that names the key and the remedy.
pub fn read(id: &TaskId, bytes: &[u8]) -> Result<TaskSpec, String> {
    let spec = || match Head::find(bytes)? {
        Some(head) => keys::read(id, &head.tree()?),
        None => Ok(keys::defaults(id)),
    };
    spec().map_err(|why: String| harmless::line(&why, WHY_CHARS_MAX))
}

/// Whether a file begins with front matter, be it good or bad.
pub fn is_there(bytes: &[u8]) -> bool {
    !matches!(Head::find(bytes), Ok(None))
}

/// The file with its result in the front matter. What it said before and its body stay, byte for byte.
///
/// The result is added at the end of the front matter. Where that cannot be done without changing
/// what stands there (there is none, it is malformed, it has a `result` of its own), the file gets
/// a front matter of ours above it.
pub fn with_result(bytes: &[u8], result: &TaskResult) -> Vec<u8> {
    let block = outcome::print(result);
    added(bytes, &block).unwrap_or_else(|| {
        let above = format!("---\n{}{block}{}---\n", outcome::ABOVE, outcome::END);
        [above.as_bytes(), bytes].concat()
    })
}

/// The file as it was before [`with_result`], for another try.
pub fn without_result(bytes: &[u8]) -> Vec<u8> {
    let Ok(Some(head)) = Head::find(bytes) else {
        return bytes.to_vec();
    };
    let inner = &bytes[head.inner.clone()];
    match outcome::find(inner) {
        Some(outcome::Place::Added(at)) => {
            let (before, after) = (&bytes[..head.inner.start + at], &bytes[head.inner.end..]);
            [before, after].concat()
        }
        Some(outcome::Place::Above) => bytes[head.body..].to_vec(),
        None => bytes.to_vec(),
    }
}

/// What [`with_result`] wrote; `None` when the front matter holds no readable result.
pub fn result(task: &TaskRef, bytes: &[u8]) -> Option<TaskResult> {
    let head = Head::find(bytes).ok()??;
    let entries = keys::entries(&head.tree().ok()?)?.to_vec();
    let (_, node) = entries.iter().find(|(key, _)| key == outcome::KEY)?;
    outcome::read(task, node)
}

/// `None` when the file would then say something else than before, or nothing readable.
fn added(bytes: &[u8], block: &str) -> Option<Vec<u8>> {
    let head = Head::find(bytes).ok()??;
    let before = head.tree().ok()?;
    let mut entries = keys::entries(&before)?.to_vec();
    if entries.iter().any(|(key, _)| key == outcome::KEY) {
        return None;
    }
    let block = format!("{}{block}{}", outcome::ADDED, outcome::END);
    let (above, below) = bytes.split_at(head.inner.end);
    let file = [above, block.as_bytes(), below].concat();
    let after = Head::find(&file).ok()??;
    let after = keys::entries(&after.tree().ok()?)?.to_vec();
    let (key, _) = after.last()?;
    entries.extend(after.last().cloned());
    (key == outcome::KEY && entries == after).then_some(file)
}
