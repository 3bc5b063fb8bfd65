//! Who waits for what the coordinator says to a verb: one end of a socket pair is with the client's
//! exchange, the other here, until it is answered or nobody waits any more.
//!
//! Neither side waits for the other: the pair holds a whole answer, and the lock is held for a look
//! at the map alone.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::api::exchange::{ANSWER_BYTES_MAX, Flow, receive};
use crate::api::gate::{Made, Source};
use crate::core::action::AskId;
use crate::harmless;

/// One line of an answer; what is longer stands in the log.
const LINE_CHARS_MAX: usize = 1_000;
/// A reload has a line for each problem. So much fits the buffer of a socket in any script.
const ANSWER_CHARS_MAX: usize = 40_000;

/// Verbs that were passed on and are not answered.
pub struct Asks {
    waiting_max: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    last: AskId,
    /// What is written here reaches the client.
    clients: BTreeMap<AskId, UnixStream>,
}

/// Why nobody can wait.
#[derive(Debug, thiserror::Error)]
pub enum NoAsk {
    #[error("too many verbs wait for the coordinator")]
    Full,
    #[error("no socket pair: {0}")]
    Io(#[from] std::io::Error),
}

/// The client's end. Dropped, it takes its ask with it: an answer that comes later is dropped, too.
pub struct Pending {
    ask: AskId,
    answer: UnixStream,
    received: Vec<u8>,
    asks: Arc<Asks>,
}

impl Asks {
    pub fn new(waiting_max: usize) -> Self {
        Self { waiting_max, open: Mutex::default() }
    }

    /// # Errors
    /// Too many wait already, or there is no socket for one more.
    pub fn open(asks: &Arc<Self>) -> Result<(AskId, Pending), NoAsk> {
        let mut open = asks.lock();
        if open.clients.len() >= asks.waiting_max {
            return Err(NoAsk::Full);
        }
        let (client, answer) = UnixStream::pair()?;
        client.set_nonblocking(true)?;
        answer.set_nonblocking(true)?;
        let ask = AskId(open.last.0 + 1);
        open.last = ask;
        open.clients.insert(ask, client);
        Ok((ask, Pending { ask, answer, received: Vec::new(), asks: asks.clone() }))
    }

    /// Once; of an ask that nobody waits for any more, nothing.
    pub fn answer(&self, ask: AskId, result: Result<String, String>) {
        let answer = match result {
            Ok(said) => json!({"ok": true, "said": shortened(&said)}),
            Err(error) => refusal(&shortened(&error)),
        };
        let client = self.lock().clients.remove(&ask);
        let Some(mut client) = client else {
            log::debug!("{ask:?}: nobody waits for the answer any more");
            return;
        };
        // Its end, which follows, tells the exchange that this is all.
        if let Err(error) = client.write_all(&line(&answer)) {
            log::debug!("{ask:?}: the answer was not taken: {error}");
        }
    }

    pub fn waiting(&self) -> usize {
        self.lock().clients.len()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Each change of the map is one call: whoever panicked has left it whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub fn refusal(error: &str) -> Value {
    json!({"ok": false, "error": error})
}

/// As it goes over the socket.
pub fn line(answer: &Value) -> Vec<u8> {
    format!("{answer}\n").into_bytes()
}

/// The core's words may hold rows of a screen.
fn shortened(text: &str) -> String {
    let mut lines = Vec::new();
    let mut chars_left = ANSWER_CHARS_MAX;
    for line in text.lines().map(|line| harmless::line(line, LINE_CHARS_MAX)) {
        match chars_left.checked_sub(line.chars().count() + 1) {
            Some(left) => chars_left = left,
            None => {
                lines.push("… and more: see the log".to_owned());
                break;
            }
        }
        lines.push(line);
    }
    lines.join("\n")
}

impl AsFd for Pending {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.answer.as_fd()
    }
}

impl Source for Pending {
    fn take(&mut self) -> Made {
        match receive(&self.answer, &mut self.received, ANSWER_BYTES_MAX) {
            Flow::Pause if self.received.len() <= ANSWER_BYTES_MAX => Made::NotYet,
            Flow::End if !self.received.is_empty() => {
                Made::Whole(std::mem::take(&mut self.received))
            }
            Flow::Pause | Flow::End | Flow::Broken => Made::Nothing,
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.asks.lock().clients.remove(&self.ask);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn heard(mut pending: &UnixStream) -> String {
        let mut text = String::new();
        pending.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn an_answer_reaches_who_asked_once_and_is_the_end() {
        let asks = Arc::new(Asks::new(2));
        let (first, pending) = Asks::open(&asks).unwrap();
        let (second, other) = Asks::open(&asks).unwrap();
        assert!(matches!(Asks::open(&asks), Err(NoAsk::Full)));
        asks.answer(second, Err("no".to_owned()));
        asks.answer(first, Ok("yes".to_owned()));
        asks.answer(first, Ok("again".to_owned()));
        assert_eq!(heard(&pending.answer), "{\"ok\":true,\"said\":\"yes\"}\n");
        assert_eq!(heard(&other.answer), "{\"error\":\"no\",\"ok\":false}\n");
        assert_eq!(asks.waiting(), 0);
    }

    #[test]
    fn who_goes_takes_his_ask_along() {
        let asks = Arc::new(Asks::new(1));
        for _ in 0..10 {
            let (ask, pending) = Asks::open(&asks).unwrap();
            drop(pending);
            asks.answer(ask, Ok(String::new()));
        }
        assert_eq!(asks.waiting(), 0);
    }

    #[test]
    fn the_longest_answer_fits_without_anybody_reading() {
        let asks = Arc::new(Asks::new(1));
        let (ask, pending) = Asks::open(&asks).unwrap();
        let long = "\u{10348}\u{10348}\"\u{10348}\n".repeat(100_000);
        asks.answer(ask, Err(long));
        let text = heard(&pending.answer);
        assert!(text.len() > ANSWER_CHARS_MAX && text.len() < 200_000, "{}", text.len());
        let value: Value = serde_json::from_str(&text).unwrap();
        assert!(value["error"].as_str().unwrap().ends_with("see the log"));
    }
}
