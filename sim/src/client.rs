//! A client: every call goes to one node, once, has a time-out, and is written
//! down with what came of it.

use std::{collections::BTreeMap, io, time::Duration};

use tokio::time::timeout;
use turmoil::net::TcpStream;
use weir_api::{
    connect::{PollProjectionResponse, SaveProjectionRequest},
    v1::SettlementBody,
};
use weir_check::{
    groups::Fact,
    history::{Call, Outcome, Pending, Recorder},
    leases,
    state::StoredEvent,
};

use crate::{
    desk::{
        Answer, Ask, Claim, Following, FoundEvents, Granted, GroupTold, Held, Search, StateAsked, StateKept,
        StateTold, TablesTold, Together, Verdicts, put, take,
    },
    network::{EDGE_PORT, host},
    notes::Notes,
    trace::Trace,
};

/// How long a node may take to accept a connection.
const CONNECT_WAIT: Duration = Duration::from_millis(500);
/// What the clients of a transaction's parts are apart from their own by, in the history.
const PARTS: u64 = 1_000;

/// A client with its connections.
pub struct Client {
    number: u64,
    recorder: Recorder,
    trace: Trace,
    patience: Duration,
    open: BTreeMap<u64, TcpStream>,
}

/// How far an exchange came that failed.
enum Lost {
    /// Nothing was sent.
    Unsent,
    /// It was sent, and nobody answered.
    Unanswered,
}

impl Client {
    /// A client that waits so long for an answer.
    #[must_use]
    pub fn new(number: u64, recorder: Recorder, trace: Trace, patience: Duration) -> Self {
        Self { number, recorder, trace, patience, open: BTreeMap::new() }
    }

    /// Makes a call at a node, and writes down what came of it.
    pub async fn call(&mut self, node: u64, call: Call) -> Outcome {
        let pending = self.recorder.invoke(self.number, call.clone());
        let (number, id) = (self.number, pending.id());
        let outcome = match self.exchange(node, &Ask::Call(call)).await {
            Ok(Answer::Outcome(outcome)) => outcome,
            Ok(_) => Outcome::Unknown { reason: "odd answer".to_owned() },
            Err(Lost::Unsent) => Outcome::Refused { code: "no_connection".to_owned(), actual: None },
            Err(Lost::Unanswered) => Outcome::Unknown { reason: "no answer".to_owned() },
        };
        self.trace.note(format_args!("client {number} {id} at {node}: {outcome:?}"));
        pending.end(outcome.clone());
        outcome
    }

    /// Sends the parts of a transaction, and writes down what came of each. The history has them of clients of
    /// their own, whose calls are one after another.
    pub async fn transact(&mut self, node: u64, asked: Together) -> Vec<Outcome> {
        let (number, count) = (self.number, asked.parts.len());
        let clients = (0..).map(|part| number + PARTS * (part + 1));
        let pending =
            clients.zip(&asked.parts).map(|(client, part)| self.recorder.invoke(client, part.clone()));
        let pending: Vec<_> = pending.collect();
        let all = |outcome: Outcome| vec![outcome; count];
        let outcomes = match self.exchange(node, &Ask::Transact(asked)).await {
            Ok(Answer::Outcomes(outcomes)) if outcomes.len() == count => outcomes,
            Ok(_) => all(Outcome::Unknown { reason: "odd answer".to_owned() }),
            Err(Lost::Unsent) => all(Outcome::Refused { code: "no_connection".to_owned(), actual: None }),
            Err(Lost::Unanswered) => all(Outcome::Unknown { reason: "no answer".to_owned() }),
        };
        self.trace.note(format_args!("client {number} transaction at {node}: {outcomes:?}"));
        pending.into_iter().zip(&outcomes).for_each(|(pending, outcome)| pending.end(outcome.clone()));
        outcomes
    }

    /// All events that a node holds; `None` when it does not answer.
    pub async fn stored(&mut self, node: u64) -> Option<Vec<StoredEvent>> {
        let mut all: Vec<StoredEvent> = Vec::new();
        loop {
            let next = all.last().map_or(1, |event| event.position + 1);
            match self.exchange(node, &Ask::Stored(next)).await {
                Ok(Answer::Stored(events)) if events.is_empty() => return Some(all),
                Ok(Answer::Stored(events)) => all.extend(events),
                Ok(_) | Err(_) => return None,
            }
        }
    }

    /// Hands in all code, of this generation; whether that is known to be done.
    pub async fn prepare(&mut self, node: u64, generation: u64) -> bool {
        let answer = self.exchange(node, &Ask::Prepare(generation)).await.ok();
        self.trace.note(format_args!("client {} prepares {generation} at {node}: {answer:?}", self.number));
        matches!(answer, Some(Answer::Done))
    }

    /// The state of a stream; `None` when the node tells none.
    pub async fn state(&mut self, node: u64, asked: &StateAsked) -> Option<StateTold> {
        let answer = self.exchange(node, &Ask::State(asked.clone())).await.ok();
        self.trace.note(format_args!("client {} {asked:?} at {node}: {answer:?}", self.number));
        match answer {
            Some(Answer::State(told)) => Some(told),
            _ => None,
        }
    }

    /// What tables hold, as of a position at least; `None` when the node tells it not.
    pub async fn tables(&mut self, node: u64, min_position: u64) -> Option<TablesTold> {
        let answer = self.exchange(node, &Ask::Tables(min_position)).await.ok();
        self.trace.note(format_args!("client {} tables at {node}: {answer:?}", self.number));
        match answer {
            Some(Answer::Tables(told)) => Some(told),
            _ => None,
        }
    }

    /// What an append would be told.
    pub async fn validate(&mut self, node: u64, call: Call) -> Outcome {
        let outcome = match self.exchange(node, &Ask::Validate(call)).await {
            Ok(Answer::Outcome(outcome)) => outcome,
            Ok(_) | Err(_) => Outcome::Unknown { reason: "no answer".to_owned() },
        };
        self.trace.note(format_args!("client {} validates at {node}: {outcome:?}", self.number));
        outcome
    }

    /// A page of the log; `None` when the node tells none.
    pub async fn search(&mut self, node: u64, asked: &Search) -> Option<FoundEvents> {
        let answer = self.exchange(node, &Ask::Search(asked.clone())).await.ok();
        self.trace.note(format_args!("client {} {asked:?} at {node}: {answer:?}", self.number));
        match answer {
            Some(Answer::Found(found)) => Some(found),
            _ => None,
        }
    }

    /// Claims something; `None` when it is not known to be granted.
    pub async fn claim(&mut self, node: u64, asked: &Claim) -> Option<Granted> {
        let answer = self.exchange(node, &Ask::Claim(asked.clone())).await.ok();
        self.trace.note(format_args!("client {} {asked:?} at {node}: {answer:?}", self.number));
        match answer {
            Some(Answer::Granted(granted)) => Some(granted),
            _ => None,
        }
    }

    /// Gives something up, perhaps.
    pub async fn release(&mut self, node: u64, key: String, revision: u64) {
        let done = matches!(self.exchange(node, &Ask::Release(key, revision)).await, Ok(Answer::Done));
        self.trace.note(format_args!("client {} releases {revision} at {node}: {done}", self.number));
    }

    /// Keeps a state as a snapshot; whether that is known to be done.
    pub async fn keep(&mut self, node: u64, kept: StateKept) -> bool {
        let told = format!("{kept:?}");
        let done = matches!(self.exchange(node, &Ask::Keep(kept)).await, Ok(Answer::Done));
        self.trace.note(format_args!("client {} keeps {told} at {node}: {done}", self.number));
        done
    }

    /// Has a partition folded anew; whether that is known to be told.
    pub async fn mend(&mut self, node: u64, partition: String) -> bool {
        let done = matches!(self.exchange(node, &Ask::Mend(partition)).await, Ok(Answer::Done));
        self.trace.note(format_args!("client {} mends at {node}: {done}", self.number));
        done
    }

    /// Follows events, on a connection of its own; `None` when there is none.
    pub async fn follow(&self, node: u64, asked: &Following) -> Option<TcpStream> {
        let connected = timeout(CONNECT_WAIT, TcpStream::connect((host(node), EDGE_PORT))).await;
        let mut stream = connected.ok()?.ok()?;
        put(&mut stream, &Ask::Follow(asked.clone())).await.ok()?;
        Some(stream)
    }

    /// Begins a call that this client makes by itself.
    pub fn begin(&self, call: Call) -> Pending {
        self.recorder.invoke(self.number, call)
    }

    /// Takes something down.
    pub fn note(&self, what: std::fmt::Arguments<'_>) {
        self.trace.note(format_args!("client {} {what}", self.number));
    }

    /// Events for a consumer, from whichever node hands them out; what it is given goes to the notes.
    pub async fn pull(&mut self, nodes: &[u64], notes: &Notes) -> Vec<Held> {
        let most = 4;
        for node in nodes {
            let began = self.trace.now_us();
            let Ok(Answer::Pulled(all)) = self.exchange(*node, &Ask::Pull(most)).await else { continue };
            let ended = self.trace.now_us();
            self.trace.note(format_args!("client {} pulled at {node}: {all:?}", self.number));
            let given = |held: &Held| {
                let Held { position, attempt, .. } = *held;
                Fact::Given { position, stream: held.stream.clone(), attempt, began, ended }
            };
            notes.open().facts.extend(all.iter().map(given));
            return all;
        }
        Vec::new()
    }

    /// Says what became of events, at whichever node takes it.
    pub async fn settle(&mut self, nodes: &[u64], verdicts: Verdicts, notes: &Notes) {
        for node in nodes {
            let began = self.trace.now_us();
            let answer = self.exchange(*node, &Ask::Settle(verdicts.clone())).await.ok();
            let ended = self.trace.now_us();
            let done = match answer {
                Some(Answer::Settled(done)) => Some(done),
                _ => None,
            };
            self.trace.note(format_args!("client {} settled at {node} {verdicts:?}: {done:?}", self.number));
            let is_done = |at: usize| done.as_ref().is_some_and(|done| done.get(at) == Some(&true));
            let said = |(at, one): (usize, &SettlementBody)| Fact::Said {
                position: one.position,
                began,
                ended: is_done(at).then_some(ended),
            };
            let said: Vec<Fact> = verdicts.iter().enumerate().map(said).collect();
            notes.open().facts.extend(said);
            if done.is_some() {
                return;
            }
        }
    }

    /// Events for a worker, from whichever node hands them out; `None` when there are none.
    pub async fn hand_out(
        &mut self,
        nodes: &[u64],
        worker: String,
        notes: &Notes,
    ) -> Option<PollProjectionResponse> {
        for node in nodes {
            let Ok(Answer::HandedOut(polled)) = self.exchange(*node, &Ask::HandOut(worker.clone())).await
            else {
                continue;
            };
            let (number, ended) = (polled.lease_number, self.trace.now_us());
            self.trace.note(format_args!("client {} was handed out at {node}: {polled:?}", self.number));
            if polled.events.is_empty() {
                return None;
            }
            notes.open().leases.push(leases::Fact::Given { number, ended });
            return Some(polled);
        }
        None
    }

    /// Saves what a worker made of events, at whichever node takes it.
    pub async fn save(&mut self, nodes: &[u64], asked: SaveProjectionRequest, notes: &Notes) {
        for node in nodes {
            let began = self.trace.now_us();
            let answer = self.exchange(*node, &Ask::Save(asked.clone())).await.ok();
            self.trace.note(format_args!("client {} saved at {node} {asked:?}: {answer:?}", self.number));
            if matches!(answer, Some(Answer::Done)) {
                let number = asked.lease_number.unwrap_or(0);
                notes.open().leases.push(leases::Fact::Saved { number, began });
                return;
            }
        }
    }

    /// What workers saved of a partition, as a node knows.
    pub async fn worked(&mut self, node: u64, partition: String) -> Option<StateTold> {
        match self.exchange(node, &Ask::Worked(partition)).await {
            Ok(Answer::State(told)) => Some(told),
            Ok(_) | Err(_) => None,
        }
    }

    /// How far consumers are, by whichever node knows.
    pub async fn group(&mut self, nodes: &[u64]) -> Option<GroupTold> {
        for node in nodes {
            if let Ok(Answer::Group(told)) = self.exchange(*node, &Ask::Group).await {
                return Some(told);
            }
        }
        None
    }

    async fn exchange(&mut self, node: u64, ask: &Ask) -> Result<Answer, Lost> {
        let mut stream = match self.open.remove(&node) {
            Some(stream) => stream,
            None => match timeout(CONNECT_WAIT, TcpStream::connect((host(node), EDGE_PORT))).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(_)) | Err(_) => return Err(Lost::Unsent),
            },
        };
        let answered = timeout(self.patience, async {
            put(&mut stream, ask).await?;
            take::<Answer>(&mut stream).await
        });
        match answered.await {
            Ok(Ok(answer)) => {
                self.open.insert(node, stream);
                Ok(answer)
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Err(Lost::Unsent),
            Ok(Err(_)) | Err(_) => Err(Lost::Unanswered),
        }
    }
}
