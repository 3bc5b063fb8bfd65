//! Which daemon a marker belongs to: a random id kept in `<state_dir>/instance`. Also the source of
//! the ids of conversations.

use std::io::{self, ErrorKind};
use std::path::Path;

use rustix::rand::{GetRandomFlags, getrandom};

use crate::files;
use crate::ids::ConversationId;
use crate::queue::dir::Dir;

const FILE: &str = "instance";
/// A UUID and a line break; more is not ours.
const BYTES_MAX: u64 = 64;

/// The id of whoever has this state directory. Made at the first call; the same ever after.
///
/// # Errors
/// It can be neither read nor made, or holds something else.
pub fn instance(state_dir: &Path) -> io::Result<String> {
    files::make_dir(state_dir)?;
    let dir = Dir::open(state_dir)?;
    if dir.look(FILE)?.is_none() {
        // Taken: another process of ours was quicker, and its id is ours too.
        dir.put_new(FILE, format!("{}\n", random_uuid()?).as_bytes(), 0o600)?;
    }
    let bytes = dir.read(FILE, BYTES_MAX)?.map(|(_, bytes)| bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    match text.trim_end().parse::<ConversationId>() {
        Ok(id) => Ok(id.into()),
        Err(_) => Err(io::Error::new(
            ErrorKind::InvalidData,
            format!(
                "{} does not hold the id of this instance: remove it, and the tasks that were \
                 claimed until now count as somebody else's",
                state_dir.join(FILE).display()
            ),
        )),
    }
}

/// For an agent that is to be launched.
pub fn new_conversation() -> io::Result<ConversationId> {
    Ok(random_uuid()?.parse().expect("32 hexadecimal digits in groups are a UUID"))
}

/// Version 4, as RFC 9562 writes it.
fn random_uuid() -> io::Result<String> {
    let mut bytes = [0u8; 16];
    // INVARIANT: requests of up to 256 bytes are answered whole.
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let [a, b, c, d, e] = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    Ok(format!("{a}-{b}-{c}-{d}-{e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversations_are_random_and_of_version_4() {
        let ids = [new_conversation().unwrap(), new_conversation().unwrap()];
        assert_ne!(ids[0], ids[1]);
        for id in ids {
            assert_eq!(&id.as_str()[14..15], "4");
            assert!("89ab".contains(&id.as_str()[19..20]), "{id}");
        }
    }

    #[test]
    fn an_instance_keeps_its_id_and_takes_no_strange_one() {
        let dir = tempfile::tempdir().unwrap();
        let first = instance(dir.path()).unwrap();
        assert_eq!(instance(dir.path()).unwrap(), first);
        fs_err::write(dir.path().join(FILE), "me").unwrap();
        let error = instance(dir.path()).unwrap_err().to_string();
        assert!(error.contains("instance") && error.contains("remove it"), "{error}");
    }
}
