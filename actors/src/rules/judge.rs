//! The judgement of one append by all rules.

use weir_types::{AppendError, DecidedAppend, Judged, RuleFaults, RuleKind};

use super::own::own_faults;
use crate::{
    invariant::{self, Basis, Folded},
    stream::actor::{StreamPorts, unread},
};

/// What came of judging an append.
pub(crate) struct Judgement {
    /// The append, with what it was judged against.
    pub(crate) append: DecidedAppend,
    /// What stands against it.
    pub(crate) faults: RuleFaults,
    /// The state of its stream before it, where there is an invariant.
    pub(crate) before: Option<Folded>,
    /// The same after it.
    pub(crate) after: Option<Folded>,
}

/// Judges an append. `None` when its stream did not stand any more where it was decided.
pub(crate) async fn judge(
    ports: &StreamPorts,
    basis: Basis,
    append: DecidedAppend,
) -> Result<Option<Judgement>, AppendError> {
    let Some(book) = ports.rules.current().await.map_err(unread)? else {
        return Ok(Some(Judgement { append, faults: RuleFaults::default(), before: None, after: None }));
    };
    let (mut append, mut faults) = own_faults(&book, append).await;
    let mut judged = Judged { rules: book.revision(), last: None };
    let well_formed = faults.own.iter().all(|fault| fault.rule != RuleKind::Schema);
    let invariant = book.invariant(&append.entity_type);
    let (mut before, mut after) = (None, None);
    match invariant {
        // What it would fold is not of the shape that its author counts on.
        Some(_) if !well_formed => before = basis.folded,
        Some(invariant) => {
            let verdict = invariant::judge(ports, invariant, book.upcasts(), basis, &append).await?;
            let Some(verdict) = verdict else { return Ok(None) };
            judged.last = verdict.on;
            faults.extend(verdict.faults);
            (before, after) = (Some(verdict.before), Some(verdict.after));
        }
        None => {}
    }
    append.judged = Some(judged);
    Ok(Some(Judgement { append, faults, before, after }))
}
