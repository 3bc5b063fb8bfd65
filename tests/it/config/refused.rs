//! What is refused because it cannot be read, with which words and at which line.

use expect_test::expect;

use crate::config::{refused, rows_refused};

#[test]
fn all_problems_of_a_file_are_told_at_once_with_their_lines() {
    refused(
        "\
acounts: []
link: relative/link
accounts:
  - name: 1st
    home: ~/.claude-a
  - name: b
    homme: ~/.claude-b
  - {name: c, home: ~/.claude-a,
     priority: high}
quota:
  poll_interval: 30
  poll_intervall: 1s
  statusline: yes
  statusline: true
pool:
  autonomous: {prefix: ccl-auto, min: 5,
               max: 4, size: 3}
swap: 5m
",
        &expect![[r#"
            c.yaml:1: acounts: unknown key: did you mean accounts?
            c.yaml:2: link: "relative/link" is not absolute: write it from / or ~/ (~name and variables are not expanded)
            c.yaml:4: accounts[0].name: "1st" is not a valid account name: a letter, then at most 63 letters, digits, '_' or '-'
            c.yaml:6: accounts[1]: has no home: name its Claude home, for example home: ~/.claude-primary
            c.yaml:7: accounts[1].homme: unknown key: did you mean home?
            c.yaml:9: accounts[2].priority: expected a whole number, got the text "high"
            c.yaml:11: quota.poll_interval: the number 30 has no unit: write a whole number with its unit (ms, s, m, h, d), for example 500ms, 30s or 1h30m
            c.yaml:12: quota.poll_intervall: unknown key: did you mean poll_interval?
            c.yaml:13: quota.statusline: expected true or false, got the text "yes"
            c.yaml:14: quota.statusline: this key is given twice here: remove one of them
            c.yaml:16: pool.autonomous.min: 5 is more than max, which is 4
            c.yaml:17: pool.autonomous.size: unknown key: the keys here are start_index, min, max, workdir, prefix
            c.yaml:18: swap: expected a mapping (key: value), got the text "5m"
        "#]],
    );
}

#[test]
fn values_of_the_wrong_kind_are_refused() {
    rows_refused(
        &[
            "quota: {statusline: yes}",
            "quota: {statusline: \"true\"}",
            "quota: {poll_interval: 30}",
            "quota: {poll_interval: 0}",
            "quota: {poll_interval: 1.5s}",
            "quota: {poll_interval: 1 s}",
            "quota: {poll_interval: [1s]}",
            "quota: {poll_interval: }",
            "quota: {poll_interval: 99ms}",
            "quota: {poll_interval: 6m}",
            "quota: {preempt_at: 0}",
            "quota: {preempt_at: 1.01}",
            "quota: {preempt_at: 95%}",
            "quota: {preempt_at: .nan}",
            "quota: {patterns: limit}",
            "quota: {patterns: [limit, 5, \"\"]}",
            "quota: {patterns: [\"You’ve used\", \"api error: 5\"]}",
            "dispatcher: {max_bytes: 1048576}",
            "dispatcher: {max_bytes: 1MB}",
            "dispatcher: {max_bytes: 1GiB}",
            "dispatcher: {trusted_uids: [-1, root, 1001]}",
        ],
        &expect![[r#"
            quota: {statusline: yes}
              line 2: quota.statusline: expected true or false, got the text "yes"
            quota: {statusline: "true"}
              line 2: quota.statusline: expected true or false, got the text "true"
            quota: {poll_interval: 30}
              line 2: quota.poll_interval: the number 30 has no unit: write a whole number with its unit (ms, s, m, h, d), for example 500ms, 30s or 1h30m
            quota: {poll_interval: 0}
              line 2: quota.poll_interval: the number 0 has no unit: write a whole number with its unit (ms, s, m, h, d), for example 500ms, 30s or 1h30m
            quota: {poll_interval: 1.5s}
              line 2: quota.poll_interval: the text "1.5s" is not understood: write a whole number with its unit (ms, s, m, h, d), for example 500ms, 30s or 1h30m
            quota: {poll_interval: 1 s}
              line 2: quota.poll_interval: the text "1 s" is not understood: write a whole number with its unit (ms, s, m, h, d), for example 500ms, 30s or 1h30m
            quota: {poll_interval: [1s]}
              line 2: quota.poll_interval: got a list: write a whole number with its unit (ms, s, m, h, d), for example 500ms, 30s or 1h30m
            quota: {poll_interval: }
              line 2: quota.poll_interval: got no value: write a whole number with its unit (ms, s, m, h, d), for example 500ms, 30s or 1h30m
            quota: {poll_interval: 99ms}
              line 2: quota.poll_interval: 99ms is out of range: 100ms to 5m
            quota: {poll_interval: 6m}
              line 2: quota.poll_interval: 6m is out of range: 100ms to 5m
            quota: {preempt_at: 0}
              line 2: quota.preempt_at: the number 0 is no share: write more than 0 and at most 1, for example 0.95
            quota: {preempt_at: 1.01}
              line 2: quota.preempt_at: the number 1.01 is no share: write more than 0 and at most 1, for example 0.95
            quota: {preempt_at: 95%}
              line 2: quota.preempt_at: expected a number, got the text "95%"
            quota: {preempt_at: .nan}
              line 2: quota.preempt_at: the number NaN is no share: write more than 0 and at most 1, for example 0.95
            quota: {patterns: limit}
              line 2: quota.patterns: expected a list ([…] or - …), got the text "limit"
            quota: {patterns: [limit, 5, ""]}
              line 2: quota.patterns[0]: a phrase has 6 to 200 characters
              line 2: quota.patterns[1]: expected text, got the number 5: put it in quotes
              line 2: quota.patterns[2]: the text is empty
            quota: {patterns: ["You’ve used", "api error: 5"]}
              line 2: quota.patterns[0]: "you've used" would also match the client's own "you've used", with which the quota is not out: write more of the text that it is meant for
              line 2: quota.patterns[1]: "api error: 5" would also match the client's own "api error", with which the quota is not out: write more of the text that it is meant for
            dispatcher: {max_bytes: 1048576}
              line 2: dispatcher.max_bytes: the number 1048576 has no unit: write a whole number with its unit (B, KiB, MiB, GiB), for example 64KiB
            dispatcher: {max_bytes: 1MB}
              line 2: dispatcher.max_bytes: the text "1MB" is not understood: write a whole number with its unit (B, KiB, MiB, GiB), for example 64KiB
            dispatcher: {max_bytes: 1GiB}
              line 2: dispatcher.max_bytes: 1GiB is out of range: 1KiB to 64MiB
            dispatcher: {trusted_uids: [-1, root, 1001]}
              line 2: dispatcher.trusted_uids[0]: -1 is out of range: 0 to 4294967294
              line 2: dispatcher.trusted_uids[1]: expected a whole number, got the text "root"
        "#]],
    );
}

#[test]
fn numbers_out_of_their_range_are_refused() {
    rows_refused(
        &[
            "swap: {max_per_hour: 0}",
            "swap: {max_per_hour: 99999999999999999999999}",
            "swap: {max_per_hour: 2.0}",
            "janitor: []",
        ],
        &expect![[r#"
            swap: {max_per_hour: 0}
              line 2: swap.max_per_hour: 0 is out of range: 1 to 3600
            swap: {max_per_hour: 99999999999999999999999}
              line 2: swap.max_per_hour: 99999999999999999999999 is out of range: 1 to 3600
            swap: {max_per_hour: 2.0}
              line 2: swap.max_per_hour: expected a whole number, got the number 2.0
            janitor: []
              line 2: janitor: expected a mapping (key: value), got a list
        "#]],
    );
}

#[test]
fn paths_that_depend_on_the_reader_are_refused() {
    rows_refused(
        &[
            "link: [x]",
            "link: 5",
            "state_dir: ~",
            "state_dir: \"\"",
            "state_dir: \"/a\\nb\"",
            "state_dir: /var/../lib",
            "state_dir: $HOME/state",
            "state_dir: ~root/state",
        ],
        &expect![[r#"
            link: [x]
              line 2: link: expected text, got a list
            link: 5
              line 2: link: expected text, got the number 5: put it in quotes
            state_dir: ~
              line 2: state_dir: YAML reads a bare ~ as no value: write "~" in quotes for the home directory
            state_dir: ""
              line 2: state_dir: the text is empty
            state_dir: "/a\nb"
              line 2: state_dir: control characters are not allowed: the text "/a\nb"
            state_dir: /var/../lib
              line 2: state_dir: "/var/../lib" holds ..: write the path without it
            state_dir: $HOME/state
              line 2: state_dir: "$HOME/state" is not absolute: write it from / or ~/ (~name and variables are not expanded)
            state_dir: ~root/state
              line 2: state_dir: "~root/state" is not absolute: write it from / or ~/ (~name and variables are not expanded)
        "#]],
    );
}

#[test]
fn unknown_keys_are_refused_with_the_likely_one() {
    rows_refused(
        &[
            "lnk: /x",
            "whatever: 1",
            "quota: {poll-interval: 1s}",
            "http: {port: 80}",
            "notifications: {slack: null}",
            "1: 2",
            "\"a\\nb\": 2",
            "<<: {link: /x}",
            "agent: {models: {high: opus}}",
        ],
        &expect![[r#"
            lnk: /x
              line 2: lnk: unknown key: did you mean link?
            whatever: 1
              line 2: whatever: unknown key: the keys here are link, accounts, state_dir, runtime_dir, selection, pool, agent, tmux, lifecycle, quota, swap, watcher, dispatcher, janitor, notifications, http
            quota: {poll-interval: 1s}
              line 2: quota.poll-interval: unknown key: did you mean poll_interval?
            http: {port: 80}
              line 2: http.port: unknown key: the keys here are listen, allow_remote
            notifications: {slack: null}
              line 2: notifications.slack: unknown key: the keys here are time_zone, telegram, resend, webhook
            1: 2
              line 2: 1: unknown key: the keys here are link, accounts, state_dir, runtime_dir, selection, pool, agent, tmux, lifecycle, quota, swap, watcher, dispatcher, janitor, notifications, http
            "a\nb": 2
              line 2: "a\nb": unknown key: the keys here are link, accounts, state_dir, runtime_dir, selection, pool, agent, tmux, lifecycle, quota, swap, watcher, dispatcher, janitor, notifications, http
            <<: {link: /x}
              line 2: "<<": merge keys are not read: write the values out
            agent: {models: {high: opus}}
              line 2: agent.models.high: unknown key: the keys here are critical, default
        "#]],
    );
}

#[test]
fn what_is_no_yaml_is_refused_with_its_line() {
    for (text, expected) in [
        (
            "accounts:\n\t- a\n",
            expect![[r#"
                c.yaml:2: cannot be read as YAML: found character that cannot start any token at line 2 column 1, while scanning for the next token
            "#]],
        ),
        (
            "a: 1\na: 2\nb: [\n",
            expect![[r#"
                c.yaml:4: cannot be read as YAML: did not find expected node content at line 4 column 1, while parsing a flow node
            "#]],
        ),
        (
            "a: !vault x\n",
            expect![[r#"
                c.yaml:1: cannot be read as YAML: a: a tag (!name) has no meaning here: remove it at line 1 column 4
            "#]],
        ),
        (
            "- a\n- b\n",
            expect![[r#"
                c.yaml: expected a mapping (key: value), got a list
            "#]],
        ),
        (
            "just text\n",
            expect![[r#"
                c.yaml: expected a mapping (key: value), got the text "just text"
            "#]],
        ),
        (
            "",
            expect![[r#"
                c.yaml: accounts: at least one account is needed: accounts: [{name: primary, home: ~/.claude-primary}]
            "#]],
        ),
        (
            "a: *nobody\n",
            expect![[r#"
                c.yaml:1: cannot be read as YAML: unknown anchor at line 1 column 4
            "#]],
        ),
        (
            "a: 1\n---\nb: 2\n",
            expect![[r#"
                c.yaml: cannot be read as YAML: deserializing from YAML containing more than one document is not supported
            "#]],
        ),
    ] {
        refused(text, &expected);
    }
}
