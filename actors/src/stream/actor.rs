//! The actor of one entity stream: it serialises the stream's appends, decides
//! each on the state that the one before it left, and proposes it without
//! waiting for it. The outcome goes to the caller, so that the actor hears of
//! nothing that went well: an append costs one message.

use std::sync::Arc;

use futures::FutureExt;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use weir_types::{
    AppendError, Consistency, DecidedAppend, DecidedWrite, EntityId, GroupId, Planted, ReadError, Term,
    planted, ports,
};

use super::{
    lease::{Lease, Shared},
    message::{Answer, Message},
    pending::{Held, InFlight, Proposed, Reply, Sharing},
    reservation,
    state::{self, Decision, StreamState},
};
use crate::{
    admission::Admitted,
    event_ids::EventIds,
    invariant::{Basis, Memory},
    rules::{self, Judgement, Rulebooks},
};

/// The ports that stream actors and their callers use.
pub(crate) struct StreamPorts {
    pub(crate) group: GroupId,
    pub(crate) clock: Arc<dyn ports::Clock>,
    pub(crate) proposer: Arc<dyn ports::Proposer>,
    pub(crate) reader: Arc<dyn ports::EventReader>,
    pub(crate) leadership: Arc<dyn ports::LeadershipWatch>,
    pub(crate) rules: Rulebooks,
    /// States that invariants have folded.
    pub(crate) memory: Memory,
    pub(crate) ids: EventIds,
}

impl StreamPorts {
    /// Whether this node leads, as far as it knows, and does so in this term.
    pub(crate) fn leads_in(&self, term: Term) -> bool {
        let now = self.leadership.current();
        now.decides && now.term == term
    }
}

pub(crate) struct StreamActor;

pub(crate) struct Arguments {
    pub(crate) ports: Arc<StreamPorts>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) entity_id: EntityId,
    /// The term in which the actor decides; it proposes in no other.
    pub(crate) term: Term,
    /// An actor of the same stream and term that left something unsettled.
    pub(crate) predecessor: Option<ActorRef<Message>>,
}

pub(crate) struct State {
    args: Arguments,
    /// Loaded by the first append.
    stream: Option<StreamState>,
}

impl Actor for StreamActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(&self, _: ActorRef<Message>, args: Arguments) -> Result<State, ActorProcessingErr> {
        Ok(State { args, stream: None })
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Append { append, lease, answer } => state.on_append(append, lease, answer).await,
            Message::Reserve { lease, answer } => state.on_reserve(lease, answer).await,
        }
        Ok(())
    }
}

impl State {
    async fn on_append(&mut self, append: Arc<Admitted>, lease: Lease, answer: Answer) {
        if lease.is_retired() {
            return answer.send(Reply::Again);
        }
        let decision = match self.decide(&append).await {
            Ok(Decision::Append(decided)) => self.judge(decided).await,
            other => other,
        };
        match decision {
            Ok(Decision::Append(decided)) => {
                let stream = self.stream.as_mut().expect("decide has loaded it");
                stream.accept(&decided);
                let last_version = stream.version();
                let event_ids = decided.events.iter().map(|event| event.id).collect();
                let proposed =
                    Proposed::new(InFlight { event_ids, last_version, lease, answer, _append: append });
                let done = Box::new(|outcome| proposed.settle(outcome));
                self.args.ports.proposer.propose(self.args.term, DecidedWrite::Append(decided), done);
            }
            Ok(Decision::Moved) => answer.send(Reply::Again),
            Ok(Decision::Repeated(outcome)) => answer.send(Reply::Repeated(outcome)),
            Ok(Decision::RefuseNow(error)) | Err(error) => answer.send(Reply::Refused(error)),
            Ok(Decision::KeyInFlight) => {
                let settled = self.args.ports.proposer.barrier(self.args.term);
                answer.send(Reply::Sharing(Sharing { settled, _lease: lease }));
            }
            Ok(Decision::Refuse(error)) if planted(Planted::RefusalNotHeld) => {
                answer.send(Reply::Refused(error))
            }
            Ok(Decision::Refuse(error)) => answer.send(Reply::Held(self.held(error, lease))),
        }
    }

    /// Tells where the stream stands, and stands still until told what was decided.
    async fn on_reserve(&mut self, lease: Lease, answer: reservation::Answer) {
        if lease.is_retired() {
            return answer.send(Ok(None));
        }
        if let Err(error) = self.load().await {
            return answer.send(Err(error));
        }
        let stream = self.stream.as_mut().expect("loaded above");
        let (reserved, decided) = reservation::reserve(stream.standing(), lease);
        answer.send(Ok(Some(reserved)));
        // Dropped undecided, nothing has changed.
        if let Ok(decided) = decided.await {
            stream.advance(decided.base, decided.events, &decided.entity_type, decided.recorded_at);
        }
    }

    async fn load(&mut self) -> Result<(), AppendError> {
        if self.stream.is_none() {
            let loaded = load(&mut self.args).await.inspect_err(|_| self.args.shared.retire())?;
            self.stream = Some(loaded);
        }
        Ok(())
    }

    async fn decide(&mut self, append: &Admitted) -> Result<Decision, AppendError> {
        let request = &append.request;
        self.load().await?;
        let args = &self.args;
        let stream = self.stream.as_mut().expect("loaded above");
        let durable = args.shared.durable();
        stream.settle(durable);
        let remembered = match request.key() {
            Some(key) if stream.must_look_up(&key) => {
                args.ports.reader.remembered(args.ports.group, &args.entity_id, &key).await.map_err(unread)?
            }
            _ => None,
        };
        let now = args.ports.clock.now();
        let next_id = || args.ports.ids.next(now);
        Ok(state::decide(stream, durable, request, remembered.as_ref(), now, next_id))
    }

    /// Judges a decided append by the rules, and puts into it by which.
    async fn judge(&mut self, decided: DecidedAppend) -> Result<Decision, AppendError> {
        let Arguments { ports, shared, term, .. } = &self.args;
        if ports.rules.are_none() {
            return Ok(Decision::Append(decided));
        }
        let basis = Basis { term: Some(*term), durable: shared.durable(), folded: shared.folded().take() };
        let judgement = match rules::judge(ports, basis, decided).await {
            Ok(judgement) => judgement,
            Err(error @ AppendError::InvariantFailed { .. }) => return Ok(Decision::Refuse(error)),
            Err(error) => return Err(error),
        };
        let Some(Judgement { append, faults, before, after }) = judgement else {
            // It does not stand where this actor thinks.
            shared.retire();
            return Ok(Decision::Moved);
        };
        if let Some(folded) = if faults.is_empty() { after } else { before } {
            ports.memory.keep(shared.folded(), folded);
        }
        Ok(if faults.is_empty() {
            Decision::Append(append)
        } else {
            Decision::Refuse(AppendError::Invalid { faults })
        })
    }

    /// Holds a refusal until what it rests on is durable, and known to be so by
    /// the leader of today.
    fn held(&self, error: AppendError, lease: Lease) -> Held {
        let (ports, term) = (&self.args.ports, self.args.term);
        let basis = self.stream.as_ref().map(StreamState::version).unwrap_or_default();
        if lease.durable() < basis {
            let settled = ports.proposer.barrier(term);
            return Held { error, basis: Some(basis), term, settled, lease };
        }
        let (reader, group) = (Arc::clone(&ports.reader), ports.group);
        let confirmed =
            async move { reader.ready(group, Consistency::Linearizable).await.map(drop).map_err(unread) };
        Held { error, basis: None, term, settled: confirmed.boxed(), lease }
    }
}

/// Reads the head, when nothing of this stream is in flight in this term.
async fn load(args: &mut Arguments) -> Result<StreamState, AppendError> {
    if let Some(predecessor) = args.predecessor.take() {
        // Not `stop_and_wait`: that does not wait when a stop was sent before.
        predecessor.stop(None);
        predecessor.wait(None).await.expect("there is no time limit that could pass");
        args.ports.proposer.barrier(args.term).await.map_err(nothing_written)?;
    }
    let head = args.ports.reader.head(args.ports.group, &args.entity_id).await.map_err(unread)?;
    let stream = StreamState::at_head(head);
    args.shared.note_durable(stream.version());
    Ok(stream)
}

/// A read that failed, as the answer to an append for which nothing was written.
pub(crate) fn unread(error: ReadError) -> AppendError {
    match error {
        ReadError::Unavailable { reason } => AppendError::Unavailable { reason },
        ReadError::Stale { .. } | ReadError::TooWide { .. } | ReadError::Upcast { .. } => {
            AppendError::Unavailable { reason: error.to_string() }
        }
        ReadError::Damaged { detail } => AppendError::Storage { reason: detail },
        ReadError::Storage { reason } => AppendError::Storage { reason },
    }
}

/// A barrier that failed, as the answer to an append for which nothing was
/// written: that others' fate is unknown is not its business.
pub(crate) fn nothing_written(error: AppendError) -> AppendError {
    match error {
        AppendError::OutcomeUnknown { reason } => AppendError::Unavailable { reason },
        other => other,
    }
}
