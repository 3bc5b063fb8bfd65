//! What `${name#…}`, `${name/…}` and their kin make of a value.

use crate::guard::text::{STAR, UNKNOWN, has_hole, is_glob, may_be_word};

/// Longer values are not edited here.
const VALUE_CHARS_MAX: usize = 2_000;

pub fn edited(value: &str, operator: &str, rest: &str) -> String {
    let unknown = || UNKNOWN.to_string();
    if has_hole(value) || value.len() > VALUE_CHARS_MAX || has_hole(rest) {
        // Without an ending or a beginning it still is in the same place.
        let in_place = matches!(operator, "%" | "%%" | "@") && !rest.contains('/');
        return if in_place { value.to_owned() } else { unknown() };
    }
    let cuts = || (0..=value.len()).filter(|at| value.is_char_boundary(*at));
    match operator {
        "#" => first(cuts(), |at| may_be_word(rest, &value[..at])).map_or(value, |at| &value[at..]),
        "##" => first(cuts().rev(), |at| may_be_word(rest, &value[..at]))
            .map_or(value, |at| &value[at..]),
        "%" => first(cuts().rev(), |at| may_be_word(rest, &value[at..]))
            .map_or(value, |at| &value[..at]),
        "%%" => {
            first(cuts(), |at| may_be_word(rest, &value[at..])).map_or(value, |at| &value[..at])
        }
        "^" | "^^" => return value.to_uppercase(),
        "," | ",," => return value.to_lowercase(),
        "@" => value,
        "/" | "//" | "/#" | "/%" => return replaced(value, operator, rest),
        _ => return unknown(),
    }
    .to_owned()
}

fn first(mut cuts: impl Iterator<Item = usize>, fits: impl Fn(usize) -> bool) -> Option<usize> {
    cuts.find(|at| fits(*at))
}

fn replaced(value: &str, operator: &str, rest: &str) -> String {
    let (pattern, by) = rest.split_once('/').unwrap_or((rest, ""));
    if pattern.is_empty() {
        return value.to_owned();
    }
    if pattern.chars().all(|c| c == STAR) {
        return by.to_owned();
    }
    if pattern.contains(is_glob) {
        return UNKNOWN.to_string();
    }
    match operator {
        "//" => value.replace(pattern, by),
        "/#" => value.strip_prefix(pattern).map_or(value.to_owned(), |rest| format!("{by}{rest}")),
        "/%" => value.strip_suffix(pattern).map_or(value.to_owned(), |rest| format!("{rest}{by}")),
        _ => value.replacen(pattern, by, 1),
    }
}

/// `${value:offset:length}`
pub fn part(value: &str, offset: &str, length: Option<&str>) -> String {
    let number = |text: &str| text.trim().parse::<i64>().ok();
    let length = length.map(number);
    let (Some(offset), false, false) = (number(offset), has_hole(value), length == Some(None))
    else {
        return UNKNOWN.to_string();
    };
    let chars: Vec<char> = value.chars().collect();
    let count = i64::try_from(chars.len()).unwrap_or(i64::MAX);
    let start = if offset < 0 { count + offset } else { offset }.clamp(0, count);
    let end = match length.flatten() {
        None => count,
        Some(length) if length < 0 => count + length,
        Some(length) => start.saturating_add(length),
    };
    let at = |place: i64| usize::try_from(place).unwrap_or(0);
    chars[at(start)..at(end.clamp(start, count))].iter().collect()
}
