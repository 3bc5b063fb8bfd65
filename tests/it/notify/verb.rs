//! `notify --test`: what each channel sends, and what is said of each way in which it goes wrong.
//! No secret is in any of it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use claude_failover::notifier::webhook::signature;
use expect_test::{Expect, expect};

use crate::notify::server::{Manner, OK, Server};
use crate::support::binary;

const TOKEN: &str = "123456:AAE-token_of_a_bot";
const KEY: &str = "re_123_the_key";
const NOTE: &str = "note: secrets that only the daemon's unit gives it";

struct Verb {
    dir: tempfile::TempDir,
    notifications: String,
    environment: Vec<(&'static str, String)>,
}

impl Verb {
    fn new(notifications: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, notifications: notifications.to_owned(), environment: Vec::new() }
    }

    fn telegram(server: &Server) -> Self {
        let url = server.url();
        Self::new(&format!(
            "telegram: {{chat_id: -100, token_file: DIR/token, api_url: \"{url}\"}}"
        ))
        .file("token", TOKEN, 0o600)
    }

    fn file(self, name: &str, text: &str, mode: u32) -> Self {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        self
    }

    fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// Exit code, and all that was said.
    fn run(&self, args: &[&str]) -> (Option<i32>, String) {
        let here = self.dir.path().to_str().unwrap();
        let config = self.dir.path().join("config.yaml");
        let text = format!(
            "accounts: [{{name: a, home: /a}}]\nnotifications: {{{}}}\n",
            self.notifications
        );
        fs::write(&config, text.replace("DIR", here)).unwrap();
        let output = Command::new(binary())
            .args(["notify", "--test", "--config"])
            .arg(&config)
            .args(args)
            .env_clear()
            // Whoever listened to these would send to somewhere else.
            .envs([("HTTP_PROXY", "http://127.0.0.1:1"), ("ALL_PROXY", "http://127.0.0.1:1")])
            .envs([("http_proxy", "http://127.0.0.1:1"), ("TZ", "UTC"), ("RUST_LOG", "trace")])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        let text =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        for secret in [TOKEN, KEY] {
            assert!(!text.contains(secret), "{text}");
        }
        (output.status.code(), text.replace(here, "DIR"))
    }

    #[track_caller]
    fn says(&self, server: &Server, code: i32, expected: &Expect) {
        let (found, text) = self.run(&[]);
        expected.assert_eq(&text.replace(&server.url(), "URL"));
        assert_eq!(found, Some(code), "{text}");
    }
}

#[test]
fn telegram_gets_plain_text_and_its_token_in_the_address_alone() {
    let server = Server::new(OK);
    Verb::telegram(&server).says(&server, 0, &expect![["telegram: sent\n"]]);
    let request = &server.await_requests(1)[0];
    assert_eq!(request.path, format!("/bot{TOKEN}/sendMessage"));
    let body = request.json();
    assert_eq!(body["chat_id"], "-100");
    assert_eq!(body["parse_mode"], serde_json::Value::Null);
    assert_eq!(body["disable_notification"], true);
    let text = body["text"].as_str().unwrap();
    assert!(text.starts_with("Test message of claude-failover\n\n20"), "{text}");
    assert!(text.ends_with("You: nothing to do; messages arrive here"), "{text}");
}

#[test]
fn resend_gets_an_email_with_a_key_of_its_own() {
    let server = Server::new(OK);
    let url = server.url();
    let verb = Verb::new(&format!(
        "resend: {{from: f@example.org, to: [a@example.org, b@example.org], api_url: \"{url}\"}}"
    ))
    .variable("CLAUDE_FAILOVER_RESEND_API_KEY", KEY);
    verb.says(&server, 0, &expect![["resend: sent\n"]]);
    let request = &server.await_requests(1)[0];
    assert_eq!(request.path, "/emails");
    assert_eq!(request.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert!(request.header("idempotency-key").unwrap().contains("-test-"));
    let body = request.json();
    assert_eq!(body["to"], serde_json::json!(["a@example.org", "b@example.org"]));
    assert!(body["subject"].as_str().unwrap().ends_with("] Test message of claude-failover"));
    assert!(body.get("html").is_none(), "nothing in it is markup");
}

#[test]
fn a_webhook_gets_the_whole_message_signed() {
    let server = Server::new(Manner::Answer(204, "", ""));
    let verb = Verb::new(
        "webhook: {url_file: DIR/url, secret_file: DIR/secret, headers_file: DIR/headers}",
    )
    .file("url", &format!("{}/hook/s3cr3t-path\n", server.url()), 0o600)
    .file("secret", "sign me\n", 0o640)
    .file("headers", "Authorization: Bearer hidden\n\nX-Team: ops\n", 0o600);
    verb.says(&server, 0, &expect![["webhook: sent\n"]]);
    let request = &server.await_requests(1)[0];
    assert_eq!(request.path, "/hook/s3cr3t-path");
    assert_eq!(request.header("authorization"), Some("Bearer hidden"));
    assert_eq!(request.header("x-team"), Some("ops"));
    let expected = signature(b"sign me", request.body.as_bytes());
    assert_eq!(request.header("x-claude-failover-signature"), Some(expected.as_str()));
    let body = request.json();
    assert_eq!((&body["version"], &body["level"]), (&1.into(), &"info".into()));
    assert_eq!(body["notices"][0]["key"], "test/");
    // What the server says does not give the address away either.
    server.set(Manner::Answer(404, "", "no /hook/s3cr3t-path for hidden here"));
    verb.says(&server, 1, &expect![[r#"
        webhook: not sent: URL answered 404: no [secret] for [secret] here: check the address and the headers of notifications.webhook
    "#]]);
}

#[test]
fn systemd_credentials_serve_as_well() {
    let server = Server::new(OK);
    let url = server.url();
    let verb = Verb::new(&format!("telegram: {{chat_id: 5, api_url: \"{url}\"}}")).file(
        "telegram_token",
        TOKEN,
        0o444,
    );
    let dir = verb.dir.path().to_str().unwrap().to_owned();
    let verb = verb.variable("CREDENTIALS_DIRECTORY", &dir);
    verb.says(&server, 0, &expect![["telegram: sent\n"]]);
    let path = &server.await_requests(1)[0].path;
    assert!(path.contains(TOKEN), "{path}");
}

#[test]
fn each_way_to_go_wrong_is_said_with_its_remedy() {
    let server = Server::new(OK);
    let mut said = String::new();
    for manner in [
        Manner::Answer(
            401,
            "",
            r#"{"ok":false,"description":"Unauthorized 123456:AAE-token_of_a_bot"}"#,
        ),
        Manner::Answer(400, "", r#"{"ok":false,"description":"Bad Request: chat not found"}"#),
        Manner::Answer(403, "", ""),
        Manner::Answer(302, "Location: http://127.0.0.1:1/\r\n", ""),
        Manner::Answer(308, "Location: http://127.0.0.1:1/\r\n", ""),
        Manner::Answer(429, "Retry-After: 7\r\n", "slow down"),
        Manner::Answer(500, "", "\u{1b}[31moops\nsecond line"),
    ] {
        server.set(manner);
        let (code, text) = Verb::telegram(&server).run(&[]);
        assert_eq!(code, Some(1), "{text}");
        said.push_str(&text.replace(&server.url(), "URL"));
    }
    expect![[r#"
        telegram: not sent: URL answered 401: {"ok":false,"description":"Unauthorized [secret]"}: the bot token is not right: ask @BotFather for it, and write it anew
        telegram: not sent: URL answered 400: {"ok":false,"description":"Bad Request: chat not found"}: check notifications.telegram.chat_id, and that the bot is in that chat
        telegram: not sent: URL answered 403: the bot may not write there: send it /start, or add it to the chat
        telegram: not sent: URL answered 302: redirects are not followed: write the address that it leads to
        telegram: not sent: URL answered 308: redirects are not followed: write the address that it leads to
        telegram: not sent: URL answered 429: slow down
        telegram: not sent: URL answered 500: [31moops second line
    "#]].assert_eq(&said);
    for manner in [Manner::CloseEarly, Manner::CloseAfter] {
        server.set(manner);
        let (code, text) = Verb::telegram(&server).run(&[]);
        // The kernel's words differ with who was faster.
        let start = format!("telegram: not sent: sending to {}: io: ", server.url());
        assert!(code == Some(1) && text.starts_with(&start), "{text}");
    }
    assert_eq!(server.requests().len(), 9, "nothing was followed or tried again");
}

#[test]
fn what_should_be_encrypted_is_never_sent_in_the_clear() {
    let server = Server::new(OK);
    let url = server.url().replace("http:", "https:");
    let verb = Verb::new(&format!("webhook: {{url: \"{url}/\"}}"));
    let (code, text) = verb.run(&[]);
    assert_eq!(code, Some(1));
    assert!(text.starts_with(&format!("webhook: not sent: sending to {url}: ")), "{text}");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_secret_that_others_can_read_or_that_is_none_is_not_used() {
    let server = Server::new(OK);
    let mut said = String::new();
    for verb in [
        Verb::telegram(&server).file("token", TOKEN, 0o604),
        Verb::telegram(&server).file("token", "two\nlines", 0o600),
        Verb::telegram(&server).file("token", " \n", 0o600),
        Verb::telegram(&server).file("token", "no-token", 0o600),
        Verb::new("telegram: {chat_id: 5, token_file: DIR/nowhere}"),
        Verb::new("telegram: {chat_id: 5, token_file: DIR}"),
        Verb::new("telegram: {chat_id: 5}"),
        Verb::new("resend: {from: a@b.org, to: c@d.org}"),
        Verb::new("webhook: {url_file: DIR/url}").file("url", "http://example.org/x", 0o600),
        Verb::new("webhook: {url: \"http://127.0.0.1:1/\", headers_file: DIR/headers}").file(
            "headers",
            "no header",
            0o600,
        ),
    ] {
        let (code, text) = verb.run(&[]);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(NOTE), "{text}");
        said.push_str(text.split(NOTE).next().unwrap());
    }
    expect![[r#"
        telegram: not sent: DIR/token holds a secret and others may read or write it: chmod 600 DIR/token
        telegram: not sent: the secret in DIR/token is not one line of plain characters
        telegram: not sent: the secret in DIR/token is empty
        telegram: not sent: the bot token is none: @BotFather gives 123456:letters
        telegram: not sent: reading the secret in DIR/nowhere: No such file or directory (os error 2)
        telegram: not sent: DIR is no ordinary file
        telegram: not sent: there is no bot token: name a file of mode 0600 by notifications.telegram.token_file, or give the unit LoadCredential=telegram_token or the variable CLAUDE_FAILOVER_TELEGRAM_TOKEN
        resend: not sent: there is no API key of Resend: name a file of mode 0600 by notifications.resend.api_key_file, or give the unit LoadCredential=resend_api_key or the variable CLAUDE_FAILOVER_RESEND_API_KEY
        webhook: not sent: DIR/url: what stands there is not encrypted: write https; http is for this host alone (127.0.0.1)
        webhook: not sent: DIR/headers: write each header as `Name: value`
    "#]].assert_eq(&said);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn one_channel_can_be_tested_alone_and_none_is_said() {
    let server = Server::new(OK);
    let url = server.url();
    let verb = Verb::new(&format!(
        "telegram: {{chat_id: 5, api_url: \"{url}\"}}, webhook: {{url: \"{url}/\"}}"
    ));
    let (code, text) = verb.run(&["--channel", "webhook"]);
    assert_eq!((code, text.as_str()), (Some(0), "webhook: sent\n"));
    let (code, text) = verb.run(&["--channel", "resend"]);
    assert_eq!(code, Some(1));
    assert_eq!(text, "no channel to test: write resend under notifications\n");
    let (code, text) = verb.run(&[]);
    assert_eq!(code, Some(1), "one of two has no token");
    assert!(text.starts_with("telegram: not sent: there is no bot token"), "{text}");
    assert!(text.contains("webhook: sent\n"), "{text}");
    let (code, _) = verb.run(&["--channel", "pigeon"]);
    assert_eq!(code, Some(64));
    assert_eq!(Verb::new("").run(&[]).0, Some(1));
}
