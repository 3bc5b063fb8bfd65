//! The whole lines of a file that grows, forwards and once each.
//!
//! A chunk at a time, so that neither the length of a file nor that of a line costs memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::watcher::lookback;

/// Read at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// A longer line is no record that matters, and is passed over.
pub const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Where the reading stands.
#[derive(Debug)]
pub struct Lines {
    /// Where the first line begins that is not taken yet.
    pub line_at: u64,
    /// No line ends between `line_at` and here.
    pub searched_to: u64,
}

impl Lines {
    /// Not so in a file that was written over.
    pub fn begin_well(&self, file: &File) -> io::Result<bool> {
        let Some(before) = self.line_at.checked_sub(1) else {
            return Ok(true);
        };
        Ok(lookback::read_exactly(file, before, self.line_at)? == b"\n")
    }

    /// Gives each whole line up to `end` to `take`, without its newline.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read_to(
        &mut self,
        end: u64,
        file: &File,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let missing = usize::try_from(end - self.searched_to).unwrap_or(CHUNK_BYTES);
        let mut chunk = vec![0; CHUNK_BYTES.min(missing)];
        while self.searched_to < end {
            let length = file.read_at(&mut chunk, self.searched_to)?;
            if length == 0 {
                // It was cut meanwhile, which the next look finds.
                return Ok(());
            }
            self.cut(&chunk[..length], file, &mut take)?;
        }
        Ok(())
    }

    /// `chunk` stands at `searched_to`.
    fn cut(&mut self, chunk: &[u8], file: &File, take: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let chunk_at = self.searched_to;
        let ends = chunk.iter().enumerate().filter(|&(_, &byte)| byte == b'\n');
        for (newline, _) in ends {
            let line_end = chunk_at + newline as u64;
            let line_at = std::mem::replace(&mut self.line_at, line_end + 1);
            match line_at.checked_sub(chunk_at) {
                Some(start) => {
                    let start = usize::try_from(start).map_err(io::Error::other)?;
                    take(&chunk[start..newline]);
                }
                // It began in an earlier chunk.
                None if line_end - line_at <= LINE_BYTES_MAX => {
                    take(&lookback::read_exactly(file, line_at, line_end)?);
                }
                None => log::warn!("passed over a line of {} bytes", line_end - line_at),
            }
        }
        self.searched_to = chunk_at + chunk.len() as u64;
        Ok(())
    }
}
