//! Resend: one email, as plain text. It knows a message that it had already by its key.

use serde_json::json;

use crate::config::notifications::Resend as Config;
use crate::moment::Wall;
use crate::notifier::channel::Channel;
use crate::notifier::failure::Failure;
use crate::notifier::http::{Client, Post, below, judge};
use crate::notifier::message::Message;
use crate::notifier::secret::Source;

pub struct Resend(pub Config);

impl Resend {
    fn api_key(&self) -> Source<'_> {
        Source {
            what: "API key of Resend",
            key: "notifications.resend.api_key_file",
            file: self.0.api_key_file.as_deref(),
            credential: "resend_api_key",
            variable: "CLAUDE_FAILOVER_RESEND_API_KEY",
        }
    }
}

impl Channel for Resend {
    fn check(&self) -> Result<(), String> {
        self.api_key().need().map(drop)
    }

    fn send(&self, message: &Message, client: &Client, now: Wall) -> Result<(), Failure> {
        let key = self.api_key().need().map_err(Failure::later)?;
        let key = key.reveal();
        let body = json!({
            "from": self.0.from,
            "to": self.0.to,
            "subject": format!("[{}] {}", message.host, message.subject),
            "text": message.text,
        });
        let headers = [
            ("Authorization".to_owned(), format!("Bearer {key}")),
            ("Idempotency-Key".to_owned(), message.id.clone()),
        ];
        let secrets = [key];
        let post = Post {
            url: &below(&self.0.api_url, "emails"),
            origin: self.0.api_url.origin(),
            headers: &headers,
            body: body.to_string(),
            secrets: &secrets,
        };
        let answer = client.post(&post, now)?;
        let remedy = match answer.status {
            401 => "the API key is not right: make one at resend.com, and write it anew",
            403 => "the key may not send from notifications.resend.from: verify its domain",
            _ => "check from and to of notifications.resend",
        };
        judge(&answer, post.origin, remedy)
    }
}
