//! Rows that are one fold of each stream, and whether what somebody shows is the fold of exactly what lies up to the
//! position that it names.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use weir_api::v1::{LogPage, paths};

use crate::edge::Edge;

/// The modulus of the running hash, which every repeat, hole and change of order changes.
const MODULUS: u64 = 1_000_003;

/// A row: how many events of a stream, the last position, and the hash of all of them.
pub(super) type Rows = BTreeMap<String, (u64, u64, u64)>;

/// What somebody showed, and of which position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) by: String,
    pub(super) position: u64,
    pub(super) rows: Rows,
}

/// The row of stream, count, last position and hash.
pub(super) fn row_of(row: &[Value]) -> Option<(String, (u64, u64, u64))> {
    let [stream, count, last, hash] = row else { return None };
    Some((stream.as_str()?.to_owned(), (count.as_u64()?, last.as_u64()?, hash.as_u64()?)))
}

/// A workload's events: position and stream.
///
/// # Errors
/// When a page of the log cannot be had.
pub(super) async fn log(edge: &Edge, workload: &str) -> Result<Vec<(u64, String)>> {
    let (mut all, mut from) = (Vec::new(), 1);
    loop {
        let path = format!("{}?from_position={from}&limit=1000&name={workload}.*", paths::LOG);
        let page: LogPage = serde_json::from_value(edge.get(&path).await?).context("a page of the log")?;
        all.extend(page.events.into_iter().map(|event| (event.position, event.entity_id)));
        ensure!(page.next_position >= from, "the log goes backwards");
        if page.next_position == from {
            return Ok(all);
        }
        from = page.next_position;
    }
}

/// All that was shown and is not the fold of the log up to its position.
pub(super) fn audit(mut seen: Vec<Seen>, log: &[(u64, String)]) -> Vec<String> {
    seen.sort_by_key(|seen| seen.position);
    let (mut rows, mut rest, mut wrong) = (Rows::new(), log, Vec::new());
    for one in seen {
        while let Some(((position, stream), others)) =
            rest.split_first().filter(|(next, _)| next.0 <= one.position)
        {
            let (count, last, hash) = rows.entry(stream.clone()).or_insert((0, 0, 7));
            (*count, *last, *hash) = (*count + 1, *position, (*hash * 31 + position) % MODULUS);
            rest = others;
        }
        if one.rows != rows {
            let Seen { by, position, rows: found } = one;
            wrong.push(format!("{by} showed {found:?} at position {position}, and the log has {rows:?}"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_must_be_the_fold_up_to_its_position() {
        let log = [(2, "a".to_owned()), (5, "b".to_owned()), (6, "a".to_owned())];
        let hash = |positions: &[u64]| positions.iter().fold(7, |hash, at| (hash * 31 + at) % MODULUS);
        let rows = |rows: &[(&str, &[u64])]| -> Rows {
            let row = |(stream, at): &(&str, &[u64])| {
                ((*stream).to_owned(), (at.len() as u64, at[at.len() - 1], hash(at)))
            };
            rows.iter().map(row).collect()
        };
        let seen = |position, of: &[(&str, &[u64])]| Seen { by: String::new(), position, rows: rows(of) };
        let good =
            vec![seen(6, &[("a", &[2, 6]), ("b", &[5])]), seen(1, &[]), seen(5, &[("a", &[2]), ("b", &[5])])];
        assert!(audit(good, &log).is_empty());
        for bad in
            [seen(6, &[("a", &[2]), ("b", &[5])]), seen(2, &[]), seen(5, &[("a", &[2, 2]), ("b", &[5])])]
        {
            assert_eq!(audit(vec![bad], &log).len(), 1);
        }
    }
}
