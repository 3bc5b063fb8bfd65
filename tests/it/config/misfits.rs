//! What is refused because of what it would do: things that do not fit beside each other, or that no
//! file may hold.

use claude_failover::config::load::parse;
use expect_test::expect;

use crate::config::{ACCOUNT, base, good_with, refused, rows_refused};

#[test]
fn accounts_that_cannot_live_beside_each_other_are_refused() {
    refused(
        "\
accounts:
  - {name: a, home: ~/.claude-a}
  - {name: a, home: ~/.claude-b}
  - {name: c, home: ~/.claude-a/}
  - {name: d, home: ~/.claude-b/deep}
  - {name: e, home: ~/.claude}
  - {name: f, home: ~/.claude/inside}
  - {name: g, home: ~}
  - home: /x
  - name: h
  - nothing
",
        &expect![[r#"
            c.yaml:3: accounts[1].name: a is the name of accounts[0], too
            c.yaml:4: accounts[2].home: /home/u/.claude-a is accounts[0].home, too
            c.yaml:5: accounts[3].home: /home/u/.claude-b/deep lies inside accounts[1].home (/home/u/.claude-b): choose a directory beside it
            c.yaml:6: accounts[4].home: /home/u/.claude is the link, which must stay free to name any account: give this account a directory of its own
            c.yaml:7: accounts[5].home: /home/u/.claude/inside lies inside the link (/home/u/.claude): choose a directory beside it
            c.yaml:7: accounts[5].home: /home/u/.claude/inside lies inside accounts[4].home (/home/u/.claude): choose a directory beside it
            c.yaml:8: accounts[6].home: YAML reads a bare ~ as no value: write "~" in quotes for the home directory
            c.yaml:9: accounts[7]: has no name: name the account, for example name: primary
            c.yaml:10: accounts[8]: has no home: name its Claude home, for example home: ~/.claude-primary
            c.yaml:11: accounts[9]: expected a mapping (key: value), got the text "nothing"
        "#]],
    );
    refused(
        "accounts: []\n",
        &expect![[r#"
        c.yaml:1: accounts: at least one account is needed: accounts: [{name: primary, home: ~/.claude-primary}]
    "#]],
    );
}

#[test]
fn directories_that_would_swallow_each_other_are_refused() {
    rows_refused(
        &[
            "pool: {shared_projects_dir: ~/a/projects}",
            "pool: {shared_projects_dir: ~/.claude/projects}",
            "pool: {shared_projects_dir: ~/shared}",
            "state_dir: /run/claude-failover/state",
            "runtime_dir: /var/lib/claude-failover",
        ],
        &expect![[r#"
            pool: {shared_projects_dir: ~/a/projects}
              line 2: pool.shared_projects_dir: /home/u/a/projects lies inside accounts[0].home (/home/u/a): choose a directory beside it
            pool: {shared_projects_dir: ~/.claude/projects}
              line 2: pool.shared_projects_dir: /home/u/.claude/projects lies inside the link (/home/u/.claude): choose a directory beside it
            pool: {shared_projects_dir: ~/shared}
              line 2: pool.shared_projects_dir: the last part of the path must hold "projects": its siblings with "session-env" and "file-history" in that place are shared, too
            state_dir: /run/claude-failover/state
              line 2: state_dir: state_dir (/run/claude-failover/state) lies inside runtime_dir (/run/claude-failover), whose content goes at every boot: choose two directories beside each other
            runtime_dir: /var/lib/claude-failover
              line 2: runtime_dir: state_dir (/var/lib/claude-failover) lies inside runtime_dir (/var/lib/claude-failover), whose content goes at every boot: choose two directories beside each other
        "#]],
    );
    let long = format!("tmux: {{socket: /{0}}}\nruntime_dir: /{0}\n", "x".repeat(108));
    let problems = parse(&format!("{ACCOUNT}{long}"), &base()).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
}

#[test]
fn sessions_of_two_meanings_are_refused() {
    rows_refused(
        &[
            "pool: {dedicated: [{name: x-1, project: /p}, {name: x-1, project: /q}]}",
            "pool: {dedicated: [{name: \"=x\", project: /p}, {name: x}, {project: /p}]}",
            "pool: {autonomous: {prefix: x-, start_index: 11, min: 1, max: 2}, \
             dedicated: [{name: x-10, project: /p}, {name: x-12, project: /p}, \
             {name: x-13, project: /p}]}",
            "pool: {autonomous: {prefix: x1, max: 1}}",
            "pool: {autonomous: {prefix: \"1x\", max: 1}}",
            "pool: {autonomous: {prefix: \"x.\", max: 1}}",
            "pool: {autonomous: {prefix: \"\", max: 1}}",
            "pool: {autonomous: {max: 1}}",
            "pool: {autonomous: {prefix: x-, min: 3, max: 2}}",
            "pool: {autonomous: {prefix: x-, max: 501}}",
            "pool: {autonomous: {prefix: x-, start_index: 4294967295, max: 500}}",
            "pool: {autonomous: {prefix: x-, max: 1}}\nautonomous: {prefix: y-, max: 1}",
            "autonomous: {prefix: x-, mx: 1}",
        ],
        &expect![[r#"
            pool: {dedicated: [{name: x-1, project: /p}, {name: x-1, project: /q}]}
              line 2: pool.dedicated[1].name: x-1 is the name of pool.dedicated[0], too
            pool: {dedicated: [{name: "=x", project: /p}, {name: x}, {project: /p}]}
              line 2: pool.dedicated[0].name: "=x" is not a valid session name: a letter, then at most 63 letters, digits, '_' or '-'
              line 2: pool.dedicated[1]: has no project: name the directory it works in
              line 2: pool.dedicated[2]: has no name: name the tmux session, for example name: ccl-1-website
            pool: {autonomous: {prefix: x-, start_index: 11, min: 1, max: 2}, dedicated: [{name: x-10, project: /p}, {name: x-12, project: /p}, {name: x-13, project: /p}]}
              line 2: pool.dedicated[1].name: x-12 is inside the range of the pool, x-11 to x-12: rename it or move start_index
            pool: {autonomous: {prefix: x1, max: 1}}
              line 2: pool.autonomous.prefix: "x1" ends in a digit, so x11 could be two sessions: end it in -
            pool: {autonomous: {prefix: "1x", max: 1}}
              line 2: pool.autonomous.prefix: "1x0" is not a valid session name: a letter, then at most 63 letters, digits, '_' or '-'
            pool: {autonomous: {prefix: "x.", max: 1}}
              line 2: pool.autonomous.prefix: "x.0" is not a valid session name: a letter, then at most 63 letters, digits, '_' or '-'
            pool: {autonomous: {prefix: "", max: 1}}
              line 2: pool.autonomous.prefix: the text is empty
            pool: {autonomous: {max: 1}}
              line 2: pool.autonomous: has no prefix: name what its sessions begin with, for example prefix: "ccl-auto-"
            pool: {autonomous: {prefix: x-, min: 3, max: 2}}
              line 2: pool.autonomous.min: 3 is more than max, which is 2
            pool: {autonomous: {prefix: x-, max: 501}}
              line 2: pool.autonomous.max: 501 is out of range: 0 to 500
            pool: {autonomous: {prefix: x-, start_index: 4294967295, max: 500}}
              line 2: pool.autonomous.start_index: 4294967295 is out of range: 0 to 1000000
            pool: {autonomous: {prefix: x-, max: 1}}
            autonomous: {prefix: y-, max: 1}
              line 3: autonomous: stands under pool, too: remove one of them
            autonomous: {prefix: x-, mx: 1}
              line 2: autonomous.mx: unknown key: the keys here are start_index, min, max, workdir, prefix
        "#]],
    );
    let prefix = "x".repeat(62);
    let fits = |max| format!("{ACCOUNT}autonomous: {{prefix: {prefix}, max: {max}}}\n");
    assert!(parse(&fits(100), &base()).is_ok());
    assert!(parse(&fits(101), &base()).is_err(), "its last name has 65 characters");
}

#[test]
fn an_agent_gets_no_secret_and_no_conversation_from_the_file() {
    rows_refused(
        &[
            "agent: {command: claude}",
            "agent: {command: []}",
            "agent: {command: [claude, --resume, 5]}",
            "agent: {env: {ANTHROPIC_API_KEY: value}}",
            "agent: {env: {CLAUDE_CODE_OAUTH_TOKEN: value, anthropic_auth_token: value}}",
            "agent: {env: {AWS_SECRET_ACCESS_KEY: value, MY_SECRET: value, TOKEN: value}}",
            "agent: {env: {anthropic_custom_headers: value, AWS_BEARER_TOKEN_BEDROCK: value}}",
            "agent: {env: \"STAGING=value\"}",
            "agent: {env: {CLAUDE_CONFIG_DIR: /x, HOME: /x, TMUX: x, TMUX_PANE: x}}",
            "agent: {env: {IS_SANDBOX: 1, A B: x, 9A: x}}",
            "agent: {models: {default: --opus}}",
            "notifications: {telegram: {bot_token: value, chat_id: 5}}",
            "notifications: {webhook: \"https://example.invalid\"}",
        ],
        &expect![[r#"
            agent: {command: claude}
              line 2: agent.command: expected a list ([…] or - …), got the text "claude"
            agent: {command: []}
              line 2: agent.command: names no program: write [claude] at least
            agent: {command: [claude, --resume, 5]}
              line 2: agent.command[1]: --resume is chosen for each launch: remove it from the command
              line 2: agent.command[2]: expected text, got the number 5: put it in quotes
            agent: {env: {ANTHROPIC_API_KEY: value}}
              line 2: agent.env.ANTHROPIC_API_KEY: looks like a key or a token: agents use the login of their account's home, and secrets do not stand in this file: remove it
            agent: {env: {CLAUDE_CODE_OAUTH_TOKEN: value, anthropic_auth_token: value}}
              line 2: agent.env.CLAUDE_CODE_OAUTH_TOKEN: looks like a key or a token: agents use the login of their account's home, and secrets do not stand in this file: remove it
              line 2: agent.env.anthropic_auth_token: looks like a key or a token: agents use the login of their account's home, and secrets do not stand in this file: remove it
            agent: {env: {AWS_SECRET_ACCESS_KEY: value, MY_SECRET: value, TOKEN: value}}
              line 2: agent.env.AWS_SECRET_ACCESS_KEY: looks like a key or a token: agents use the login of their account's home, and secrets do not stand in this file: remove it
              line 2: agent.env.MY_SECRET: looks like a key or a token: agents use the login of their account's home, and secrets do not stand in this file: remove it
              line 2: agent.env.TOKEN: looks like a key or a token: agents use the login of their account's home, and secrets do not stand in this file: remove it
            agent: {env: {anthropic_custom_headers: value, AWS_BEARER_TOKEN_BEDROCK: value}}
              line 2: agent.env.anthropic_custom_headers: looks like a key or a token: agents use the login of their account's home, and secrets do not stand in this file: remove it
              line 2: agent.env.AWS_BEARER_TOKEN_BEDROCK: looks like a key or a token: agents use the login of their account's home, and secrets do not stand in this file: remove it
            agent: {env: "STAGING=value"}
              line 2: agent.env: expected a mapping (NAME: "value"), got text
            agent: {env: {CLAUDE_CONFIG_DIR: /x, HOME: /x, TMUX: x, TMUX_PANE: x}}
              line 2: agent.env.CLAUDE_CONFIG_DIR: the daemon sets this variable for each agent: remove it
              line 2: agent.env.HOME: the daemon sets this variable for each agent: remove it
              line 2: agent.env.TMUX: the daemon sets this variable for each agent: remove it
              line 2: agent.env.TMUX_PANE: the daemon sets this variable for each agent: remove it
            agent: {env: {IS_SANDBOX: 1, A B: x, 9A: x}}
              line 2: agent.env.IS_SANDBOX: the value is not text: put it in quotes
              line 2: agent.env."A B": not the name of a variable (letters, digits and _)
              line 2: agent.env.9A: not the name of a variable (letters, digits and _)
            agent: {models: {default: --opus}}
              line 2: agent.models.default: "--opus" is no name of a model
            notifications: {telegram: {bot_token: value, chat_id: 5}}
              line 2: notifications.telegram.bot_token: a secret does not stand in this file: use bot_token_file
            notifications: {webhook: "https://example.invalid"}
              line 2: notifications.webhook: expected a mapping or null
        "#]],
    );
    let config = good_with("agent: {env: {IS_SANDBOX: \"1\", MAX_THINKING_TOKENS: \"9\"}}");
    assert_eq!(config.agent.env.len(), 2);
}

/// A name need not say that its value is a secret.
#[test]
fn no_value_of_the_environment_of_agents_is_shown() {
    let config = good_with("agent: {env: {STAGING_DATABASE: \"postgres://me:pass-word@db\"}}");
    let shown = format!("{config:?}");
    assert!(shown.contains("STAGING_DATABASE") && !shown.contains("pass-word"), "{shown}");
}

#[test]
fn addresses_that_others_reach_need_a_word_of_consent() {
    rows_refused(
        &[
            "http: {listen: localhost:8765}",
            "http: {listen: 8765}",
            "http: {listen: \"0.0.0.0:8765\"}",
            "http: {listen: \"[::]:8765\"}",
            "mcp_http: {listen: \"10.0.0.1:8765\"}",
            "selection: {strategy: fastest, pin: b}",
            "tmux: {command: tmux -2, socket: tmux.sock}",
            "tmux: {command: bin/tmux}",
        ],
        &expect![[r#"
            http: {listen: localhost:8765}
              line 2: http.listen: "localhost:8765" is no address with a port: write "127.0.0.1:8765", or null for none
            http: {listen: 8765}
              line 2: http.listen: expected text, got the number 8765: put it in quotes
            http: {listen: "0.0.0.0:8765"}
              line 2: http.listen: 0.0.0.0:8765 can be reached from other hosts: write 127.0.0.1, or set http.allow_remote: true behind a proxy that checks who asks
            http: {listen: "[::]:8765"}
              line 2: http.listen: [::]:8765 can be reached from other hosts: write 127.0.0.1, or set http.allow_remote: true behind a proxy that checks who asks
            mcp_http: {listen: "10.0.0.1:8765"}
              line 2: mcp_http.listen: 10.0.0.1:8765 can be reached from other hosts: write 127.0.0.1, or set http.allow_remote: true behind a proxy that checks who asks
            selection: {strategy: fastest, pin: b}
              line 2: selection.strategy: the text "fastest" is no strategy: priority, soonest_reset or most_headroom
              line 2: selection.pin: b is no account: a
            tmux: {command: tmux -2, socket: tmux.sock}
              line 2: tmux.socket: "tmux.sock" is not absolute: write it from / or ~/ (~name and variables are not expanded)
              line 2: tmux.command: one program without arguments is expected: they are chosen here
            tmux: {command: bin/tmux}
              line 2: tmux.command: "bin/tmux" is not absolute: write it from / or ~/ (~name and variables are not expanded)
        "#]],
    );
    for (text, expected) in [
        ("", Some("127.0.0.1:8765")),
        ("http: {listen: null}", None),
        ("http: {listen: \"[::1]:80\"}", Some("[::1]:80")),
        ("http: {listen: \"0.0.0.0:80\", allow_remote: true}", Some("0.0.0.0:80")),
        ("mcp_http: {listen: \"127.0.0.1:9\"}", Some("127.0.0.1:9")),
        ("mcp_http: {listen: \"127.0.0.1:9\"}\nhttp: {listen: null}", None),
        ("mcp_http: {listen: \"127.0.0.1:9\"}\nhttp: {allow_remote: false}", Some("127.0.0.1:9")),
    ] {
        let listen = good_with(text).http.listen.map(|listen| listen.to_string());
        assert_eq!(listen.as_deref(), expected, "{text}");
    }
}

#[test]
fn a_line_that_tells_an_agent_too_little_or_something_else_is_refused() {
    rows_refused(
        &[
            "dispatcher: {prompt: \"do {path}, then touch {done}\"}",
            "dispatcher: {prompt: \"do {file} {done} {failed}\"}",
            "dispatcher: {prompt: \"/do {path} {done} {failed}\"}",
            "dispatcher: {prompt: \"do {path} {done}\\n{failed}\"}",
            "dispatcher: {prompt: [do]}",
            "agent: {command: [claude, \"--a\\u2028b\", \"--c\\u202ed\"]}",
        ],
        &expect![[r#"
            dispatcher: {prompt: "do {path}, then touch {done}"}
              line 2: dispatcher.prompt: the line has no {failed}, which an agent must be told: add it
            dispatcher: {prompt: "do {file} {done} {failed}"}
              line 2: dispatcher.prompt: "{file}" is no place: the places are {id}, {title}, {path}, {done}, {failed}
            dispatcher: {prompt: "/do {path} {done} {failed}"}
              line 2: dispatcher.prompt: the client reads a line that begins with - / ! # @ or & as something else than a prompt: begin with a word
            dispatcher: {prompt: "do {path} {done}\n{failed}"}
              line 2: dispatcher.prompt: control characters are not allowed: the text "do {path} {done}\n{failed}"
            dispatcher: {prompt: [do]}
              line 2: dispatcher.prompt: expected text, got a list
            agent: {command: [claude, "--a\u2028b", "--c\u202ed"]}
              line 2: agent.command[1]: control characters are not allowed: the text "--a\u{2028}b"
              line 2: agent.command[2]: control characters are not allowed: the text "--c\u{202e}d"
        "#]],
    );
    let config = good_with("dispatcher: {prompt: \"do {path} {done} {failed}\"}");
    assert_ne!(config.dispatcher.prompt, good_with("").dispatcher.prompt);
}
