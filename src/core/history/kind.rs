//! The kinds of entries, by the words of `--kind` and `--json`.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Swap,
    Canary,
    Restore,
    Refusal,
    Reset,
    Proof,
    Login,
    Rejection,
    Parking,
    Hold,
    Pin,
    Release,
    Pause,
    Drain,
    Resume,
    Link,
    Start,
    Stop,
}

impl Kind {
    pub const ALL: [Kind; 18] = [
        Kind::Swap,
        Kind::Canary,
        Kind::Restore,
        Kind::Refusal,
        Kind::Reset,
        Kind::Proof,
        Kind::Login,
        Kind::Rejection,
        Kind::Parking,
        Kind::Hold,
        Kind::Pin,
        Kind::Release,
        Kind::Pause,
        Kind::Drain,
        Kind::Resume,
        Kind::Link,
        Kind::Start,
        Kind::Stop,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Kind::Swap => "swap",
            Kind::Canary => "canary",
            Kind::Restore => "restore",
            Kind::Refusal => "refusal",
            Kind::Reset => "reset",
            Kind::Proof => "proof",
            Kind::Login => "login",
            Kind::Rejection => "rejection",
            Kind::Parking => "parking",
            Kind::Hold => "hold",
            Kind::Pin => "pin",
            Kind::Release => "release",
            Kind::Pause => "pause",
            Kind::Drain => "drain",
            Kind::Resume => "resume",
            Kind::Link => "link",
            Kind::Start => "start",
            Kind::Stop => "stop",
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Kind::ALL.into_iter().find(|kind| kind.word() == text).ok_or_else(|| {
            let words: Vec<&str> = Kind::ALL.into_iter().map(Kind::word).collect();
            format!("one of {}", words.join(", "))
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.word())
    }
}
