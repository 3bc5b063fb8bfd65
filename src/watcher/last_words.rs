//! What a conversation holds, asked for by its id: its agent may be gone long since.
//!
//! "Nothing arrived" lets somebody send a task a second time, so it is said only of a directory
//! that was read and a file that was read whole; whatever stands in the way of that is an error.

use std::io;
use std::path::Path;

use crate::config::Config;
use crate::core::event::LastWords;
use crate::files;
use crate::ids::{AccountName, ConversationId};
use crate::quota::transcript::{self, Ending, Entry};
use crate::quota::verdict::Context;
use crate::watcher::lines::Lines;
use crate::watcher::place::Place;

/// Of the model's last text, so many characters from its end.
const TEXT_CHARS_MAX: usize = 2_000;
/// What is read of a file, from its end: 0.1 s of work. A conversation is a tenth of that.
const READ_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Which conversation, and where it may lie.
#[derive(Debug, Clone, Copy)]
pub struct Sought<'a> {
    pub conversation: &'a ConversationId,
    pub account: &'a AccountName,
    pub cwd: &'a Path,
}

/// `None`: there is no such file, or no prompt in it.
///
/// # Errors
/// The account is not configured, its conversations cannot be looked through, or the file cannot be
/// read as far as the last prompt.
pub fn read(
    sought: Sought<'_>,
    config: &Config,
    context: &Context<'_>,
) -> Result<Option<Box<LastWords>>, String> {
    let Sought { conversation, account, cwd } = sought;
    let known = config.accounts.iter().find(|known| known.name == *account);
    let home = known.map(|known| &known.home).ok_or_else(|| {
        format!("conversation {conversation}: account {account} is not configured")
    })?;
    let place = Place::new(home.join("projects"), cwd, conversation);
    let Some(path) = place.locate().map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    read_file(&path, context).map_err(|error| format!("reading {}: {error}", path.display()))
}

fn read_file(path: &Path, context: &Context<'_>) -> io::Result<Option<Box<LastWords>>> {
    let (file, metadata) = files::open_plain(path)?;
    let end = metadata.len();
    let start = end.saturating_sub(READ_BYTES_MAX);
    let mut lines = Lines { line_at: start, searched_to: start };
    let mut ending = Ending::default();
    let mut text = None;
    lines.read_to(end, &file, |line| {
        let Some(entry) = transcript::entry(line, context) else { return };
        if matches!(entry, Entry::Answer { .. }) {
            text = transcript::speech(line, TEXT_CHARS_MAX).or_else(|| text.take());
        }
        ending.take(entry);
    })?;
    if ending.prompted_at.is_some() {
        return Ok(Some(Box::new(LastWords { ending, text })));
    }
    // A prompt may be where we did not look.
    let why = if start > 0 {
        "there is no prompt in its last 64 MiB"
    } else if lines.searched_to < end {
        "it was cut while it was read"
    } else if lines.line_at < end {
        "it holds no prompt, but ends in an unfinished line"
    } else {
        return Ok(None);
    };
    Err(io::Error::other(why))
}
