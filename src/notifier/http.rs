//! One POST: every limit written out, and what came of it without secrets.
//!
//! No redirects, no proxy (not even one from the environment), no connection kept: what is sent goes
//! to the host that was named and to nobody else. The roots of trust are compiled in.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Timeout};

use crate::config::url::Url;
use crate::harmless;
use crate::moment::Wall;
use crate::notifier::failure::Failure;
use crate::notifier::secret::redact;

/// For a whole request, the look-up of its host included.
pub const TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of an answer, what is read.
const ANSWER_BYTES_MAX: u64 = 4 * 1024;
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Of an answer, what is shown.
const ANSWER_CHARS_MAX: usize = 200;

const REDIRECTED: &str = "redirects are not followed: write the address that it leads to";

/// What a request is made of.
#[derive(Debug)]
pub struct Post<'a> {
    /// With its secrets, if it has any.
    pub url: &'a str,
    /// What of it may be shown.
    pub origin: &'a str,
    pub headers: &'a [(String, String)],
    pub body: String,
    /// Texts that no error may show.
    pub secrets: &'a [&'a str],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<Duration>,
    /// The beginning of it, as one line without secrets.
    pub text: String,
    /// As JSON, when it is that and short.
    pub json: serde_json::Value,
}

/// Sends, and gives up after its timeout.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
}

impl Client {
    pub fn new(timeout: Duration) -> Self {
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::WebPki)
            .build();
        let connect = Some(CONNECT_TIMEOUT.min(timeout));
        let agent = Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("claude-failover/", env!("CARGO_PKG_VERSION")))
            .max_idle_connections(0)
            .max_idle_connections_per_host(0)
            .max_response_header_size(HEADER_BYTES_MAX)
            .timeout_global(Some(timeout))
            .timeout_per_call(Some(timeout))
            .timeout_resolve(connect)
            .timeout_connect(connect)
            .timeout_send_request(Some(timeout))
            .timeout_send_body(Some(timeout))
            .timeout_recv_response(Some(timeout))
            .timeout_recv_body(Some(timeout))
            .build()
            .new_agent();
        Self { agent }
    }

    /// # Errors
    /// Nobody answered in time, or not in HTTP.
    pub fn post(&self, post: &Post<'_>, now: Wall) -> Result<Answer, Failure> {
        let mut request = self.agent.post(post.url).header("Content-Type", "application/json");
        for (name, value) in post.headers {
            request = request.header(name, value);
        }
        let sent = request.send(post.body.as_bytes());
        let mut response = sent.map_err(|error| failure(&error, post))?;
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| retry_after(value, now));
        let status = response.status().as_u16();
        // A status alone is an answer, too.
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        let text = body.read_to_string().unwrap_or_default();
        let json = serde_json::from_str(&text).unwrap_or_default();
        let text = harmless::line(&redact(&text, post.secrets), ANSWER_CHARS_MAX);
        Ok(Answer { status, retry_after, text, json })
    }
}

/// Judges an answer; `remedy` says what helps against a status that means refused.
///
/// # Errors
/// It says no, for now or for good.
pub fn judge(answer: &Answer, origin: &str, remedy: &str) -> Result<(), Failure> {
    let Answer { status, retry_after, text, .. } = answer;
    let why = match text.as_str() {
        "" => format!("{origin} answered {status}"),
        text => format!("{origin} answered {status}: {text}"),
    };
    match status {
        200..300 => Ok(()),
        408 | 429 | 500.. => Err(Failure::Later { why, after: *retry_after }),
        300..400 => Err(Failure::Refused { why, remedy: REDIRECTED.to_owned() }),
        _ => Err(Failure::Refused { why, remedy: remedy.to_owned() }),
    }
}

fn failure(error: &ureq::Error, post: &Post<'_>) -> Failure {
    let why = said(error, post);
    match error {
        ureq::Error::RedirectFailed | ureq::Error::TooManyRedirects => {
            Failure::Refused { why, remedy: REDIRECTED.to_owned() }
        }
        _ => Failure::later(why),
    }
}

/// ureq's errors may hold the address.
fn said(error: &ureq::Error, post: &Post<'_>) -> String {
    let origin = post.origin;
    let text = match error {
        ureq::Error::Timeout(Timeout::Resolve) => {
            format!("the name of {origin} was not found in time")
        }
        ureq::Error::Timeout(Timeout::Connect) => format!("{origin} could not be reached in time"),
        ureq::Error::Timeout(_) => format!("{origin} did not answer in time"),
        ureq::Error::HostNotFound => format!("the host of {origin} is not known"),
        ureq::Error::BadUri(_) => format!("{origin} has an address that cannot be used"),
        other => format!("sending to {origin}: {other}"),
    };
    let mut secrets = post.secrets.to_vec();
    if post.url != post.origin {
        secrets.push(post.url);
    }
    harmless::line(&redact(&text, &secrets), ANSWER_CHARS_MAX)
}

/// Seconds, or a moment.
fn retry_after(value: &str, now: Wall) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = OffsetDateTime::parse(&value.trim().replace("GMT", "+0000"), &Rfc2822).ok()?;
    Some(Wall(at.unix_timestamp().saturating_mul(1000)) - now)
}

/// `url` and, behind it, a path.
pub fn below(url: &Url, path: &str) -> String {
    format!("{}/{path}", url.as_str().trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_to_come_again_is_a_number_or_a_moment() {
        let now = Wall(784_111_777_000); // 1994-11-06T08:49:37Z
        for (value, expected_s) in [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
            ("", None),
        ] {
            let found = retry_after(value, now).map(|wait| wait.as_secs());
            assert_eq!(found, expected_s, "{value:?}");
        }
    }

    #[test]
    fn only_what_may_pass_by_itself_is_tried_again() {
        let answer = |status| Answer {
            status,
            retry_after: None,
            text: String::new(),
            json: serde_json::Value::Null,
        };
        for (status, later) in [
            (200, None),
            (202, None),
            (204, None),
            (302, Some(false)),
            (400, Some(false)),
            (401, Some(false)),
            (404, Some(false)),
            (408, Some(true)),
            (413, Some(false)),
            (429, Some(true)),
            (500, Some(true)),
            (503, Some(true)),
        ] {
            let failure = judge(&answer(status), "https://x", "").err();
            let found = failure.map(|failure| matches!(failure, Failure::Later { .. }));
            assert_eq!(found, later, "{status}");
        }
    }
}
