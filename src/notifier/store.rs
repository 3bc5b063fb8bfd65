//! Outboxes on the disk: `<state_dir>/notices/<channel>.json`, each replaced as a whole, so that a
//! crash leaves the state before or after, never a message both sent and forgotten.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::files;
use crate::notifier::outbox::Outbox;

/// Far above the largest that its limits allow.
const FILE_BYTES_MAX: u64 = 8 << 20;
const MODE: u32 = 0o600;

#[derive(Debug, Clone)]
pub struct Store {
    path: PathBuf,
}

impl Store {
    /// # Errors
    /// The directory cannot be made.
    pub fn open(state_dir: &Path, channel: &str) -> io::Result<Self> {
        let dir = state_dir.join("notices");
        files::make_private_dir(&dir)?;
        files::remove_leftovers(&dir)?;
        Ok(Self { path: dir.join(format!("{channel}.json")) })
    }

    /// A new one where there is none. One whose bytes make no sense is kept beside, and said:
    /// messages of yesterday are worth less than those of tomorrow.
    ///
    /// # Errors
    /// The file may be whole and could not be read, or not be kept beside: it is not to be replaced.
    pub fn load(&self) -> io::Result<Outbox> {
        let Some(bytes) = self.read()? else { return Ok(Outbox::default()) };
        let why = match serde_json::from_slice(&bytes) {
            Ok(outbox) => return Ok(outbox),
            Err(error) => error,
        };
        let kept = self.path.with_extension("json.damaged");
        files::write_quick(&kept, &bytes, MODE)?;
        log::error!(
            "{} is damaged: {why}; messages that waited in it are not sent, what it held is in {}",
            self.path.display(),
            kept.display()
        );
        Ok(Outbox::default())
    }

    /// The last record that was taken; `None`: nothing is there, or nothing of use.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn cursor(&self) -> io::Result<Option<u64>> {
        let outbox = self.read()?.and_then(|bytes| serde_json::from_slice::<Outbox>(&bytes).ok());
        Ok(outbox.and_then(|outbox| outbox.cursor))
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let file = match fs_err::File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    pub fn save(&self, outbox: &Outbox) -> io::Result<()> {
        let text = serde_json::to_vec(outbox).expect("words and numbers, which JSON can hold");
        files::write_atomic(&self.path, &text, MODE)
    }

    /// A channel that is no longer configured has nothing to tell, not even later.
    pub fn remove(&self) {
        match fs_err::remove_file(&self.path) {
            Ok(()) => log::info!("{} removed: its channel is not configured", self.path.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => log::warn!("{error}"),
        }
    }
}
