//! `<home>/sessions/<pid>.json`, in which a client says which conversation it has and what it does.
//!
//! Undocumented and rewritten in place, so: every field may be absent, half a file may be read, and
//! a file may outlive its process. Reads files only; [`SessionFiles`] decides whom to believe.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::core::event::AgentState;
use crate::files;
use crate::ids::{ConversationId, ProcessRef};
use crate::moment::Wall;
use crate::process::own::is_out_of_descriptors;
use crate::process::table::{self, unless_hidden};
use crate::quota::json;

/// A real one has some 600 bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// A killed client leaves its file behind; more than this in one home and some are not looked at.
const FILES_MAX: usize = 4096;
/// A file changed less long ago may change again within one tick of the file system's clock.
const SETTLED: Duration = Duration::from_millis(100);
/// A client writes `startedAt` after the kernel started it, by two clocks read at two moments.
const STARTED_EARLIER_MAX: Duration = Duration::from_secs(5);
const STARTED_LATER_MAX: Duration = Duration::from_secs(600);

/// A session file, checked word by word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFile {
    pub pid: i32,
    pub conversation: Option<ConversationId>,
    /// Where the client was started; absolute.
    pub cwd: Option<PathBuf>,
    /// The client's own reading of field 22 of its `stat`.
    pub started_ticks: Option<u64>,
    pub started_at: Option<Wall>,
    pub state: AgentState,
    pub state_since: Option<Wall>,
}

/// A session file together with the living process that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveClient {
    pub process: ProcessRef,
    /// As [`table::parent`] gives it.
    pub parent: Option<i32>,
    pub file: SessionFile,
}

/// Remembers what it read until a file changes.
#[derive(Debug, Default)]
pub struct SessionFiles {
    known: HashMap<PathBuf, Known>,
}

#[derive(Debug)]
struct Known {
    stamp: Stamp,
    /// Wait for the file to rest before the stamp is believed.
    settled: bool,
    file: Option<SessionFile>,
}

#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size_bytes: u64,
    modified_ns: (i64, i64),
    changed_ns: (i64, i64),
}

/// `None` when it is not (yet) a JSON object with a pid.
pub fn parse(text: &[u8]) -> Option<SessionFile> {
    let value: Value = json::whole(text)?;
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let wall = |name: &str| value.get(name).and_then(Value::as_i64).map(Wall);
    let state = match text("status") {
        Some("idle") => AgentState::Idle,
        // `shell`: a command of the user's runs in it, and its end comes by itself.
        Some("busy" | "shell") => AgentState::Busy,
        Some("waiting") => AgentState::Waiting(text("waitingFor").unwrap_or("").to_owned()),
        Some(_) | None => AgentState::Unknown,
    };
    let ticks = match value.get("procStart") {
        Some(Value::String(digits)) => digits.parse().ok(),
        Some(number) => number.as_u64(),
        None => None,
    };
    Some(SessionFile {
        pid: i32::try_from(value.get("pid")?.as_i64()?).ok()?,
        conversation: text("sessionId").and_then(|id| id.parse().ok()),
        cwd: text("cwd").map(PathBuf::from).filter(|cwd| cwd.is_absolute()),
        started_ticks: ticks,
        started_at: wall("startedAt"),
        state,
        state_since: wall("statusUpdatedAt").filter(|since| since.0 > 0),
    })
}

impl SessionFiles {
    /// The clients of these homes that live now, each once.
    ///
    /// # Errors
    /// A process or a file cannot be looked at: a client that lives would be missing.
    pub fn live<'a>(
        &mut self,
        homes: impl Iterator<Item = &'a Path>,
        now: Wall,
    ) -> io::Result<Vec<LiveClient>> {
        let mut kept = HashSet::new();
        let mut live: HashMap<i32, LiveClient> = HashMap::new();
        for home in homes {
            for (pid, path) in files_of(home)? {
                let stat = unless_hidden(table::stat(pid))?.filter(|stat| !stat.ended);
                let Some(stat) = stat else { continue };
                let process = ProcessRef { pid, started_ticks: stat.started_ticks };
                let file = self.read(&path, now);
                kept.insert(path);
                let Some(file) = file.filter(|file| file.pid == pid && wrote(process, file, now))
                else {
                    continue;
                };
                // After a copy of a home the same client may stand in two; the newer word counts.
                let newer =
                    live.get(&pid).is_none_or(|other| other.file.state_since < file.state_since);
                if newer {
                    let parent = (stat.parent > 0).then_some(stat.parent);
                    live.insert(pid, LiveClient { process, parent, file });
                }
            }
        }
        self.known.retain(|path, _| kept.contains(path));
        Ok(live.into_values().collect())
    }

    /// Half a file keeps the word of the whole one before it.
    fn read(&mut self, path: &Path, now: Wall) -> Option<SessionFile> {
        let Ok(metadata) = fs::metadata(path) else {
            self.known.remove(path);
            return None;
        };
        let stamp = Stamp::of(&metadata);
        let known = match self.known.remove(path) {
            Some(known) if known.settled && known.stamp == stamp => known,
            earlier => {
                let file = read_bounded(path).as_deref().and_then(parse);
                Known {
                    settled: file.is_some() && stamp.rests(now),
                    file: file.or_else(|| earlier?.file),
                    stamp,
                }
            }
        };
        let file = known.file.clone();
        self.known.insert(path.to_owned(), known);
        file
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size_bytes: metadata.size(),
            modified_ns: (metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn rests(&self, now: Wall) -> bool {
        let (seconds, nanos) = self.changed_ns;
        now - Wall(seconds.saturating_mul(1000) + nanos / 1_000_000) > SETTLED
    }
}

/// (pid, path) of the session files in one home; other files stand beside them. A home that cannot
/// be read has none, unless it is we who cannot.
fn files_of(home: &Path) -> io::Result<Vec<(i32, PathBuf)>> {
    let entries = match fs::read_dir(home.join("sessions")) {
        Ok(entries) => entries,
        Err(error) if is_out_of_descriptors(&error) => return Err(error),
        Err(_) => return Ok(Vec::new()),
    };
    Ok(entries
        .flatten()
        .take(FILES_MAX)
        .filter_map(|entry| Some((pid_of(entry.file_name().to_str()?)?, entry.path())))
        .collect())
}

/// The pid in a session file's name; `None` for every other name.
pub fn pid_of(name: &str) -> Option<i32> {
    let digits = name.strip_suffix(".json")?;
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok())?
}

fn read_bounded(path: &Path) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    // Whoever runs as our user can put anything there.
    let (file, _) = files::open_plain(path).ok()?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).ok()?;
    (text.len() as u64 <= FILE_BYTES_MAX).then_some(text)
}

/// Whether this very process wrote the file, not an earlier one with the same pid.
fn wrote(process: ProcessRef, file: &SessionFile, now: Wall) -> bool {
    if let Some(ticks) = file.started_ticks {
        return ticks == process.started_ticks;
    }
    let Some(claimed) = file.started_at else {
        return false;
    };
    let age = table::age(process.started_ticks);
    let started = Wall(now.0.saturating_sub_unsigned(millis(age)));
    claimed + STARTED_EARLIER_MAX >= started && started + STARTED_LATER_MAX >= claimed
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: &str = r#"{"pid":3946,"sessionId":"82840528-5c4e-4114-8dc2-50dc43ea65c9",
        "cwd":"/tmp/w","startedAt":1795361004858,"procStart":"65121","version":"2.1.330",
        "peerFeatures":["a"],"kind":"interactive","asksForConvertedSkills":null,"tmux":"e:@0.%0",
        "status":"idle","updatedAt":1795361006034,"statusUpdatedAt":1795361006034}"#;

    #[test]
    fn a_real_file_is_understood() {
        let file = parse(REAL.as_bytes()).unwrap();
        let id = "82840528-5c4e-4114-8dc2-50dc43ea65c9".parse().unwrap();
        let expected = SessionFile {
            pid: 3946,
            conversation: Some(id),
            cwd: Some("/tmp/w".into()),
            started_ticks: Some(65_121),
            started_at: Some(Wall(1_795_361_004_858)),
            state: AgentState::Idle,
            state_since: Some(Wall(1_795_361_006_034)),
        };
        assert_eq!(file, expected);
    }

    #[test]
    fn no_cut_of_a_real_file_is_taken_for_a_file() {
        for end in 0..REAL.len() {
            assert_eq!(parse(&REAL.as_bytes()[..end]), None, "{}", &REAL[..end]);
        }
        assert_eq!(parse(b"[1]"), None);
        assert_eq!(parse(br#"{"pid":"1"}"#), None);
    }

    #[test]
    fn words_of_state() {
        let waiting = |on: &str| AgentState::Waiting(on.to_owned());
        for (fields, expected) in [
            (r#""status":"idle""#, AgentState::Idle),
            (r#""status":"busy""#, AgentState::Busy),
            (r#""status":"shell""#, AgentState::Busy),
            (r#""status":"waiting","waitingFor":"dialog open""#, waiting("dialog open")),
            (r#""status":"waiting""#, waiting("")),
            (r#""status":"dreaming""#, AgentState::Unknown),
            (r#""status":7"#, AgentState::Unknown),
            (r#""x":0"#, AgentState::Unknown),
        ] {
            let text = format!(r#"{{"pid":1,{fields}}}"#);
            assert_eq!(parse(text.as_bytes()).unwrap().state, expected, "{fields}");
        }
    }

    #[test]
    fn a_field_of_an_unexpected_kind_costs_only_itself() {
        let text = br#"{"pid":1,"sessionId":"x","cwd":"rel","procStart":77,"startedAt":"y",
            "status":"busy","statusUpdatedAt":0}"#;
        let expected = SessionFile {
            pid: 1,
            conversation: None,
            cwd: None,
            started_ticks: Some(77),
            started_at: None,
            state: AgentState::Busy,
            state_since: None,
        };
        assert_eq!(parse(text), Some(expected));
    }

    #[test]
    fn only_a_pid_and_json_is_a_session_files_name() {
        assert_eq!(pid_of("3946.json"), Some(3946));
        for name in ["3946.8e8a.key", ".json", "3946.json.tmp", "+1.json", "9999999999.json"] {
            assert_eq!(pid_of(name), None, "{name}");
        }
    }

    #[test]
    fn without_a_start_time_the_moment_of_the_start_must_fit() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let process = table::identity(pid).unwrap().unwrap();
        let now = Wall(1_795_361_004_858);
        let started = now.0 - i64::try_from(millis(table::age(process.started_ticks))).unwrap();
        for (ticks, at, expected) in [
            (Some(process.started_ticks), None, true),
            (Some(process.started_ticks + 1), Some(started), false),
            (None, None, false),
            (None, Some(started + 500), true),
            (None, Some(started - 60_000), false),
            (None, Some(started + 3_600_000), false),
        ] {
            let mut file = parse(br#"{"pid":1}"#).unwrap();
            file.started_ticks = ticks;
            file.started_at = at.map(Wall);
            assert_eq!(wrote(process, &file, now), expected, "{ticks:?} {at:?}");
        }
    }
}
