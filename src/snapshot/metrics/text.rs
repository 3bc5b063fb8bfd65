//! The Prometheus text format, version 0.0.4: families with their samples, names and labels escaped.

use std::fmt::Write as _;
use std::time::Duration;

/// Of the answer of `GET /metrics`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
}

/// A document that is being written.
#[derive(Debug, Default)]
pub struct Text(String);

/// The samples of one name.
pub struct Family<'a> {
    text: &'a mut String,
    name: &'a str,
}

/// Names and values.
pub type Labels<'a> = [(&'a str, &'a str)];

impl Text {
    /// Each name once; `help` is one line.
    pub fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        let word = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        };
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        write!(self.0, "# HELP {name} {help}\n# TYPE {name} {word}\n").expect(TAKES_ALL);
        Family { text: &mut self.0, name }
    }

    /// A family of one sample without labels.
    pub fn counter(&mut self, name: &str, value: u64, help: &str) {
        self.family(name, Kind::Counter, help).sample(&[], count(value));
    }

    /// A family of one sample without labels.
    pub fn gauge(&mut self, name: &str, value: f64, help: &str) {
        self.family(name, Kind::Gauge, help).sample(&[], value);
    }

    /// The same; nothing at all when there is no value.
    pub fn gauge_if(&mut self, name: &str, value: Option<f64>, help: &str) {
        if let Some(value) = value {
            self.gauge(name, value, help);
        }
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

impl Family<'_> {
    pub fn sample(&mut self, labels: &Labels<'_>, value: f64) {
        self.part("", labels, value);
    }

    /// `suffix` is `_sum`, `_count` or `_bucket`, else empty.
    pub fn part(&mut self, suffix: &str, labels: &Labels<'_>, value: f64) {
        write!(self.text, "{}{suffix}", self.name).expect(TAKES_ALL);
        for (place, (label, value)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            write!(self.text, "{before}{label}=\"").expect(TAKES_ALL);
            escape(self.text, value);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        writeln!(self.text, " {value}").expect(TAKES_ALL);
    }
}

const TAKES_ALL: &str = "a String takes all";

fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str(r"\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str(r"\n"),
            c => text.push(c),
        }
    }
}

/// Exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "a monitor's numbers are floats")]
pub fn count(value: u64) -> f64 {
    value as f64
}

pub fn seconds(length: Duration) -> f64 {
    length.as_secs_f64()
}

pub fn truth(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_help_and_labels_are_written_as_the_format_says() {
        let mut text = Text::default();
        let mut family = text.family("a_total", Kind::Counter, "One\nline \\ here.");
        family.sample(&[("x", "\"q\"\n\\"), ("y", "ü")], 1.5);
        family.part("_sum", &[], count(1 << 53));
        text.gauge_if("b", None, "Nothing.");
        text.gauge("c", truth(true), "Yes.");
        assert_eq!(
            text.into_string(),
            "# HELP a_total One\\nline \\\\ here.\n# TYPE a_total counter\n\
             a_total{x=\"\\\"q\\\"\\n\\\\\",y=\"ü\"} 1.5\na_total_sum 9007199254740992\n\
             # HELP c Yes.\n# TYPE c gauge\nc 1\n"
        );
    }
}
