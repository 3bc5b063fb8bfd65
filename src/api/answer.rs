//! The answers of the HTTP side. Pure: a request and a snapshot give bytes.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::api::{metrics, page};
use crate::moment::Wall;
use crate::process::own::Own;
use crate::snapshot::events::Wanted;
use crate::snapshot::metrics::text::CONTENT_TYPE as METRICS;
use crate::snapshot::{Health, Snapshot};

/// Which names a client may call us by. A page in the operator's browser can make it send
/// requests here under a name of the page's choice (DNS rebinding); that name betrays it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostPolicy {
    /// Loopback names and addresses, and the address we listen on.
    Local,
    /// Whatever it says (`http.allow_remote`).
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Get,
    Head,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
}

/// What matters of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<'a> {
    pub verb: Verb,
    pub version: Version,
    pub target: &'a str,
    /// The values of all `Host` headers.
    pub hosts: Vec<&'a str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    /// What a browser may do with it.
    pub policy: &'static str,
    pub body: Cow<'static, str>,
}

/// The body of `GET /health`.
#[derive(Serialize)]
struct HealthBody<'a> {
    #[serde(flatten)]
    health: &'a Health,
    version: &'static str,
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

/// Of all but the page: what is no page may do nothing.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

const ROUTES: &str = "no such page; these are served:\n\n\
    GET /         the page for people\n\
    GET /health   200 while it works, 503 when an operator is needed (JSON)\n\
    GET /status   everything that may be seen (JSON)\n\
    GET /events   what has happened lately (JSON); ?limit=50&since=RECORD\n\
    GET /metrics  for Prometheus (text)\n";

/// `own` is asked for the metrics alone.
pub fn answer(
    asked: &Asked<'_>,
    snapshot: &Snapshot,
    bound: IpAddr,
    policy: HostPolicy,
    own: impl FnOnce() -> Own,
) -> Answer {
    match check_host(asked, bound, policy) {
        Ok(()) => {}
        Err(refusal) => return refusal,
    }
    if asked.verb == Verb::Other {
        return plain(405, "only GET and HEAD are served here\n");
    }
    let (path, query) = asked.target.split_once('?').unwrap_or((asked.target, ""));
    match path {
        "/" => Answer { policy: page::POLICY, ..text(200, HTML, page::PAGE) },
        "/health" => {
            let status = if snapshot.health.ok { 200 } else { 503 };
            let body = HealthBody { health: &snapshot.health, version: env!("CARGO_PKG_VERSION") };
            json(status, &body)
        }
        "/status" => json(200, &snapshot.status),
        "/events" => match Wanted::read(query) {
            Ok(wanted) => written(200, snapshot.events.document(wanted)),
            Err(problem) => plain(400, problem + "\n"),
        },
        "/metrics" => text(200, METRICS, metrics::document(snapshot, &own())),
        _ => plain(404, ROUTES),
    }
}

/// The bytes on the wire. Every connection ends with its answer.
pub fn render(answer: &Answer, verb: Verb, now: Wall) -> Vec<u8> {
    let allow = match answer.status {
        405 => "Allow: GET, HEAD\r\n",
        _ => "",
    };
    let head = format!(
        "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Security-Policy: {}\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n\
         Cross-Origin-Resource-Policy: same-origin\r\n{allow}Connection: close\r\n\r\n",
        answer.status,
        reason(answer.status),
        date(now),
        answer.content_type,
        answer.body.len(),
        answer.policy,
    );
    let mut bytes = head.into_bytes();
    if verb != Verb::Head {
        bytes.extend_from_slice(answer.body.as_bytes());
    }
    bytes
}

pub fn plain(status: u16, body: impl Into<Cow<'static, str>>) -> Answer {
    text(status, TEXT, body)
}

fn text(status: u16, content_type: &'static str, body: impl Into<Cow<'static, str>>) -> Answer {
    Answer { status, content_type, policy: NOTHING, body: body.into() }
}

fn json(status: u16, body: &impl Serialize) -> Answer {
    written(status, serde_json::to_string(body).map(|body| body + "\n"))
}

fn written(status: u16, body: serde_json::Result<String>) -> Answer {
    match body {
        Ok(body) => text(status, JSON, body),
        Err(error) => plain(500, format!("could not write the answer: {error}\n")),
    }
}

/// As RFC 9110 wants it. The page goes by our clock, not by that of whoever looks.
fn date(now: Wall) -> String {
    let form = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let at = OffsetDateTime::from_unix_timestamp(now.0.div_euclid(1000)).ok();
    at.and_then(|at| at.format(form).ok()).unwrap_or_default()
}

fn check_host(asked: &Asked<'_>, bound: IpAddr, policy: HostPolicy) -> Result<(), Answer> {
    let host = match (asked.hosts.as_slice(), asked.version) {
        ([host], _) => host,
        // Monitors of the old kind; a browser, which is what this is about, always names a host.
        ([], Version::Http10) => return Ok(()),
        _ => return Err(plain(400, "a request has exactly one Host header\n")),
    };
    match policy {
        HostPolicy::Any => Ok(()),
        HostPolicy::Local if is_local(host, bound) => Ok(()),
        HostPolicy::Local => Err(plain(
            421,
            "this name is not served here; use localhost, or set http.allow_remote\n",
        )),
    }
}

/// `host` as in the header, with or without a port.
fn is_local(host: &str, bound: IpAddr) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, "")) => address,
            Some((address, port)) if is_port(port) => address,
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            Some(_) => return false,
            None => host,
        },
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback() || address == bound)
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    fn snapshot(ok: bool) -> Snapshot {
        let health = Health { ok, state: "normal".to_owned(), reasons: Vec::new(), until: None };
        Snapshot::new(health, serde_json::json!({"active": "primary"}))
    }

    fn asked<'a>(verb: Verb, target: &'a str, hosts: &[&'a str]) -> Asked<'a> {
        Asked { verb, version: Version::Http11, target, hosts: hosts.to_vec() }
    }

    fn status(asked: &Asked<'_>, policy: HostPolicy) -> u16 {
        answer(asked, &snapshot(true), BOUND, policy, Own::default).status
    }

    #[test]
    fn each_path_and_verb_has_its_answer() {
        for (verb, target, expected) in [
            (Verb::Get, "/health", 200),
            (Verb::Head, "/health?x=1", 200),
            (Verb::Get, "/status", 200),
            (Verb::Get, "/", 200),
            (Verb::Get, "/events", 200),
            (Verb::Head, "/events?limit=500&since=0", 200),
            (Verb::Get, "/events?limit=0", 400),
            (Verb::Get, "/events?", 200),
            (Verb::Get, "/metrics", 200),
            (Verb::Get, "", 404),
            (Verb::Get, "/Health", 404),
            (Verb::Get, "/health/", 404),
            (Verb::Get, "http://localhost/health", 404),
            (Verb::Other, "/health", 405),
            (Verb::Other, "/nothing", 405),
        ] {
            let asked = asked(verb, target, &["localhost"]);
            assert_eq!(status(&asked, HostPolicy::Local), expected, "{asked:?}");
        }
    }

    #[test]
    fn only_names_of_this_host_are_served_unless_remote_is_allowed() {
        for (host, local) in [
            ("localhost", true),
            ("LOCALHOST:8765", true),
            ("localhost.:8765", true),
            ("127.0.0.1", true),
            ("127.1.2.3:80", true),
            ("[::1]", true),
            ("[::1]:8765", true),
            ("192.0.2.7:8765", true),
            ("192.0.2.8", false),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost:80:80", false),
            ("[::1", false),
            ("[::1]x", false),
            ("::1", false),
            ("0x7f000001", false),
            ("", false),
        ] {
            let asked = asked(Verb::Get, "/health", &[host]);
            let expected = if local { 200 } else { 421 };
            assert_eq!(status(&asked, HostPolicy::Local), expected, "{host:?}");
            assert_eq!(status(&asked, HostPolicy::Any), 200, "{host:?}");
        }
    }

    #[test]
    fn exactly_one_host_is_asked_of_clients_that_know_of_it() {
        let none = asked(Verb::Get, "/health", &[]);
        let two = asked(Verb::Get, "/health", &["localhost", "localhost"]);
        for policy in [HostPolicy::Local, HostPolicy::Any] {
            assert_eq!(status(&none, policy), 400);
            assert_eq!(status(&two, policy), 400);
        }
        let old = Asked { version: Version::Http10, ..none };
        assert_eq!(status(&old, HostPolicy::Local), 200);
    }

    #[test]
    fn health_says_how_it_is_and_which_version() {
        let asked = asked(Verb::Get, "/health", &["localhost"]);
        let sick = answer(&asked, &snapshot(false), BOUND, HostPolicy::Local, Own::default);
        assert_eq!(sick.status, 503);
        let body: serde_json::Value = serde_json::from_str(&sick.body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({"ok": false, "state": "normal", "reasons": [], "until": null,
                "version": env!("CARGO_PKG_VERSION")})
        );
    }

    #[test]
    fn a_head_answer_is_a_get_answer_without_its_body() {
        let answer = plain(405, "text\n");
        let bytes = |verb| render(&answer, verb, Wall(784_111_777_000));
        let get = String::from_utf8(bytes(Verb::Get)).unwrap();
        let head = String::from_utf8(bytes(Verb::Head)).unwrap();
        assert_eq!(get, format!("{head}text\n"));
        assert!(head.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"));
        assert!(head.contains("\r\nContent-Length: 5\r\n"));
        assert!(head.contains("\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
        assert!(head.contains("\r\nAllow: GET, HEAD\r\n"));
        assert!(head.ends_with("\r\nConnection: close\r\n\r\n"));
    }
}
