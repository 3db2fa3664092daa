//! What the rules say to a transaction.

use std::sync::Arc;

use weir_types::{
    AppendError, Consistency, DecidedTransaction, EventId, RuleFaults, Term, TransactionRequest,
};

use super::{Settled, decide};
use crate::{
    invariant::Basis,
    router::Router,
    rules,
    stream::{
        actor::{nothing_written, unread},
        reservation::Reserved,
        state::{Standing, StreamState},
    },
};

/// What the rules say to a transaction.
pub(super) enum Verdict {
    /// Propose this.
    Sound(DecidedTransaction),
    /// A stream does not stand any more where it was reserved.
    Moved,
    /// Refuse it.
    Refused(AppendError),
}

impl Router {
    /// Judges the appends of a decided transaction on the streams that are reserved for it.
    pub(super) async fn judge_transaction(
        &self,
        mut decided: DecidedTransaction,
        term: Term,
        reserved: &[Reserved],
    ) -> Result<Verdict, AppendError> {
        if self.streams.rules.are_none() {
            return Ok(Verdict::Sound(decided));
        }
        let (mut faults, mut judged, mut states) = (RuleFaults::default(), Vec::new(), Vec::new());
        for (append, stream) in std::mem::take(&mut decided.appends).into_iter().zip(reserved) {
            let shared = stream.shared();
            // Taken out: whatever ends this early leaves no state that is not the stream's.
            let basis = Basis { term: Some(term), durable: shared.durable(), folded: shared.folded().take() };
            let judgement = match rules::judge(&self.streams, basis, append).await {
                Ok(Some(judgement)) => judgement,
                Ok(None) => return Ok(Verdict::Moved),
                Err(error @ AppendError::InvariantFailed { .. }) => return Ok(Verdict::Refused(error)),
                Err(error) => return Err(error),
            };
            faults.extend(judgement.faults.own.into_iter().chain(judgement.faults.state));
            judged.push(judgement.append);
            states.push((Arc::clone(shared.folded()), judgement.before, judgement.after));
        }
        for (slot, before, after) in states {
            if let Some(folded) = if faults.is_empty() { after } else { before } {
                self.streams.memory.keep(&slot, folded);
            }
        }
        if !faults.is_empty() {
            return Ok(Verdict::Refused(AppendError::Invalid { faults }));
        }
        decided.appends = judged;
        Ok(Verdict::Sound(decided))
    }

    /// Refuses by what the rules say, once what that rests on is durable and known to be so by the
    /// leader of today; `None` when it must be judged once more.
    pub(super) async fn refuse_judged(
        &self,
        request: &TransactionRequest,
        term: Term,
        error: AppendError,
    ) -> Settled {
        self.streams.proposer.barrier(term).await.map_err(nothing_written)?;
        let confirmed = self.streams.reader.ready(self.config.group, Consistency::Linearizable).await;
        confirmed.map_err(unread)?;
        // Looked up later than it was judged: the same may have been in flight, which is no new transaction.
        if let Some(first) = self.remembered_transaction(request).await? {
            return self.repeat_transaction(request, first).await.map(Some);
        }
        if self.streams.leads_in(term) { Err(error) } else { Ok(None) }
    }

    /// Judges a transaction that nobody decides, as of what is applied on this node.
    pub(crate) async fn validate(&self, request: &TransactionRequest) -> Result<(), AppendError> {
        let mut standings = Vec::with_capacity(request.appends.len());
        for append in &request.appends {
            let head = self.streams.reader.head(self.config.group, &append.entity_id).await;
            standings.push(StreamState::at_head(head.map_err(unread)?).standing());
        }
        let nobodys = || EventId(uuid::Uuid::nil());
        let standings: Vec<&Standing> = standings.iter().collect();
        let decided = decide::decide_on(request, &standings, self.streams.clock.now(), nobodys);
        let mut faults = RuleFaults::default();
        for append in decided.appends {
            let basis = Basis { term: None, durable: append.base, folded: None };
            // Streams only grow, so what stood there is still there.
            let Some(judgement) = rules::judge(&self.streams, basis, append).await? else { continue };
            faults.extend(judgement.faults.own.into_iter().chain(judgement.faults.state));
        }
        if faults.is_empty() { Ok(()) } else { Err(AppendError::Invalid { faults }) }
    }
}
