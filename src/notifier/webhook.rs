//! A web address of the operator's own: the whole message as JSON, signed when there is a secret.

use std::fmt::Write as _;

use ring::hmac;
use serde_json::json;

use crate::config::notifications::{Webhook as Config, WebhookAddress};
use crate::config::url::{Reach, Url};
use crate::moment::Wall;
use crate::notifier::channel::Channel;
use crate::notifier::failure::Failure;
use crate::notifier::http::{Client, Post, judge};
use crate::notifier::message::Message;
use crate::notifier::secret::{Secret, Source, read_file, read_lines};

/// The version of the document.
const VERSION: u32 = 1;
const HEADERS_MAX: usize = 20;
pub const SIGNATURE: &str = "X-Claude-Failover-Signature";

pub struct Webhook(pub Config);

impl Webhook {
    fn address(&self) -> Result<Url, String> {
        match &self.0.address {
            WebhookAddress::Written(url) => Ok(url.clone()),
            WebhookAddress::InFile(file) => Url::parse(read_file(file)?.reveal(), Reach::Secret)
                .map_err(|why| format!("{}: {why}", file.display())),
        }
    }

    fn secret(&self) -> Source<'_> {
        Source {
            what: "secret of the webhook",
            key: "notifications.webhook.secret_file",
            file: self.0.secret_file.as_deref(),
            credential: "webhook_secret",
            variable: "CLAUDE_FAILOVER_WEBHOOK_SECRET",
        }
    }

    fn headers(&self) -> Result<Vec<(String, String)>, String> {
        let Some(file) = &self.0.headers_file else { return Ok(Vec::new()) };
        let text = read_lines(file)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let headers: Option<Vec<_>> = lines.take(HEADERS_MAX + 1).map(header).collect();
        match headers {
            Some(headers) if headers.len() <= HEADERS_MAX => Ok(headers),
            Some(_) => Err(format!("{} has more than {HEADERS_MAX} lines", file.display())),
            None => Err(format!("{}: write each header as `Name: value`", file.display())),
        }
    }
}

impl Channel for Webhook {
    fn check(&self) -> Result<(), String> {
        self.address()?;
        self.secret().find()?;
        self.headers().map(drop)
    }

    fn send(&self, message: &Message, client: &Client, now: Wall) -> Result<(), Failure> {
        let url = self.address().map_err(Failure::later)?;
        let secret = self.secret().find().map_err(Failure::later)?;
        let mut headers = self.headers().map_err(Failure::later)?;
        let values: Vec<String> = headers.iter().map(|(_, value)| value.clone()).collect();
        let body = body(message);
        if let Some(secret) = &secret {
            let signature = signature(secret.reveal().as_bytes(), body.as_bytes());
            headers.push((SIGNATURE.to_owned(), signature));
        }
        headers.push(("Idempotency-Key".to_owned(), message.id.clone()));
        let mut secrets: Vec<&str> = values.iter().map(String::as_str).collect();
        // `Bearer x` is sent back as `x`.
        secrets.extend(values.iter().filter_map(|value| value.split_whitespace().next_back()));
        secrets.extend(secret.as_ref().map(Secret::reveal));
        if let WebhookAddress::InFile(_) = self.0.address {
            secrets.push(url.as_str());
            secrets.push(&url.as_str()[url.origin().len()..]);
        }
        let post = Post {
            url: url.as_str(),
            origin: url.origin(),
            headers: &headers,
            body,
            secrets: &secrets,
        };
        let answer = client.post(&post, now)?;
        judge(&answer, post.origin, "check the address and the headers of notifications.webhook")
    }
}

fn body(message: &Message) -> String {
    let notices = message.notices.iter().map(|notice| {
        json!({
            "key": notice.key,
            "level": notice.level,
            "at": notice.at.to_string(),
            "title": notice.title,
            "lines": notice.lines,
        })
    });
    json!({
        "version": VERSION,
        "id": message.id,
        "host": message.host,
        "level": message.level,
        "subject": message.subject,
        "text": message.text,
        "notices": notices.collect::<Vec<_>>(),
    })
    .to_string()
}

/// As GitHub and others write it: `sha256=` and the HMAC of the body in hexadecimal.
pub fn signature(secret: &[u8], body: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), body);
    let mut text = "sha256=".to_owned();
    for byte in tag.as_ref() {
        write!(text, "{byte:02x}").expect("a String takes all");
    }
    text
}

fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let (name, value) = (name.trim(), value.trim());
    let is_name = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let is_value =
        !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    (is_name && is_value).then(|| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_of_rfc_4231() {
        assert_eq!(
            signature(b"Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_header_is_a_name_and_a_value() {
        let found = header("Authorization:  Bearer abc ");
        assert_eq!(found, Some(("Authorization".to_owned(), "Bearer abc".to_owned())));
        for line in ["", "Authorization", "a b: c", ": c", "a:", "a: ü"] {
            assert_eq!(header(line), None, "{line:?}");
        }
    }
}
