//! The page form.

use std::fmt::Write;

use super::{Span, in_order, words};
use crate::{history::History, verdict::Violation};

const HEAD: &str = "<!doctype html><meta charset=\"utf-8\"><title>history</title><style>\
    body{font:13px/1.5 ui-monospace,monospace;margin:2em}\
    table{border-collapse:collapse;width:100%}td{padding:1px 8px;white-space:nowrap}\
    td.t{width:40%;background:#f4f4f4;position:relative}\
    i{position:absolute;top:3px;bottom:3px;min-width:2px;background:#7a9}\
    i.refused{background:#ca6}i.unknown{background:#bbb}tr.guilty{background:#fdd}</style>";

/// The history as one page without scripts; what it shows of names is escaped.
#[must_use]
pub fn html(history: &History, violation: &Violation) -> String {
    let mut page = HEAD.to_owned();
    let _ = write!(page, "<h1>{}</h1><p>{}", escaped(violation.rule), escaped(&violation.what));
    let _ = write!(page, "<p>seed {} <code>{}</code>", history.header.seed, escaped(&history.header.replay));
    page.push_str("<table>");
    let span = Span::of(&history.operations);
    for op in in_order(&history.operations) {
        let guilty = if violation.ops.contains(&op.id) { " class=guilty" } else { "" };
        let kind = match &op.outcome {
            outcome if outcome.is_ok() => "ok",
            outcome if outcome.is_refused() => "refused",
            _ => "unknown",
        };
        let left = span.part(op.invoke_us, 1000);
        let right = if kind == "unknown" { 1000 } else { span.part(op.complete_us, 1000) };
        let (from, width) = (left as f64 / 10.0, right.saturating_sub(left) as f64 / 10.0);
        let (call, outcome) = (words::call(&op.call), words::outcome(&op.outcome));
        let (call, outcome) = (escaped(&call), escaped(&outcome));
        let _ = write!(
            page,
            "<tr{guilty}><td>{}<td>{}–{} µs<td>client {}<td class=t>\
             <i class={kind} style=\"left:{from}%;width:{width}%\"></i><td>{call} → {outcome}",
            op.id, op.invoke_us, op.complete_us, op.client
        );
    }
    page.push_str("</table>");
    page
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
