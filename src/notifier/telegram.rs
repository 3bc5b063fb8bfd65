//! Telegram: one `sendMessage` of a bot, as plain text, so that nothing in it is markup.

use std::time::Duration;

use serde_json::json;

use crate::config::notifications::{Level, Telegram as Config};
use crate::moment::Wall;
use crate::notifier::channel::Channel;
use crate::notifier::failure::Failure;
use crate::notifier::http::{Answer, Client, Post, below, judge};
use crate::notifier::message::Message;
use crate::notifier::secret::Source;

pub struct Telegram(pub Config);

impl Telegram {
    fn token(&self) -> Source<'_> {
        Source {
            what: "bot token",
            key: "notifications.telegram.token_file",
            file: self.0.token_file.as_deref(),
            credential: "telegram_token",
            variable: "CLAUDE_FAILOVER_TELEGRAM_TOKEN",
        }
    }
}

impl Channel for Telegram {
    fn check(&self) -> Result<(), String> {
        match self.token().need()?.reveal() {
            token if is_token(token) => Ok(()),
            _ => Err("the bot token is none: @BotFather gives 123456:letters".to_owned()),
        }
    }

    fn send(&self, message: &Message, client: &Client, now: Wall) -> Result<(), Failure> {
        self.check().map_err(Failure::later)?;
        let token = self.token().need().map_err(Failure::later)?;
        let token = token.reveal();
        let body = json!({
            "chat_id": self.0.chat_id,
            "text": message.text,
            "disable_notification": message.level == Level::Info,
            "link_preview_options": { "is_disabled": true },
        });
        let secrets = [token];
        let post = Post {
            url: &below(&self.0.api_url, &format!("bot{token}/sendMessage")),
            origin: self.0.api_url.origin(),
            headers: &[],
            body: body.to_string(),
            secrets: &secrets,
        };
        let mut answer = client.post(&post, now)?;
        // Telegram says it in its body.
        let after_s = answer.json["parameters"]["retry_after"].as_u64();
        answer.retry_after = answer.retry_after.or(after_s.map(Duration::from_secs));
        judge(&answer, post.origin, remedy(&answer))
    }
}

fn is_token(text: &str) -> bool {
    text.split_once(':').is_some_and(|(id, rest)| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) && rest.bytes().all(plain)
    })
}

fn remedy(answer: &Answer) -> &'static str {
    match answer.status {
        401 | 404 => "the bot token is not right: ask @BotFather for it, and write it anew",
        403 => "the bot may not write there: send it /start, or add it to the chat",
        _ => "check notifications.telegram.chat_id, and that the bot is in that chat",
    }
}
