//! Accounts as columns for people.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::cli::text::{beside, length};
use crate::harmless;
use crate::moment::Wall;

/// A longer name has a line of its own.
const NAME_CHARS_MAX: usize = 18;

/// One row of `accounts[]` in `/status`.
#[derive(Debug, Deserialize)]
struct Row {
    name: String,
    active: bool,
    pinned: bool,
    state: String,
    until: Option<String>,
    detail: String,
    passed_over: Option<String>,
    used: Option<Used>,
}

#[derive(Debug, Deserialize)]
struct Used {
    five_hour: Option<Window>,
    weekly: Option<Window>,
    age_s: u64,
}

#[derive(Debug, Deserialize)]
struct Window {
    used_percent: f64,
}

/// # Errors
/// It is not the document of a daemon of this version.
pub fn text(status: &Value, now: Wall) -> serde_json::Result<String> {
    let rows: Vec<Row> = serde_json::from_value(status["accounts"].clone())?;
    // Its figures were that old when it was published.
    let published = status["at"].as_str().and_then(|at| at.parse::<Wall>().ok());
    let since = published.map_or(Duration::ZERO, |at| now - at);
    let lengths = rows.iter().map(|row| row.name.chars().count());
    let width = lengths.filter(|length| *length <= NAME_CHARS_MAX).max().unwrap_or(0);
    let width = width.max("ACCOUNT".len());
    let heads = ["STATE", "UNTIL", "IN", "5H", "WEEK", "HEARD"].map(str::to_owned);
    let mut text = line("  ", "ACCOUNT", width, &heads);
    for row in &rows {
        let marks = [(row.active, '*'), (row.pinned, '!')];
        let marks: String = marks.map(|(set, mark)| if set { mark } else { ' ' }).iter().collect();
        text.push_str(&line(&marks, &row.name, width, &cells(row, since, now)));
        if let Some(reason) = reason(row) {
            text.push_str(&beside("     ", &reason));
        }
    }
    text.push_str("\n* in use  ! pinned  (times in UTC)\n");
    // A reason holds rows of screens and words of programs.
    Ok(harmless::lines(&text))
}

/// What keeps work away from it; of the account in use, what is wrong with it.
fn reason(row: &Row) -> Option<String> {
    match row.active {
        true => (row.state != "available").then(|| row.detail.clone()),
        false => row.passed_over.clone(),
    }
}

fn cells(row: &Row, since: Duration, now: Wall) -> [String; 6] {
    let none = || "-".to_owned();
    let until = row.until.as_ref().and_then(|until| until.parse::<Wall>().ok());
    let share = |window: fn(&Used) -> Option<&Window>| {
        let window = row.used.as_ref().and_then(window);
        window.map_or_else(none, |window| format!("{:.0}%", window.used_percent))
    };
    [
        row.state.clone(),
        until.map_or_else(none, minute),
        until.map_or_else(none, |until| length(until - now)),
        share(|used| used.five_hour.as_ref()),
        share(|used| used.weekly.as_ref()),
        row.used.as_ref().map_or_else(none, |used| length(Duration::from_secs(used.age_s) + since)),
    ]
}

/// `2026-11-22 15:23`
fn minute(at: Wall) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(date), Some(time)) => format!("{date} {time}"),
        _ => text,
    }
}

fn line(marks: &str, name: &str, width: usize, cells: &[String; 6]) -> String {
    let [state, until, left, five_hour, weekly, heard] = cells;
    let own =
        if name.chars().count() > width { format!("{marks} {name}\n") } else { String::new() };
    let (marks, name) = if own.is_empty() { (marks, name) } else { ("  ", "") };
    let row = format!(
        "{marks} {name:width$}  {state:11}  {until:16}  {left:>6}  {five_hour:>4}  {weekly:>4}  {heard:>6}"
    );
    format!("{own}{}\n", row.trim_end())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    const NOW: Wall = Wall(1_795_361_004_000);

    #[test]
    fn the_table_fits_a_terminal() {
        let long = "a_name_of_an_account_that_is_as_long_as_a_name_of_an_account_may_be";
        let account = |name: &str, state: &str| {
            json!({"name": name, "active": false, "pinned": false, "state": state, "until": null,
                "detail": state, "passed_over": null, "used": null})
        };
        let mut primary = account("primary", "exhausted");
        primary["active"] = json!(true);
        primary["detail"] = json!(
            "exhausted window=weekly until=2026-11-29T15:00:00Z row=\"You've hit \
            your weekly limit · resets Nov 29, 3pm (UTC)\""
        );
        primary["until"] = json!("2026-11-29T15:00:00Z");
        primary["used"] = json!({"age_s": 30, "five_hour": {"used_percent": 12.5, "resets_at": null},
            "weekly": {"used_percent": 100.0, "resets_at": "2026-11-29T15:00:00Z"}});
        let mut backup = account("backup", "available");
        backup["pinned"] = json!(true);
        backup["used"] = json!({"age_s": 0, "five_hour": null, "weekly": null});
        let mut third = account(long, "held");
        third["passed_over"] = json!(format!(
            "held\u{202e}by the operator; `claude-failover account release {long}` ends that"
        ));
        let status = json!({"at": "2026-11-22T15:22:54Z", "accounts": [primary, backup, third]});
        let text = text(&status, NOW).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        expect![[r#"
               ACCOUNT  STATE        UNTIL                 IN    5H  WEEK   HEARD
            *  primary  exhausted    2026-11-29 15:00   6d23h   12%  100%      1m
                 exhausted window=weekly until=2026-11-29T15:00:00Z row="You've hit your
                 weekly limit · resets Nov 29, 3pm (UTC)"
             ! backup   available    -                      -     -     -     30s
               a_name_of_an_account_that_is_as_long_as_a_name_of_an_account_may_be
                        held         -                      -     -     -       -
                 held by the operator; `claude-failover account release
                 a_name_of_an_account_that_is_as_long_as_a_name_of_an_account_may_be` ends
                 that

            * in use  ! pinned  (times in UTC)
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn what_is_no_list_of_accounts_is_an_error() {
        assert!(text(&json!({"accounts": [{"name": "a"}]}), NOW).is_err());
        assert_eq!(text(&json!({"accounts": []}), NOW).unwrap().lines().count(), 3);
    }
}
