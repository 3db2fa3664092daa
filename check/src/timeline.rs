//! A history as people read it: one line per operation with a bar for its time,
//! as text and as a page.

mod html;
mod words;

use std::fmt::Write;

pub use html::html;

use crate::{
    history::{History, Operation},
    verdict::Violation,
};

/// Columns of the bar in the text form.
const COLUMNS: u64 = 40;

/// The text form: what is wrong, then the operations in order of invocation.
/// Operations that show the violation are marked with `>`.
#[must_use]
pub fn text(history: &History, violation: &Violation) -> String {
    let mut text = format!("{}\n{}\n", violation.rule, violation.what);
    let header = &history.header;
    let _ = writeln!(text, "seed {}, {}", header.seed, header.topology.kind);
    if !header.replay.is_empty() {
        let _ = writeln!(text, "again: {}", header.replay);
    }
    let span = Span::of(&history.operations);
    let _ = writeln!(text, "\n{:>14}  {:<width$}  client", "µs", "", width = COLUMNS as usize);
    for op in in_order(&history.operations) {
        let shows = if violation.ops.contains(&op.id) { '>' } else { ' ' };
        let (call, outcome) = (words::call(&op.call), words::outcome(&op.outcome));
        let bar = span.bar(op);
        let _ = writeln!(
            text,
            "{shows}{:>13}  {bar}  {:>6}  #{} {call} → {outcome}",
            op.invoke_us, op.client, op.id
        );
    }
    text
}

fn in_order(ops: &[Operation]) -> Vec<&Operation> {
    let mut ops: Vec<&Operation> = ops.iter().collect();
    ops.sort_by_key(|op| (op.invoke_us, op.id));
    ops
}

/// The time that all operations cover.
struct Span {
    from_us: u64,
    until_us: u64,
}

impl Span {
    fn of(ops: &[Operation]) -> Self {
        let from_us = ops.iter().map(|op| op.invoke_us).min().unwrap_or(0);
        let until_us = ops.iter().map(|op| op.complete_us).max().unwrap_or(0).max(from_us + 1);
        Self { from_us, until_us }
    }

    /// A moment as a share of the whole, in `parts`.
    fn part(&self, moment_us: u64, parts: u64) -> u64 {
        let (passed, whole) = (moment_us.saturating_sub(self.from_us), self.until_us - self.from_us);
        u64::try_from(u128::from(passed) * u128::from(parts) / u128::from(whole)).unwrap_or(parts).min(parts)
    }

    fn bar(&self, op: &Operation) -> String {
        let from = self.part(op.invoke_us, COLUMNS - 1);
        let until = self.part(op.complete_us, COLUMNS - 1);
        let open = op.outcome.is_unknown();
        (0..COLUMNS)
            .map(|column| match column {
                _ if column == from => '|',
                _ if column == until && !open => '|',
                _ if column > from && column < until => '-',
                _ if column >= until && open => '.',
                _ => ' ',
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Call, Expected, Header, Outcome, Topology};

    fn history() -> History {
        let op = |id, invoke_us, complete_us, outcome| Operation {
            id,
            client: 1,
            invoke_us,
            complete_us,
            call: Call::Append {
                stream: "<a>".to_owned(),
                expected: Expected::Exact(0),
                key: None,
                marks: vec![format!("m{id}")],
                node: 2,
            },
            outcome,
        };
        let refused = Outcome::Refused { code: "version_conflict".to_owned(), actual: Some(3) };
        let unknown = Outcome::Unknown { reason: "time-out".to_owned() };
        let operations = vec![op(2, 50, 90, unknown), op(1, 10, 60, refused)];
        History { header: Header::new(7, Topology::default(), &[]), operations }
    }

    #[test]
    fn operations_stand_in_order_of_time_and_the_guilty_are_marked() {
        let violation = Violation { rule: "a rule", what: "what <b> is".to_owned(), ops: vec![2] };
        let text = text(&history(), &violation);
        let (one, two) = (text.find("#1 ").expect("shown"), text.find("#2 ").expect("shown"));
        assert!(one < two, "{text}");
        let guilty = text.lines().find(|line| line.starts_with('>')).expect("one is marked");
        assert!(guilty.contains("#2 ") && guilty.contains("unknown"), "{text}");
        let page = html(&history(), &violation);
        assert!(
            page.contains("&lt;a&gt;") && !page.contains("<a>") && !page.contains("<b>"),
            "names are text"
        );
    }
}
