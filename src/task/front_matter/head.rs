//! Where the front matter of a file begins and ends.

use std::ops::Range;

use crate::yaml::{self, Limits, Node};

/// Of the front matter with both its lines `---`.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Every line of the largest front matter fits, and a result whose texts are nothing but brackets.
const LIMITS: Limits = Limits { nodes_max: 10_000, work_max: 32 << 20 };

const BOM: &[u8] = b"\xef\xbb\xbf";

/// The front matter of one file, as bytes.
#[derive(Debug, Clone)]
pub struct Head<'b> {
    bytes: &'b [u8],
    /// Behind a byte order mark.
    start: usize,
    /// Between its two lines `---`; ends with a line break, or is empty.
    pub inner: Range<usize>,
    /// Where the body begins.
    pub body: usize,
}

impl<'b> Head<'b> {
    /// `None`: the file's first line is not `---`.
    ///
    /// # Errors
    /// It has no end.
    pub fn find(bytes: &'b [u8]) -> Result<Option<Self>, String> {
        let start = if bytes.starts_with(BOM) { BOM.len() } else { 0 };
        let seen = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
        let inner_start = line_end(seen, start);
        if !is_fence(&seen[start..inner_start]) {
            return Ok(None);
        }
        let mut at = inner_start;
        while at < seen.len() {
            let end = line_end(seen, at);
            // A line that the limit cuts may go on.
            let is_whole = end < seen.len() || seen.len() == bytes.len();
            if is_whole && is_fence(&seen[at..end]) {
                return Ok(Some(Self { bytes, start, inner: inner_start..at, body: end }));
            }
            at = end;
        }
        if seen.len() < bytes.len() {
            return Err(format!(
                "the front matter has more than {HEAD_BYTES_MAX} bytes, or no end: close it with a \
                 line --- and write what is long below it"
            ));
        }
        Err("the front matter has no end: close it with a line ---, or begin the file with an empty \
             line when it is to have none"
            .to_owned())
    }

    /// # Errors
    /// It is no YAML, or more of it than is read.
    pub fn tree(&self) -> Result<Node, String> {
        // With the line `---` above it, so that the lines of errors are those of the file.
        let text = &self.bytes[self.start..self.inner.end];
        let text = std::str::from_utf8(text).map_err(|error| {
            let before = &text[..error.valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            format!("line {line} of the front matter is no UTF-8: write it in UTF-8")
        })?;
        yaml::parse(text, LIMITS)
            .map_err(|malformed| format!("the front matter {}", malformed.message))
    }
}

/// Where the line ends that begins at `at`: behind its line break, or at the end of all.
fn line_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    rest.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |found| at + found + 1)
}

/// `---` and nothing else that can be seen.
fn is_fence(line: &[u8]) -> bool {
    line.trim_ascii_end() == b"---"
}
