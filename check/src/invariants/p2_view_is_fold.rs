//! P2: a view is the fold of its events up to its checkpoint. The fold is done
//! again here, by code that shares nothing with the product.

use std::collections::BTreeMap;

use serde_json::Value;
use weir_types::InvariantId::P2;

use super::verdict;
use crate::{
    evidence::Evidence,
    history::{Call, Seen},
    state::StoredEvent,
    verdict::Verdict,
};

/// The state of one projection, over all its partitions.
pub trait Fold {
    /// Takes the next event of the log in; called for every event, in order of position, once.
    fn fold(&mut self, event: &StoredEvent);

    /// The view of a partition after what was folded; `None` if it has none.
    fn view(&self, partition: &str) -> Option<Value>;
}

/// Knows the projections of the run.
pub trait Folds {
    /// The empty state of a projection; `None` if it is not known here, and then a view of it is a violation.
    fn start(&self, projection: &str) -> Option<Box<dyn Fold>>;
}

/// For runs without projections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoFolds;

impl Folds for NoFolds {
    fn start(&self, _: &str) -> Option<Box<dyn Fold>> {
        None
    }
}

impl<F: Fn(&str) -> Option<Box<dyn Fold>>> Folds for F {
    fn start(&self, projection: &str) -> Option<Box<dyn Fold>> {
        self(projection)
    }
}

/// A view as it was seen: at a checkpoint, by an operation or at the end.
struct Sight<'a> {
    checkpoint: u64,
    partition: &'a str,
    node: u64,
    op: Option<u64>,
    value: &'a Option<Value>,
}

/// Checks every view that was seen during the run or at its end.
#[must_use]
pub fn check(evidence: &Evidence<'_>, folds: &dyn Folds) -> Verdict {
    let mut verdict = verdict(P2);
    for (projection, mut sights) in sights(evidence) {
        sights.sort_by_key(|sight| sight.checkpoint);
        let started = folds.start(projection);
        let known = verdict.hold("projection is not known", started.is_some(), &[], || {
            format!("nobody told how `{projection}` folds")
        });
        if let (Some(fold), true) = (started, known) {
            replay(&mut verdict, evidence, projection, fold, &sights);
        }
    }
    verdict
}

fn sights<'a>(evidence: &Evidence<'a>) -> BTreeMap<&'a str, Vec<Sight<'a>>> {
    let mut of: BTreeMap<&str, Vec<Sight<'_>>> = BTreeMap::new();
    for op in &evidence.history.operations {
        if let (Call::View { projection, partition, node, .. }, Some(Seen::View { value, checkpoint })) =
            (&op.call, op.seen())
        {
            let (checkpoint, node, op) = (*checkpoint, *node, Some(op.id));
            of.entry(projection).or_default().push(Sight { checkpoint, partition, node, op, value });
        }
    }
    for view in &evidence.end.views {
        let (checkpoint, node, partition) = (view.checkpoint, view.node, view.partition.as_str());
        let sight = Sight { checkpoint, partition, node, op: None, value: &view.value };
        of.entry(view.projection.as_str()).or_default().push(sight);
    }
    of
}

fn replay(
    verdict: &mut Verdict,
    evidence: &Evidence<'_>,
    projection: &str,
    mut fold: Box<dyn Fold>,
    sights: &[Sight<'_>],
) {
    let mut events = evidence.log.events.iter().peekable();
    let end = evidence.log.end();
    for Sight { checkpoint, partition, node, op, value } in sights {
        while let Some(event) = events.next_if(|event| event.position <= *checkpoint) {
            fold.fold(event);
        }
        let ops: Vec<u64> = (*op).into_iter().collect();
        verdict.hold("checkpoint past the end", *checkpoint <= end, &ops, || {
            format!("{projection}/{partition} on node {node} is at {checkpoint}, the log ends with {end}")
        });
        let due = fold.view(partition);
        let equal = match (&due, value) {
            (Some(due), Some(value)) => same(due, value),
            (due, value) => due.is_none() && value.is_none(),
        };
        verdict.hold("view is not the fold", equal, &ops, || {
            let shown = |value: &Option<Value>| value.as_ref().map(Value::to_string);
            let (is, due) = (shown(value), shown(&due));
            format!("{projection}/{partition} on node {node} at {checkpoint} is {is:?}, the fold is {due:?}")
        });
    }
}

/// Equal as JavaScript sees it, where 1 and 1.0 are one number.
fn same(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::Number(one), Value::Number(two)) => one == two || one.as_f64() == two.as_f64(),
        (Value::Array(one), Value::Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| same(one, two))
        }
        (Value::Object(one), Value::Object(two)) => {
            let same_at = |(name, value)| two.get(name).is_some_and(|other| same(value, other));
            one.len() == two.len() && one.iter().all(same_at)
        }
        _ => one == two,
    }
}
