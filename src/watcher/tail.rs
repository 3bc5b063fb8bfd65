//! One conversation file, read from where it ended when we met it; what is appended costs what is
//! appended, and nothing else is read again.
//!
//! A file that was cut, replaced or written over is met anew. Lines are taken when they are whole.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use crate::files;
use crate::moment::Wall;
use crate::quota::transcript::{self, Ending};
use crate::quota::verdict::Context;
use crate::watcher::lines::Lines;
use crate::watcher::lookback;

/// A file that grew by more than this between two looks was not written by a conversation; it is
/// met anew.
const GROWTH_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Debug)]
pub struct Tail {
    file: FileId,
    lines: Lines,
    ending: Ending,
}

/// An inode number alone is given to the next file at once; its birth tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
    born: Option<SystemTime>,
}

impl Tail {
    /// Meets a file: of what it holds, only lines not older than `since` count.
    ///
    /// # Errors
    /// There is no such file, or it cannot be read.
    pub fn meet(path: &Path, since: Wall, context: &Context<'_>) -> io::Result<Self> {
        let (file, metadata) = files::open_plain(path)?;
        Self::of(&file, &metadata, since, context)
    }

    fn of(
        file: &File,
        metadata: &Metadata,
        since: Wall,
        context: &Context<'_>,
    ) -> io::Result<Self> {
        let found = lookback::find(file, metadata.size(), since, context)?;
        Ok(Self {
            file: FileId::of(metadata),
            lines: Lines { line_at: found.next_line_at, searched_to: metadata.size() },
            ending: found.ending,
        })
    }

    /// What all lines say that count.
    pub fn ending(&self) -> &Ending {
        &self.ending
    }

    /// Takes what was appended. All of it counts: it was written after we met the agent, whatever
    /// the clock said then.
    ///
    /// # Errors
    /// The file has gone, or cannot be read.
    pub fn follow(&mut self, path: &Path, since: Wall, context: &Context<'_>) -> io::Result<()> {
        let metadata = fs::metadata(path)?;
        let known_to = self.lines.searched_to;
        if FileId::of(&metadata) == self.file && metadata.size() == known_to {
            return Ok(());
        }
        let (file, metadata) = files::open_plain(path)?;
        let appended = FileId::of(&metadata) == self.file
            && (known_to..=known_to + GROWTH_BYTES_MAX).contains(&metadata.size())
            && self.lines.begin_well(&file)?;
        if !appended {
            *self = Self::of(&file, &metadata, since, context)?;
            return Ok(());
        }
        let ending = &mut self.ending;
        self.lines.read_to(metadata.size(), &file, |line| {
            if let Some(entry) = transcript::entry(line, context) {
                ending.take(entry);
            }
        })
    }
}

impl FileId {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), born: metadata.created().ok() }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::path::PathBuf;

    use super::*;

    const CONTEXT: Context<'_> = Context { now: Wall(0), zone: None, patterns: &[] };
    const SINCE: Wall = Wall(1_795_361_000_000);

    struct Stage {
        _dir: tempfile::TempDir,
        path: PathBuf,
    }

    impl Stage {
        fn new(text: &[u8]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("conversation.jsonl");
            fs::write(&path, text).unwrap();
            Self { _dir: dir, path }
        }

        fn append(&self, text: impl AsRef<[u8]>) {
            let mut file = OpenOptions::new().append(true).open(&self.path).unwrap();
            file.write_all(text.as_ref()).unwrap();
        }

        fn meet(&self) -> Tail {
            Tail::meet(&self.path, SINCE, &CONTEXT).unwrap()
        }

        #[track_caller]
        fn check(&self, tail: &mut Tail, expected: &str) {
            tail.follow(&self.path, SINCE, &CONTEXT).unwrap();
            assert_eq!(summary(tail.ending()), expected);
        }
    }

    /// Seconds of the prompt, the answer and the error after [`SINCE`], as `p1 a2 e3`.
    fn summary(ending: &Ending) -> String {
        let after = |name: &str, at: Option<Wall>| {
            at.map(|at| format!("{name}{}", (at.0 - SINCE.0) / 1000)).unwrap_or_default()
        };
        let error = after("e", ending.error.as_ref().map(|error| error.at));
        let parts = [after("p", ending.prompted_at), after("a", ending.answered_at), error];
        let said: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        said.join(" ")
    }

    fn stamp(after_s: i64) -> String {
        Wall(SINCE.0 + after_s * 1000).to_string()
    }

    fn prompt(after_s: i64) -> String {
        let at = stamp(after_s);
        format!(r#"{{"type":"user","message":{{"content":"go"}},"timestamp":"{at}"}}"#) + "\n"
    }

    fn answer(after_s: i64) -> String {
        let at = stamp(after_s);
        format!(r#"{{"type":"assistant","message":{{"content":[]}},"timestamp":"{at}"}}"#) + "\n"
    }

    fn error(after_s: i64) -> String {
        answer(after_s).replace(r#""type""#, r#""isApiErrorMessage":true,"type""#)
    }

    fn noise(bytes: usize) -> String {
        format!("{{\"type\":\"attachment\",\"text\":\"{}\"}}\n", "n".repeat(bytes))
    }

    /// Bytes that this thread has read from files so far.
    fn bytes_read() -> u64 {
        let text = fs::read_to_string("/proc/thread-self/io").unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
        line.parse().unwrap()
    }

    #[test]
    fn what_is_older_than_the_agent_does_not_count_at_first_sight() {
        for (text, expected) in [
            (String::new(), ""),
            (prompt(-9) + &error(-8), ""),
            (error(-8) + &prompt(1), "p1"),
            (error(-8) + &prompt(1) + &error(2), "p1 e2"),
            (prompt(1) + &error(2) + &prompt(3), "p3 e2"),
            (error(1) + &prompt(2) + &answer(3), "p2 a3"),
            (prompt(1) + &answer(2) + &noise(200_000) + &error(3), "p1 e3"),
            (prompt(1) + &noise(2_000_000) + &error(3), "e3"),
            (prompt(1) + &error(2) + &noise(3_000_000), "p1 e2"),
            (error(2) + &noise(9_000_000), ""),
            (error(2) + error(3).trim_end(), "e2"),
            ("no newline at all".to_owned(), ""),
            ("\n\n".to_owned() + &error(1) + "\n\n{}\n[\n", "e1"),
        ] {
            let tail = Stage::new(text.as_bytes()).meet();
            assert_eq!(summary(tail.ending()), expected, "{} bytes", text.len());
        }
    }

    #[test]
    fn what_is_appended_counts_whatever_its_date() {
        let stage = Stage::new(error(-5).as_bytes());
        let mut tail = stage.meet();
        stage.check(&mut tail, "");
        stage.append(error(-4));
        stage.check(&mut tail, "e-4");
        stage.append(prompt(2) + &answer(3));
        stage.check(&mut tail, "p2 a3");
    }

    #[test]
    fn a_line_is_taken_when_it_is_whole_wherever_it_is_cut() {
        let line = error(7);
        for cut in 1..line.len() {
            let stage = Stage::new((prompt(1) + &line[..cut / 2]).as_bytes());
            let mut tail = stage.meet();
            stage.append(&line[cut / 2..cut]);
            stage.check(&mut tail, "p1");
            stage.append(&line[cut..]);
            stage.check(&mut tail, "p1 e7");
        }
    }

    #[test]
    fn lines_of_many_megabytes_are_read_or_passed_over_and_lose_no_other() {
        let over = usize::try_from(crate::watcher::lines::LINE_BYTES_MAX).unwrap();
        for (bytes, expected) in [(100_000, "a9"), (10 << 20, "a9"), (over, "")] {
            let long = answer(9)
                .replace("{\"content", &format!("{{\"x\":\"{}\",\"content", "y".repeat(bytes)));
            let stage = Stage::new(b"");
            let mut tail = stage.meet();
            for piece in long.as_bytes().chunks(3_000_001) {
                stage.check(&mut tail, "");
                stage.append(piece);
            }
            stage.check(&mut tail, expected);
            stage.append(error(10));
            stage.check(&mut tail, format!("{expected} e10").trim());
            // The same, all at once.
            let stage = Stage::new(b"");
            let mut tail = stage.meet();
            stage.append(long + &error(10));
            stage.check(&mut tail, format!("{expected} e10").trim());
        }
    }

    #[test]
    fn a_file_that_is_cut_replaced_or_written_over_is_met_anew() {
        let stage = Stage::new((prompt(1) + &error(2)).as_bytes());
        let mut tail = stage.meet();
        stage.check(&mut tail, "p1 e2");
        // Cut.
        fs::write(&stage.path, prompt(3)).unwrap();
        stage.check(&mut tail, "p3");
        fs::write(&stage.path, "").unwrap();
        stage.check(&mut tail, "");
        stage.append(error(4));
        stage.check(&mut tail, "e4");
        // Replaced, by a longer and by a shorter file; history in it does not count.
        for (text, expected) in [(noise(5000) + &error(-3) + &prompt(5), "p5"), (error(6), "e6")] {
            crate::files::write_atomic(&stage.path, text.as_bytes(), 0o600).unwrap();
            stage.check(&mut tail, expected);
        }
        // Written over with something longer.
        fs::write(&stage.path, noise(5000) + &answer(7)).unwrap();
        stage.check(&mut tail, "a7");
        fs::remove_file(&stage.path).unwrap();
        let gone = tail.follow(&stage.path, SINCE, &CONTEXT).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_length_of_a_conversation_costs_nothing() {
        let short = Stage::new((noise(300_000) + &prompt(1) + &answer(2)).as_bytes());
        let long = Stage::new(b"");
        // A hole: what is never read needs no content.
        let file = OpenOptions::new().write(true).open(&long.path).unwrap();
        file.set_len(200 << 20).unwrap();
        long.append("\n".to_owned() + &noise(300_000) + &prompt(1) + &answer(2));
        assert!(fs::metadata(&long.path).unwrap().len() > 200 << 20);
        let mut costs = Vec::new();
        for stage in [&short, &long] {
            let start = bytes_read();
            let mut tail = stage.meet();
            let met = bytes_read();
            for after_s in 3..103 {
                stage.append(error(after_s));
                stage.check(&mut tail, &format!("p1 a2 e{after_s}"));
            }
            costs.push((met - start, bytes_read() - met));
        }
        let own = bytes_read();
        let own = bytes_read() - own;
        println!("bytes read at first sight and for 100 lines: {costs:?}, {own} of it by counting");
        assert!(costs[0].0.abs_diff(costs[1].0) < 1024, "{costs:?}");
        assert!(costs[0].1.abs_diff(costs[1].1) < 1024, "{costs:?}");
        assert!(costs[1].1 < 100 * 300 + 2 * own + 1024, "{costs:?}");
    }

    #[test]
    fn what_lies_too_far_back_is_not_read() {
        let stage = Stage::new(error(1).as_bytes());
        for _ in 0..30 {
            stage.append(noise(1 << 20));
        }
        let start = bytes_read();
        assert_eq!(summary(stage.meet().ending()), "");
        let read = bytes_read() - start;
        assert!(read < 12 << 20, "{read}");
    }

    #[test]
    fn a_pipe_is_no_conversation() {
        let dir = tempfile::tempdir().unwrap();
        let error = Tail::meet(dir.path(), SINCE, &CONTEXT).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
