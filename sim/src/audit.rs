//! After all is healed: every node takes an append, all hold the same, all fold it, and
//! subscribers and consumers come to its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::time::sleep;
use weir_api::v1::{SettlementBody, VerdictKind};
use weir_check::{
    FinalState,
    effects::{Heard, Reply},
    history::{Call, Expected},
    state::NodeEnd,
};

use crate::{
    bus::Stream,
    client::Client,
    desk::GroupTold,
    folds::{COUNTS, amount, counted},
    machine::Machine,
    notes::Notes,
    workload::worker::saved,
};

/// Tries of whatever must work now.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(300);
/// How long history may take.
const HISTORY: Duration = Duration::from_secs(3);
/// Looks at a group that is to come to its end, and between two of them.
const CONSUME_TRIES: usize = 400;
const LOOK: Duration = Duration::from_millis(20);
/// Looks at what was sent or published: a webhook may wait ten seconds for an answer, pauses grow to as much, and
/// so long an idle outbox does not look at what the bus holds.
const SEND_TRIES: usize = 1_200;

/// What the audit found.
#[derive(Default)]
pub struct Found {
    /// What every node holds.
    pub end: FinalState,
    /// The dead letters of the group.
    pub dead: Vec<u64>,
    /// What must not be.
    pub wrong: Vec<String>,
}

/// The auditor.
pub struct Audit {
    /// How it calls.
    pub client: Client,
    /// Whom; it begins when there are any.
    pub members: Arc<Mutex<Vec<Arc<Machine>>>>,
    /// Set when there is something that folds.
    pub prepared: Arc<AtomicBool>,
    /// What clients noted.
    pub notes: Notes,
    /// The bus, if there is one.
    pub stream: Option<Stream>,
    /// Where it puts what it finds.
    pub found: Arc<Mutex<Found>>,
}

impl Audit {
    /// Waits for its time, and audits.
    ///
    /// # Errors
    /// Never.
    pub async fn run(mut self) -> turmoil::Result {
        let machines = loop {
            let members = self.members.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if !members.is_empty() {
                break members;
            }
            sleep(Duration::from_millis(5)).await;
        };
        let nodes: Vec<u64> = machines.iter().map(|machine| machine.node).collect();
        let mut wrong = Vec::new();
        for node in &nodes {
            if !self.appends(*node).await {
                wrong.push(format!("node {node} takes no append after all is healed"));
            }
        }
        let end = self.equal(&machines, &mut wrong).await;
        self.listen(&nodes, &mut wrong).await;
        let mut dead = Vec::new();
        if self.prepared.load(Relaxed) {
            self.fold(&nodes, &end, &mut wrong).await;
            dead = self.consume(&nodes, &end, &mut wrong).await;
            self.work(&nodes, &end, &mut wrong).await;
            self.look_up(&nodes, &end, &mut wrong).await;
            self.send(&end, &mut wrong).await;
        }
        self.publish(&end, &mut wrong).await;
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Found { end, dead, wrong };
        Ok(())
    }

    async fn appends(&mut self, node: u64) -> bool {
        for again in 0..TRIES {
            let call = Call::Append {
                stream: "audit".to_owned(),
                expected: Expected::Any,
                key: None,
                marks: vec![format!("audit-{node}-{again}")],
                node,
            };
            if self.client.call(node, call).await.is_ok() {
                return true;
            }
            sleep(PAUSE).await;
        }
        false
    }

    /// Reads all nodes until they hold equally many events.
    async fn equal(&mut self, machines: &[Arc<Machine>], wrong: &mut Vec<String>) -> FinalState {
        let mut end = FinalState::default();
        for _ in 0..TRIES {
            sleep(PAUSE).await;
            end.nodes.clear();
            for machine in machines {
                let Some(events) = self.client.stored(machine.node).await else { continue };
                let report = machine.report().unwrap_or_default();
                end.nodes.push(NodeEnd { node: machine.node, report, events });
            }
            let longest = end.longest().len();
            if end.nodes.len() == machines.len() && end.nodes.iter().all(|node| node.events.len() == longest)
            {
                return end;
            }
        }
        let held: Vec<_> = end.nodes.iter().map(|node| (node.node, node.events.len())).collect();
        wrong.push(format!("nodes do not come to hold the same: {held:?}"));
        end
    }

    /// Lets every subscriber hear the rest; that it is all, the history's checkers judge.
    async fn listen(&mut self, nodes: &[u64], wrong: &mut Vec<String>) {
        let places = self.notes.open().places.clone();
        for (at, mut place) in places.into_iter().enumerate() {
            let mut ended = false;
            for again in 0..TRIES {
                let node = nodes[(at + again) % nodes.len()];
                ended = ended || place.stretch(&self.client, node, HISTORY, true).await;
            }
            if !ended {
                wrong.push(format!("subscriber {} does not come to its end", place.name()));
            }
        }
    }

    /// Reads what every node makes of every stream; what it is, the history's checkers judge.
    async fn fold(&mut self, nodes: &[u64], end: &FinalState, wrong: &mut Vec<String>) {
        let min_position = end.longest().last().map(|event| event.position);
        let streams: BTreeSet<&str> = end.longest().iter().map(|event| event.stream.as_str()).collect();
        for (node, projection) in nodes.iter().flat_map(|node| COUNTS.map(|name| (*node, name))) {
            for stream in &streams {
                let (projection, partition) = (projection.to_owned(), (*stream).to_owned());
                let call = Call::View { projection, partition, min_position, node };
                if !self.until_ok(node, &call).await {
                    wrong.push(format!("node {node} does not fold after all is healed: {call:?}"));
                    return;
                }
            }
        }
    }

    /// Settles all that is left of the group's events; its dead letters.
    async fn consume(&mut self, nodes: &[u64], end: &FinalState, wrong: &mut Vec<String>) -> Vec<u64> {
        let of_accounts = end.longest().iter().rfind(|event| amount(&event.mark).is_some());
        let last = of_accounts.map_or(0, |event| event.position);
        let notes = self.notes.clone();
        let mut told = None;
        for _ in 0..CONSUME_TRIES {
            for held in self.client.pull(nodes, &notes).await {
                let (attempt, desk, verdict) = (Some(held.attempt), Some(held.desk), VerdictKind::Ack);
                let ack = SettlementBody { position: held.position, attempt, desk, verdict, delay_ms: None };
                self.client.settle(nodes, vec![ack], &notes).await;
            }
            told = self.client.group(nodes).await.or(told);
            if let Some(GroupTold { checkpoint, open: 0, dead }) = &told
                && *checkpoint >= last
            {
                return dead.clone();
            }
            sleep(LOOK).await;
        }
        wrong.push(format!("the group does not come to {last}: {told:?}"));
        told.map(|told| told.dead).unwrap_or_default()
    }

    /// Folds what workers left, and holds every node's states against the log.
    async fn work(&mut self, nodes: &[u64], end: &FinalState, wrong: &mut Vec<String>) {
        let mut due: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for event in end.longest().iter().filter(|event| amount(&event.mark).is_some()) {
            due.entry(event.stream.as_str()).or_default().push(event.position);
        }
        let last = due.values().filter_map(|positions| positions.last()).max().copied().unwrap_or(0);
        let due: BTreeMap<&str, Value> =
            due.into_iter().map(|(stream, positions)| (stream, counted(None, positions))).collect();
        let (name, notes) = ("auditor", self.notes.clone());
        let mut unfolded = String::new();
        for _ in 0..CONSUME_TRIES {
            match self.client.hand_out(nodes, name.to_owned(), &notes).await {
                Some(polled) => {
                    let Some(save) = saved(&polled, polled.events.len(), name) else { continue };
                    self.client.save(nodes, save, &notes).await;
                }
                None => match self.unfolded(nodes, &due, last).await {
                    None => return,
                    Some(why) => unfolded = why,
                },
            }
            sleep(LOOK).await;
        }
        wrong.push(format!("workers do not come to {last}: {unfolded}"));
    }

    /// What a node tells of workers that is not the fold of all events.
    async fn unfolded(&mut self, nodes: &[u64], due: &BTreeMap<&str, Value>, last: u64) -> Option<String> {
        for (node, (stream, due)) in nodes.iter().flat_map(|node| due.iter().map(move |one| (*node, one))) {
            let told = self.client.worked(node, (*stream).to_owned()).await;
            if told.as_ref().is_none_or(|told| told.version < last || told.value != *due) {
                return Some(format!("node {node} tells {told:?} of {stream}, and it is {due}"));
            }
        }
        None
    }

    /// Reads what every node's tables hold; what it is, their checker judges.
    async fn look_up(&mut self, nodes: &[u64], end: &FinalState, wrong: &mut Vec<String>) {
        let last = end.longest().last().map_or(0, |event| event.position);
        for node in nodes {
            let mut told = None;
            for _ in 0..TRIES {
                told = self.client.tables(*node, last).await;
                if told.is_some() {
                    break;
                }
                sleep(PAUSE).await;
            }
            match told {
                Some(told) => self.notes.open().tables.push((last, told)),
                None => wrong.push(format!("node {node} does not tell what its tables hold up to {last}")),
            }
        }
    }

    /// Waits until the server outside has heard all; what it heard, its checker judges.
    async fn send(&self, end: &FinalState, wrong: &mut Vec<String>) {
        let due = end.longest().iter().filter(|event| amount(&event.mark).is_some());
        let Some(last) = due.map(|event| event.position).max() else { return };
        for _ in 0..SEND_TRIES {
            let taken = |one: &Heard| one.position == last && one.reply == Reply::Taken;
            if self.notes.open().heard.iter().any(taken) {
                return;
            }
            sleep(LOOK).await;
        }
        wrong.push(format!("the event at {last} is not sent"));
    }

    /// Waits until the bus holds all; what it holds, the verdict judges.
    async fn publish(&self, end: &FinalState, wrong: &mut Vec<String>) {
        let Some(stream) = &self.stream else { return };
        let last = end.longest().last().map_or(0, |event| event.position);
        for _ in 0..SEND_TRIES {
            if stream.position() >= last {
                return;
            }
            sleep(LOOK).await;
        }
        wrong.push(format!("the bus is at {}, and the log at {last}", stream.position()));
    }

    async fn until_ok(&mut self, node: u64, call: &Call) -> bool {
        for _ in 0..TRIES {
            if self.client.call(node, call.clone()).await.is_ok() {
                return true;
            }
            sleep(PAUSE).await;
        }
        false
    }
}
