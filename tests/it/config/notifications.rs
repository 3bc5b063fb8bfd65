//! `notifications`: what is read, what is refused, and that no secret gets in.

use std::collections::BTreeSet;
use std::path::Path;

use claude_failover::config::notifications::{Level, WebhookAddress};
use expect_test::expect;

use crate::config::{EXAMPLE, collect_keys, good, good_with, rows_refused};

/// The example with its channels switched on, as its own text says how.
fn example_with_channels() -> String {
    let is_switched_off = |line: &str| {
        line.strip_prefix("  #")
            .is_some_and(|rest| !rest.starts_with(' ') || rest.starts_with("  "))
    };
    EXAMPLE
        .lines()
        .filter(|line| !["  telegram: null", "  resend: null", "  webhook: null"].contains(line))
        .map(|line| match is_switched_off(line) {
            true => format!("  {}\n", &line["  #".len()..]),
            false => format!("{line}\n"),
        })
        .collect()
}

#[test]
fn the_example_shows_every_key_of_every_channel() {
    let text = example_with_channels();
    let loaded = good(&text);
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let mut shown = BTreeSet::new();
    collect_keys(&serde_yaml::from_str(&text).unwrap(), "", &mut shown);
    assert!(text.contains("#url_file: "), "it stands for url, so it is shown and not read");
    shown.insert("notifications.webhook.url_file".to_owned());
    assert_eq!(shown, loaded.keys.into_iter().collect());
    let notifications = loaded.config.notifications;
    let telegram = notifications.telegram.unwrap();
    assert_eq!(telegram.chat_id, "-1001234567890");
    assert_eq!(telegram.rules.quiet_hours.unwrap().to_string(), "23:00-07:00");
    assert_eq!(notifications.resend.unwrap().rules.level, Level::Warning);
    assert!(notifications.webhook.is_some());
}

#[test]
fn what_is_not_written_has_its_default() {
    let config = good_with(
        "notifications:\n  telegram: {chat_id: \"@ops\"}\n  resend: {from: a@b.org, to: c@d.org}\n  \
         webhook: {url_file: ~/hook, quiet_hours: null}\n  time_zone: Europe/Paris\n",
    )
    .notifications;
    let (telegram, resend) = (config.telegram.unwrap(), config.resend.unwrap());
    assert_eq!(telegram.api_url.as_str(), "https://api.telegram.org");
    assert_eq!((telegram.rules.level, telegram.rules.quiet_hours), (Level::Info, None));
    assert_eq!(resend.api_url.as_str(), "https://api.resend.com");
    assert_eq!(resend.to, ["c@d.org"]);
    let address = WebhookAddress::InFile(Path::new("/home/u/hook").to_owned());
    assert_eq!(config.webhook.unwrap().address, address);
    assert_eq!(config.time_zone.as_deref(), Some("Europe/Paris"));
    // As the versions before called it.
    let older = good_with("notifications: {telegram: {chat_id: 5, bot_token_file: /x/token}}");
    let token_file = older.notifications.telegram.unwrap().token_file;
    assert_eq!(token_file.as_deref(), Some(Path::new("/x/token")));
    let none = good_with("notifications: {telegram: null}").notifications;
    assert_eq!(none, claude_failover::config::notifications::Notifications::default());
}

#[test]
fn what_cannot_be_told_is_refused_with_the_place_of_each_secret() {
    rows_refused(
        &[
            "notifications: {time_zone: Mars/Olympus}",
            "notifications: {telegram: {}}",
            "notifications: {telegram: {chat_id: \"123456:AAtoken\", token: x, level: loud}}",
            "notifications: {telegram: {chat_id: 5, quiet_hours: 23-7, token_file: token}}",
            "notifications: {telegram: {chat_id: 5, quiet_hours: \"07:00-7:00\"}}",
            "notifications: {telegram: {chat_id: 5, api_url: \"http://api.example.org\"}}",
            "notifications: {telegram: {chat_id: 5, api_url: \"https://api.telegram.org/bot1:A\"}}",
            "notifications: {resend: {api_key: re_value}}",
            "notifications: {resend: {from: me, to: [me@x.org, 5, \"a b@c\"]}}",
            "notifications: {webhook: {}}",
            "notifications: {webhook: {url: \"https://hooks.slack.com/services/T/B/X\"}}",
            "notifications: {webhook: {url: \"https://x.org/hook?Token=x\"}}",
            "notifications: {webhook: {url: \"https://me:word@x.org/\", secret: x}}",
            "notifications: {webhook: {url: \"https://x.org/\", url_file: /x, headers: {A: b}}}",
            "notifications: {webhook: {url: \"https://x.org/\", levle: info}}",
        ],
        &expect![[r#"
            notifications: {time_zone: Mars/Olympus}
              line 2: notifications.time_zone: "Mars/Olympus" is no time zone: write one as Europe/Paris
            notifications: {telegram: {}}
              line 2: notifications.telegram: has no chat_id: write the number of the chat
            notifications: {telegram: {chat_id: "123456:AAtoken", token: x, level: loud}}
              line 2: notifications.telegram.token: a secret does not stand in this file: use token_file
              line 2: notifications.telegram.chat_id: no chat: write its number (-1001234567890) or the name of a public channel ("@name")
              line 2: notifications.telegram.level: "loud" is no level: write info, warning or critical
            notifications: {telegram: {chat_id: 5, quiet_hours: 23-7, token_file: token}}
              line 2: notifications.telegram.token_file: "token" is not absolute: write it from / or ~/ (~name and variables are not expanded)
              line 2: notifications.telegram.quiet_hours: "23-7" are no hours: write "23:00-07:00"
            notifications: {telegram: {chat_id: 5, quiet_hours: "07:00-7:00"}}
              line 2: notifications.telegram.quiet_hours: "07:00-7:00" is a whole day: to be told less, set level: critical
            notifications: {telegram: {chat_id: 5, api_url: "http://api.example.org"}}
              line 2: notifications.telegram.api_url: "http://api.example.org" is not encrypted: write https; http is for this host alone (127.0.0.1)
            notifications: {telegram: {chat_id: 5, api_url: "https://api.telegram.org/bot1:A"}}
              line 2: notifications.telegram.api_url: holds a token, which does not stand in this file: write https://api.telegram.org alone
            notifications: {resend: {api_key: re_value}}
              line 2: notifications.resend.api_key: a secret does not stand in this file: use api_key_file
              line 2: notifications.resend: has no from: write the sender, "failover@example.org"
              line 2: notifications.resend: has no to: write the addresses that are told, [me@…]
            notifications: {resend: {from: me, to: [me@x.org, 5, "a b@c"]}}
              line 2: notifications.resend.from: "me" is no address: write name@host or "Name <name@host>"
              line 2: notifications.resend.to[1]: expected text, got the number 5: put it in quotes
              line 2: notifications.resend.to[2]: "a b@c" is no address: write name@host or "Name <name@host>"
            notifications: {webhook: {}}
              line 2: notifications.webhook: has no url: write where to post to, or url_file when that is a secret
            notifications: {webhook: {url: "https://hooks.slack.com/services/T/B/X"}}
              line 2: notifications.webhook.url: whoever knows this address may write there, so it is a secret, which does not stand in this file: put it into a file of its own and use url_file
            notifications: {webhook: {url: "https://x.org/hook?Token=x"}}
              line 2: notifications.webhook.url: whoever knows this address may write there, so it is a secret, which does not stand in this file: put it into a file of its own and use url_file
            notifications: {webhook: {url: "https://me:word@x.org/", secret: x}}
              line 2: notifications.webhook.secret: a secret does not stand in this file: use secret_file
              line 2: notifications.webhook.url: holds a user or a password before its host: a secret does not stand in this file
            notifications: {webhook: {url: "https://x.org/", url_file: /x, headers: {A: b}}}
              line 2: notifications.webhook.headers: a secret does not stand in this file: use headers_file
              line 2: notifications.webhook.url_file: stands beside url: remove one of them
            notifications: {webhook: {url: "https://x.org/", levle: info}}
              line 2: notifications.webhook.levle: unknown key: the keys here are url, url_file, secret_file, headers_file, level, quiet_hours
        "#]],
    );
}
