//! What appends were judged against.

use weir_storage::index::IndexHead;
use weir_types::{Judged, LogIndex, Planted, planted};

/// Whether an append was judged against the rules that there are, and, if on a
/// last event, on the one that its stream has. Where rules were ever made, an
/// append that says nothing of them was judged by nobody.
pub(super) fn judged_here(judged: Option<Judged>, rules: LogIndex, head: Option<&IndexHead>) -> bool {
    let Some(judged) = judged else { return rules == LogIndex::ZERO };
    if planted(Planted::JudgedOnOlderState) {
        return true;
    }
    let last = head.map(|head| head.last_event);
    judged.rules == rules && judged.last.is_none_or(|on| Some(on) == last)
}
