//! Tasks as columns for people.

use std::fmt::Write as _;

use crate::cli::tasks::survey::Row;
use crate::harmless;
use crate::moment::Wall;

const HEADS: [&str; 6] = ["TASK", "STATE", "AGE", "SESSION", "TRY", "TITLE"];
const REASON_CHARS_MAX: usize = 120;

pub fn text(rows: &[Row], now: Wall) -> String {
    let cells: Vec<[String; 6]> = rows.iter().map(|row| cells(row, now)).collect();
    let width = |column: usize| {
        let lengths = cells.iter().map(|cells| cells[column].chars().count());
        lengths.max().unwrap_or(0).max(HEADS[column].len())
    };
    let widths: Vec<usize> = (0..HEADS.len() - 1).map(width).collect();
    let mut text = String::new();
    for cells in std::iter::once(&HEADS.map(str::to_owned)).chain(&cells) {
        for (cell, width) in cells.iter().zip(&widths) {
            write!(text, "{cell:width$}  ").expect("a String takes all");
        }
        writeln!(text, "{}", cells[HEADS.len() - 1]).expect("a String takes all");
    }
    text
}

fn cells(row: &Row, now: Wall) -> [String; 6] {
    let reason = row.reason.as_deref().map(|reason| harmless::line(reason, REASON_CHARS_MAX));
    let reason = reason.map_or(String::new(), |reason| format!(" [{reason}]"));
    [
        row.task.clone(),
        row.state.to_string(),
        row.since.map_or("-".to_owned(), |since| age(now, since)),
        row.session.clone().unwrap_or("-".to_owned()),
        row.attempts.map_or("-".to_owned(), |attempts| attempts.to_string()),
        format!("{}{reason}", row.title),
    ]
}

/// In one unit, as short as a column.
fn age(now: Wall, since: Wall) -> String {
    let age_s = (now - since).as_secs();
    match age_s {
        0..120 => format!("{age_s}s"),
        120..7_200 => format!("{}m", age_s / 60),
        7_200..172_800 => format!("{}h", age_s / 3_600),
        _ => format!("{}d", age_s / 86_400),
    }
}
