//! Where a node answers clients: in the place of its HTTP edge, one length and
//! one JSON value each way, straight to the engine.

mod claim;
mod code;
mod draft;
mod follow;
mod group;
mod kv;
mod message;
mod search;
mod snapshot;
mod tables;
mod transaction;
mod work;

use std::{io, sync::Arc, time::Duration};

use serde_json::Value;
use turmoil::net::{TcpListener, TcpStream};
use weir_api::{ApiError, v1::MemberBody};
use weir_check::{
    history::{
        Call, Delivered, Expected, MembershipOp, Outcome, ReadConsistency, ReadDirection, Seen, SeenEvent,
    },
    state::StoredEvent,
};
use weir_node::engine::Engine;
use weir_types::{
    AppendError, Consistency, Direction, EntityId, GroupId, LogFilter, LogRead, LogSlice, Position,
    ReadError, RecordedEvent, StreamRead, StreamVersion,
};

use self::draft::Draft;
pub use self::{
    claim::{Claim, Granted},
    message::{
        Answer, Ask, Following, GroupTold, Held, News, Rests, StateAsked, StateKept, StateTold, Target,
        Together, Told, Verdicts, Way, put, take,
    },
    search::{By, FoundEvents, Search},
    tables::TablesTold,
    work::LEASE_MS,
};
use crate::{
    network::{EDGE_PORT, PEER_PORT, host},
    plant::Plant,
    report::report,
};

/// A node's desk.
#[derive(Clone)]
pub struct Desk {
    /// What answers.
    pub engine: Arc<Engine>,
    /// How often the node was started.
    pub life: u64,
    /// What is wrong with it.
    pub plant: Option<Plant>,
}

impl Desk {
    /// Answers until the node ends.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn serve(self) -> io::Result<()> {
        let listener = TcpListener::bind(("0.0.0.0", EDGE_PORT)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            let desk = self.clone();
            tokio::spawn(async move {
                // The client is gone.
                let _ = desk.attend(stream).await;
            });
        }
    }

    async fn attend(self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            match take(&mut stream).await? {
                Ask::Follow(asked) => self.follow(&mut stream, &asked).await?,
                ask => put(&mut stream, &self.serve_one(ask).await).await?,
            }
        }
    }

    async fn serve_one(&self, ask: Ask) -> Answer {
        let answered = match ask {
            Ask::Call(call) => Ok(Answer::Outcome(self.answer(call).await)),
            Ask::Transact(asked) => Ok(Answer::Outcomes(self.transact(asked).await)),
            Ask::Stored(from) => self.stored(from).await.map(Answer::Stored),
            Ask::Prepare(generation) => self.prepare(generation).await.map(|()| Answer::Done),
            Ask::Validate(call) => Ok(Answer::Outcome(self.validate(call).await)),
            Ask::Search(asked) => self.search(asked).await.map(Answer::Found),
            Ask::Claim(asked) => self.grant(asked).await.map(Answer::Granted),
            Ask::Release(key, revision) => self.release(&key, revision).await.map(|()| Answer::Done),
            Ask::State(asked) => self.state(&asked).await.map(Answer::State),
            Ask::Keep(kept) => self.keep(kept).await.map(|()| Answer::Done),
            Ask::Mend(partition) => self.mend(partition).await.map(|()| Answer::Done),
            Ask::Tables(min_position) => self.tables(min_position).await.map(Answer::Tables),
            Ask::Follow(_) => Err(ApiError::invalid("a subscriber is told more than one thing")),
            Ask::Pull(most) => self.pull(most).await.map(Answer::Pulled),
            Ask::Settle(verdicts) => self.settle(verdicts).await.map(Answer::Settled),
            Ask::Group => self.group().await.map(Answer::Group),
            Ask::HandOut(worker) => self.hand_out(worker).await.map(Answer::HandedOut),
            Ask::Save(asked) => self.take_save(&asked).await.map(|()| Answer::Done),
            Ask::Worked(partition) => self.worked(&partition).await.map(Answer::State),
        };
        answered.unwrap_or_else(|error| Answer::Failed(error.to_string()))
    }

    async fn stored(&self, from: u64) -> Result<Vec<StoredEvent>, ApiError> {
        Ok(self.page(from, 500).await?.events.iter().map(stored).collect())
    }

    async fn page(&self, from: u64, limit: usize) -> Result<LogSlice, ReadError> {
        let read = LogRead {
            group: GroupId::DEFAULT,
            from: Some(Position(from)),
            direction: Direction::Forward,
            limit,
            filter: LogFilter::default(),
        };
        self.engine.log(read, Consistency::Local).await
    }

    async fn answer(&self, call: Call) -> Outcome {
        let done = match call {
            Call::Append { stream, expected, key, marks, .. } => {
                return self.append(Draft { stream, expected, key, marks }).await;
            }
            Call::Kv { bucket, key, op, .. } => return self.key(&bucket, &key, op).await,
            Call::ReadStream { stream, from, direction, limit, consistency, .. } => {
                self.read(&stream, (from, direction, limit), self.fresh(consistency)).await
            }
            Call::StreamInfo { stream, consistency, .. } => self.head(&stream, self.fresh(consistency)).await,
            Call::ReadLog { from, limit, .. } => self.log(from, limit).await,
            Call::View { projection, partition, min_position, .. } => {
                self.view(&projection, &partition, min_position).await
            }
            Call::NodeState { .. } => Ok(Seen::Node(report(&self.engine, self.life).await)),
            Call::Membership { change, member, .. } => self.change(change, member).await,
            _ => Err(ApiError::invalid("nobody answers that here")),
        };
        match done {
            Ok(seen) => Outcome::Ok { seen },
            Err(error) => failed(&error),
        }
    }

    fn fresh(&self, wanted: ReadConsistency) -> Consistency {
        match (wanted, self.plant) {
            (ReadConsistency::Linearizable, Some(Plant::StaleRead))
            | (ReadConsistency::AtLeast(_), Some(Plant::PositionIgnored))
            | (ReadConsistency::Local, _) => Consistency::Local,
            (ReadConsistency::Linearizable, _) => Consistency::Linearizable,
            (ReadConsistency::AtLeast(position), _) => Consistency::AtLeast(Position(position)),
        }
    }

    async fn append(&self, mut draft: Draft) -> Outcome {
        match self.plant {
            Some(Plant::KeyForgotten) => draft.key = None,
            Some(Plant::GuardForgotten) => draft.expected = Expected::Any,
            Some(Plant::EventDropped) if draft.marks.len() > 2 => drop(draft.marks.pop()),
            _ => {}
        }
        let Some(request) = draft.request() else { return failed(&ApiError::invalid("a name is not legal")) };
        let result = self.engine.append(request.clone()).await;
        let unknown =
            matches!(result, Err(AppendError::OutcomeUnknown { .. } | AppendError::NotLeader { .. }));
        let result = match self.plant {
            Some(Plant::UnknownRepeated) if unknown => self.engine.append(request).await,
            _ => result,
        };
        match (result, self.plant) {
            (Ok(ack), _) => Outcome::Ok { seen: transaction::seen(&ack) },
            (Err(AppendError::OutcomeUnknown { .. }), Some(Plant::UnknownRefused)) => {
                Outcome::Refused { code: "unavailable".to_owned(), actual: None }
            }
            (Err(AppendError::OutcomeUnknown { .. }), Some(Plant::UnknownAcked)) => self.claim(&draft).await,
            (Err(AppendError::Unavailable { .. }), Some(Plant::AckedEarly)) => self.claim(&draft).await,
            (Err(error), _) => failed(&error.into()),
        }
    }

    /// What an append would be told, which is not made.
    async fn validate(&self, call: Call) -> Outcome {
        let Call::Append { stream, expected, marks, .. } = call else {
            return failed(&ApiError::invalid("only appends are validated"));
        };
        let draft = Draft { stream, expected, key: None, marks };
        if self.plant == Some(Plant::ValidationWrites) {
            return self.append(draft).await;
        }
        let Some(request) = draft.request() else { return failed(&ApiError::invalid("a name is not legal")) };
        match self.engine.validate_append(request).await {
            Ok(Ok(_)) => Outcome::Ok { seen: Seen::Done },
            Ok(Err(refused)) => failed(&refused.into()),
            Err(error) => failed(&error.into()),
        }
    }

    /// Says that an append is where it should be by what is there now.
    async fn claim(&self, draft: &Draft) -> Outcome {
        let head = match EntityId::new(&draft.stream) {
            Ok(entity) => self.engine.head(&entity, Consistency::Local).await.ok().flatten(),
            Err(_) => None,
        };
        let (version, position) = head.map_or((0, 0), |head| (head.version.0, head.last_position.0));
        let last_version = version + draft.marks.len() as u64;
        let (first_version, first_position) = (version + 1, position + 1);
        let seen = Seen::Appended { first_version, last_version, first_position, repeated: false };
        Outcome::Ok { seen }
    }

    async fn read(
        &self,
        stream: &str,
        (from, direction, limit): (Option<u64>, ReadDirection, u64),
        consistency: Consistency,
    ) -> Result<Seen, ApiError> {
        let read = StreamRead {
            group: GroupId::DEFAULT,
            entity_id: EntityId::new(stream)?,
            from: from.map(StreamVersion),
            direction: match direction {
                ReadDirection::Forward => Direction::Forward,
                ReadDirection::Backward => Direction::Backward,
            },
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        };
        let page = self.engine.read(read, consistency, Duration::ZERO).await?;
        let mut events: Vec<SeenEvent> = page.events.iter().map(seen).collect();
        if self.plant == Some(Plant::PageWithHole) && events.len() > 4 {
            events.remove(2);
        }
        Ok(Seen::Events {
            events,
            head: Some(page.head.map_or(0, |head| head.version.0)),
            next: page.next.map(|next| next.0),
            applied: Some(page.applied.0),
        })
    }

    async fn head(&self, stream: &str, consistency: Consistency) -> Result<Seen, ApiError> {
        let head = self.engine.head(&EntityId::new(stream)?, consistency).await?;
        Ok(match head {
            None => Seen::Head { version: 0, last_position: None, applied: None },
            Some(head) => Seen::Head {
                version: head.version.0,
                last_position: Some(head.last_position.0),
                applied: None,
            },
        })
    }

    async fn log(&self, from: u64, limit: u64) -> Result<Seen, ApiError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let LogSlice { events, applied, .. } = self.page(from, limit).await?;
        let events = events.iter().map(delivered).collect();
        Ok(Seen::Log { events, applied: Some(applied.0) })
    }

    async fn change(&self, change: MembershipOp, member: u64) -> Result<Seen, ApiError> {
        let body = |voter| MemberBody {
            node_id: member,
            peer_address: format!("{}:{PEER_PORT}", host(member)),
            url: format!("http://{}:{EDGE_PORT}", host(member)),
            voter,
        };
        match change {
            MembershipOp::AddLearner => self.engine.add_member(body(false)).await?,
            MembershipOp::Promote => self.engine.add_member(body(true)).await?,
            MembershipOp::Remove => self.engine.remove_member(member).await?,
            MembershipOp::TransferLeader => self.engine.transfer(member).await?,
            MembershipOp::Demote => return Err(ApiError::invalid("there is no demotion")),
        }
        Ok(Seen::Done)
    }
}

fn failed(error: &ApiError) -> Outcome {
    let code = error.code.as_str().to_owned();
    match error.code.outcome_unknown() {
        true => Outcome::Unknown { reason: code },
        false => {
            let actual = error.details.get("actualVersion").and_then(Value::as_u64);
            Outcome::Refused { code, actual }
        }
    }
}

fn mark(event: &RecordedEvent) -> String {
    let data: Option<Value> = serde_json::from_slice(&event.data).ok();
    data.and_then(|data| Some(data.get("op")?.as_str()?.to_owned())).unwrap_or_default()
}

fn seen(event: &RecordedEvent) -> SeenEvent {
    SeenEvent { version: event.version.0, position: event.position.0, mark: mark(event) }
}

fn delivered(event: &RecordedEvent) -> Delivered {
    let (position, version) = (event.position.0, event.version.0);
    Delivered { position, stream: event.entity_id.to_string(), version, mark: mark(event) }
}

fn stored(event: &RecordedEvent) -> StoredEvent {
    StoredEvent {
        position: event.position.0,
        stream: event.entity_id.to_string(),
        version: event.version.0,
        mark: mark(event),
        name: event.name.to_string(),
        id: event.id.to_string(),
        recorded_us: event.recorded_at.0,
        ..StoredEvent::default()
    }
}
