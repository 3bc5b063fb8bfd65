//! `notifications`: who is told what, and when. No secret stands in the file: a key that would hold
//! one is a problem that says where it belongs.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::quiet_hours::QuietHours;
use crate::config::section::Section;
use crate::config::url::{Reach, Url};
use crate::quota::local_time::is_zone;
use crate::yaml::Node;
use crate::yaml::value::{describe, line_of_text};

pub const TELEGRAM_API: &str = "https://api.telegram.org";
pub const RESEND_API: &str = "https://api.resend.com";
/// Addresses that one email goes to; Resend takes no more.
const RECIPIENTS_MAX: usize = 50;

/// Keys under which somebody might write a secret, and the key that names its file instead.
const SECRET_KEYS: [(&str, &str); 10] = [
    ("token", "token_file"),
    ("bot_token", "bot_token_file"),
    ("api_token", "token_file"),
    ("auth_token", "token_file"),
    ("api_key", "api_key_file"),
    ("key", "api_key_file"),
    ("secret", "secret_file"),
    ("password", "headers_file"),
    ("authorization", "headers_file"),
    ("headers", "headers_file"),
];

/// Web addresses that are a secret themselves: whoever knows them may write there.
const SECRET_PLACES: [&str; 5] = [
    "hooks.slack.com/",
    "discord.com/api/webhooks/",
    "discordapp.com/api/webhooks/",
    "api.telegram.org/bot",
    "chat.googleapis.com/",
];

const SECRET_PARAMETERS: [&str; 5] = ["token=", "key=", "secret=", "password=", "sig="];

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notifications {
    /// In which messages print moments and quiet hours count; `None`: the host's own.
    pub time_zone: Option<String>,
    pub telegram: Option<Telegram>,
    pub resend: Option<Resend>,
    pub webhook: Option<Webhook>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telegram {
    /// A number, or `@name` of a public channel.
    pub chat_id: String,
    pub token_file: Option<PathBuf>,
    pub api_url: Url,
    pub rules: Rules,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resend {
    pub from: String,
    /// Never empty.
    pub to: Vec<String>,
    pub api_key_file: Option<PathBuf>,
    pub api_url: Url,
    pub rules: Rules,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    pub address: WebhookAddress,
    /// Signs what is sent.
    pub secret_file: Option<PathBuf>,
    /// Lines `Name: value`, sent along.
    pub headers_file: Option<PathBuf>,
    pub rules: Rules,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookAddress {
    Written(Url),
    /// The address is a secret itself.
    InFile(PathBuf),
}

/// What one channel is told, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// What is below it is not told.
    pub level: Level,
    pub quiet_hours: Option<QuietHours>,
}

/// How much a notice matters, the least first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It went as it should.
    #[default]
    Info,
    /// Something is worse than it was; it can wait until the morning.
    Warning,
    /// Work stands still, and a person is needed.
    Critical,
}

impl Level {
    /// As the file names it.
    pub fn word(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Critical => "critical",
        }
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "info" => Ok(Level::Info),
            "warning" => Ok(Level::Warning),
            "critical" => Ok(Level::Critical),
            other => Err(format!("{other:?} is no level: write info, warning or critical")),
        }
    }
}

pub fn read(section: &mut Section<'_, '_>) -> Notifications {
    let time_zone = section.unless_null("time_zone", |section| {
        section.read("time_zone", |node| match line_of_text(node)? {
            name if is_zone(name) => Ok(name.to_owned()),
            name => Err(format!("{name:?} is no time zone: write one as Europe/Paris")),
        })
    });
    Notifications {
        time_zone,
        telegram: channel(section, "telegram", telegram),
        resend: channel(section, "resend", resend),
        webhook: channel(section, "webhook", webhook),
    }
}

/// `None` for a channel that is absent or null, or whose problems have been noted.
fn channel<T>(
    section: &mut Section<'_, '_>,
    key: &'static str,
    read: fn(&mut Section<'_, '_>) -> Option<T>,
) -> Option<T> {
    section.unless_null(key, |section| match section.node(key) {
        Some(Node::Map(_)) => section.section(key, |section| {
            refuse_secrets(section);
            read(section)
        }),
        _ => {
            section.problem(key, "expected a mapping or null");
            None
        }
    })
}

fn refuse_secrets(section: &mut Section<'_, '_>) {
    for (key, instead) in SECRET_KEYS {
        if section.hidden_node(key).is_some() {
            let message = format!("a secret does not stand in this file: use {instead}");
            section.problem(key, message);
        }
    }
}

fn telegram(section: &mut Section<'_, '_>) -> Option<Telegram> {
    let chat_id = required(section, "chat_id", "write the number of the chat", |section| {
        section.read("chat_id", |node| match node {
            Node::Int(number) => Ok(number.to_string()),
            node => chat_name(line_of_text(node)?),
        })
    });
    let token_file = secret_file(section, "token_file");
    let older = section.hidden_node("bot_token_file").is_some();
    let token_file = match (token_file, older) {
        (None, true) => secret_file_hidden(section, "bot_token_file"),
        (file, _) => file,
    };
    let api_url = api_url(section, TELEGRAM_API);
    let rules = rules(section);
    Some(Telegram { chat_id: chat_id?, token_file, api_url: api_url?, rules })
}

fn chat_name(text: &str) -> Result<String, String> {
    let number = text.strip_prefix('-').unwrap_or(text);
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = text.strip_prefix('@').is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    });
    if is_number || is_name {
        return Ok(text.to_owned());
    }
    // Not shown: it may be the token in the wrong place.
    Err("no chat: write its number (-1001234567890) or the name of a public channel (\"@name\")"
        .to_owned())
}

fn resend(section: &mut Section<'_, '_>) -> Option<Resend> {
    let from = required(section, "from", "write the sender, \"failover@example.org\"", |section| {
        section.read("from", |node| address(line_of_text(node)?))
    });
    let mut to = Vec::new();
    let items = match section.node("to") {
        Some(node @ Node::Text(_)) => vec![(section.at("to"), node)],
        _ => section.items("to", RECIPIENTS_MAX),
    };
    let none = items.is_empty();
    for (at, node) in items {
        match line_of_text(node).and_then(address) {
            Ok(address) => to.push(address),
            Err(message) => section.findings.problem(&at, message),
        }
    }
    if none {
        let path = section.path.clone();
        section.findings.problem(&path, "has no to: write the addresses that are told, [me@…]");
    }
    let api_key_file = secret_file(section, "api_key_file");
    let api_url = api_url(section, RESEND_API);
    let rules = rules(section);
    let from = from.filter(|_| !to.is_empty())?;
    Some(Resend { from, to, api_key_file, api_url: api_url?, rules })
}

/// `name@host` or `Name <name@host>`; whether somebody reads it, the server says.
fn address(text: &str) -> Result<String, String> {
    let inner = match text.split_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').unwrap_or(""),
        None => text,
    };
    let good = inner
        .split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    if good && !inner.contains(char::is_whitespace) {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is no address: write name@host or \"Name <name@host>\""))
}

fn webhook(section: &mut Section<'_, '_>) -> Option<Webhook> {
    let url = section.unless_null("url", |section| section.read("url", open_url));
    let url_file = secret_file(section, "url_file");
    let address = match (section.has("url"), url, url_file) {
        (true, _, Some(_)) => {
            section.problem("url_file", "stands beside url: remove one of them");
            None
        }
        (_, Some(url), None) => Some(WebhookAddress::Written(url)),
        (false, _, Some(file)) => Some(WebhookAddress::InFile(file)),
        (true, None, None) => None,
        (false, _, None) => {
            if !section.has("url_file") {
                section.require("url", "write where to post to, or url_file when that is a secret");
            }
            None
        }
    };
    let secret_file = secret_file(section, "secret_file");
    let headers_file = self::secret_file(section, "headers_file");
    let rules = rules(section);
    Some(Webhook { address: address?, secret_file, headers_file, rules })
}

/// One that may stand in a file that others read.
fn open_url(node: &Node) -> Result<Url, String> {
    let text = line_of_text(node)?;
    if is_secret(text) {
        return Err("whoever knows this address may write there, so it is a secret, which does \
                    not stand in this file: put it into a file of its own and use url_file"
            .to_owned());
    }
    Url::parse(text, Reach::Open)
}

fn rules(section: &mut Section<'_, '_>) -> Rules {
    Rules {
        level: section.parsed("level").unwrap_or_default(),
        quiet_hours: section.unless_null("quiet_hours", |section| section.parsed("quiet_hours")),
    }
}

fn api_url(section: &mut Section<'_, '_>, default: &str) -> Option<Url> {
    if !section.has("api_url") {
        section.node("api_url");
        return Some(Url::parse(default, Reach::Open).expect("written in this program"));
    }
    section.read("api_url", |node| match line_of_text(node)? {
        text if is_secret(text) => {
            Err(format!("holds a token, which does not stand in this file: write {default} alone"))
        }
        text => Url::parse(text, Reach::Open),
    })
}

fn is_secret(url: &str) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query).to_ascii_lowercase();
    SECRET_PLACES.iter().any(|place| url.contains(place))
        || SECRET_PARAMETERS.iter().any(|name| query.contains(name))
}

fn secret_file(section: &mut Section<'_, '_>, key: &'static str) -> Option<PathBuf> {
    section.unless_null(key, |section| section.given_path(key))
}

/// `bot_token_file` is the name that earlier versions asked for.
fn secret_file_hidden(section: &mut Section<'_, '_>, key: &'static str) -> Option<PathBuf> {
    let base = section.findings.base;
    let read = match section.hidden_node(key)? {
        Node::Text(text) => crate::config::path::absolute_path(text, base),
        other => Err(format!("expected text, got {}", describe(other))),
    };
    read.map_err(|message| section.problem(key, message)).ok()
}

fn required<T>(
    section: &mut Section<'_, '_>,
    key: &'static str,
    remedy: &str,
    read: impl FnOnce(&mut Section<'_, '_>) -> Option<T>,
) -> Option<T> {
    section.require(key, remedy);
    read(section)
}
