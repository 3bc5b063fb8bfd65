//! The process in a pane that starts an agent, and the file that tells it how.
//!
//! It builds the agent's environment from a list, outlives the keys that would end or stop it,
//! and leaves a login shell in the same pane. It never types and no shell reads its arguments.

pub mod agent;
pub mod pane;
pub mod run;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::OFlags;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

use crate::files;

/// A spec holds one command line and a few variables; Linux takes 128 KiB for one argument.
pub const SPEC_BYTES_MAX: u64 = 512 << 10;

/// What to start. Lives in `<runtime_dir>/launch/`, mode 0600, and is removed by its reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchSpec {
    /// Program and arguments; never empty.
    pub argv: Vec<String>,
    pub cwd: PathBuf,
    /// `CLAUDE_CONFIG_DIR` of the agent: the account's real home.
    pub home: PathBuf,
    /// Added to the allow-listed environment.
    pub env: BTreeMap<String, String>,
}

impl LaunchSpec {
    /// Writes it with mode 0600. The parent directory must exist.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        if self.argv.is_empty() || text.len() as u64 > SPEC_BYTES_MAX {
            return Err(unfit(path, "it has no program or is too long"));
        }
        files::write_atomic(path, &text, 0o600)
    }

    /// Reads it and removes the file: one spec starts one agent.
    ///
    /// A file that another user owns or may open, or that is no plain file, stays and is an error.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = fs_err::OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(path)?;
        let found = file.metadata()?;
        if !found.is_file() || found.uid() != geteuid().as_raw() || found.mode() & 0o077 != 0 {
            return Err(unfit(path, "it is not a file of ours with mode 0600"));
        }
        let mut text = Vec::new();
        file.take(SPEC_BYTES_MAX + 1).read_to_end(&mut text)?;
        if text.len() as u64 > SPEC_BYTES_MAX {
            return Err(unfit(path, "it is too long"));
        }
        let spec: Self =
            serde_json::from_slice(&text).map_err(|error| unfit(path, &error.to_string()))?;
        if spec.argv.is_empty() {
            return Err(unfit(path, "it names no program"));
        }
        fs_err::remove_file(path)?;
        Ok(spec)
    }
}

fn unfit(path: &Path, why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{} is not a launch spec: {why}", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn spec() -> LaunchSpec {
        LaunchSpec {
            argv: vec!["claude".to_owned(), "it's \"one\" line; $HOME".to_owned()],
            cwd: "/srv".into(),
            home: "/home/a/.claude-a".into(),
            env: BTreeMap::from([("IS_SANDBOX".to_owned(), "1".to_owned())]),
        }
    }

    #[test]
    fn a_spec_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spec");
        spec().write(&path).unwrap();
        assert_eq!(fs_err::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(LaunchSpec::read(&path).unwrap(), spec());
        let error = LaunchSpec::read(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_spec_that_others_could_have_written_is_refused_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spec");
        spec().write(&path).unwrap();
        fs_err::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(LaunchSpec::read(&path).is_err());

        let link = dir.path().join("link");
        fs_err::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs_err::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(LaunchSpec::read(&link).is_err());
        assert!(LaunchSpec::read(dir.path()).is_err());
        assert!(path.exists());
    }

    #[test]
    fn a_spec_with_unknown_fields_without_program_or_too_long_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spec");
        let long =
            format!(r#"{{"argv":["{}"],"cwd":"/","home":"/","env":{{}}}}"#, "x".repeat(600 << 10));
        for text in [
            r#"{"argv":["a"],"cwd":"/","home":"/","env":{},"shell":true}"#,
            r#"{"argv":[],"cwd":"/","home":"/","env":{}}"#,
            r#"{"argv":["a"],"cwd":"/","home":"/"}"#,
            "",
            &long,
        ] {
            files::write_atomic(&path, text.as_bytes(), 0o600).unwrap();
            let error = LaunchSpec::read(&path).unwrap_err().to_string();
            assert!(error.contains("is not a launch spec"), "{error}");
        }
    }
}
