//! Lengths of time and moments for somebody who reads them at 3 am.

use crate::moment::Wall;

/// `4.1 s`, `95 s`, `13 min`, `2 h 13 min`, `3 d 4 h`.
pub fn length(length_ms: u64) -> String {
    let length_s = length_ms / 1000;
    let (minutes, hours) = (length_s / 60, length_s / 3600);
    match length_s {
        0..10 => format!("{length_s}.{} s", length_ms % 1000 / 100),
        10..120 => format!("{length_s} s"),
        120..7_200 => format!("{minutes} min"),
        7_200..172_800 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{} d {} h", hours / 24, hours % 24),
    }
}

/// `2026-11-26 03:12:44Z`.
pub fn moment(at: Wall) -> String {
    at.to_string().replacen('T', " ", 1)
}

/// `16:00Z`, and with its date when that is another than `near`'s.
pub fn until(until: Wall, near: Wall) -> String {
    let (whole, other) = (until.to_string(), near.to_string());
    // Moments beyond the calendar are printed otherwise.
    let Some((day, time)) = whole.split_once('T') else { return whole };
    let time = time.get(..5).unwrap_or(time);
    if other.starts_with(day) { format!("{time}Z") } else { format!("{day} {time}Z") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_as_exact_as_it_matters() {
        for (length_ms, expected) in [
            (0, "0.0 s"),
            (4_149, "4.1 s"),
            (9_999, "9.9 s"),
            (10_000, "10 s"),
            (119_999, "119 s"),
            (120_000, "2 min"),
            (7_980_000, "2 h 13 min"),
            (172_800_000, "2 d 0 h"),
            (u64::MAX, "213503982334 d 14 h"),
        ] {
            assert_eq!(length(length_ms), expected);
        }
    }

    #[test]
    fn the_date_of_today_is_not_repeated() {
        let at = Wall(1_795_361_004_858);
        assert_eq!(moment(at), "2026-11-22 15:23:24Z");
        assert_eq!(until(at, at), "15:23Z");
        assert_eq!(until(Wall(at.0 + 86_400_000), at), "2026-11-23 15:23Z");
        assert_eq!(until(Wall(i64::MAX), at), Wall(i64::MAX).to_string());
    }
}
