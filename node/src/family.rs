//! Metrics that are read when they are asked for. A series is there exactly as
//! long as what it tells of: a removed peer or projection leaves none behind.

use std::fmt::Write as _;

/// What a family's numbers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// They go up and down.
    Gauge,
    /// They only rise, as long as what they count is there.
    Counter,
}

/// The series of one name, in Prometheus' words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Family {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    series: Vec<(String, f64)>,
}

impl Family {
    /// A family without series, which is not shown.
    pub(crate) fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { name, kind, help, series: Vec::new() }
    }

    /// With one series more.
    pub(crate) fn with(mut self, labels: &[(&str, &str)], value: f64) -> Self {
        self.push(labels, value);
        self
    }

    /// Adds a series.
    pub(crate) fn push(&mut self, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.series.push((labels, value));
    }

    /// All families as text of version 0.0.4.
    pub(crate) fn render(families: &[Self]) -> String {
        let mut text = String::new();
        for Self { name, kind, help, series } in families.iter().filter(|family| !family.series.is_empty()) {
            let kind = match kind {
                Kind::Gauge => "gauge",
                Kind::Counter => "counter",
            };
            let lines = series.iter().map(|(labels, value)| format!("{name}{labels} {value}\n"));
            let lines: String = lines.collect();
            write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}\n")
                .expect("writing to a string does not fail");
        }
        text
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_text_and_one_without_series_is_not_shown() {
        let families = [
            Family::new("a", Kind::Gauge, "of a").with(&[], 1.5).with(&[("x", "1"), ("y", "q\"\\\n")], 2.0),
            Family::new("b", Kind::Counter, "of b"),
            Family::new("c", Kind::Counter, "of c").with(&[], 7.0),
        ];
        let expected = "# HELP a of a\n# TYPE a gauge\na 1.5\na{x=\"1\",y=\"q\\\"\\\\\\n\"} 2\n\n\
                        # HELP c of c\n# TYPE c counter\nc 7\n\n";
        assert_eq!(Family::render(&families), expected);
    }
}
