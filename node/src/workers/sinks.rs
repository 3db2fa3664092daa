//! External projections that the cluster itself carries out: each event is sent, once it counts as sent the next one is.
//! It runs on the node that leads, under a lease as any worker.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::StreamExt as _;
use tokio::{
    task::{AbortHandle, JoinError, JoinSet},
    time::sleep,
};
use tracing::{debug, warn};
use weir_actors::jetstream::SubjectMessage;
use weir_api::{
    ApiError, ErrorCode,
    connect::{PollProjectionRequest, PollProjectionResponse, ProjectionEvent, SaveProjectionRequest},
};
use weir_types::{Position, ProjectionName, Term};

use super::{
    Workers, keys, not_found,
    stored::{Registration, Sink},
    webhook::Posted,
};

/// Why nothing goes to NATS.
const NO_NATS: &str = "this node has no NATS to send events to";
/// The first pause after a failure; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Events that are polled for at once.
const BATCH: u32 = 50;

/// The pause after so many failures in a row.
fn pause(failures: u32) -> Duration {
    PAUSE_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(PAUSE_MAX)
}

/// Carries out what the cluster itself is asked to, as long as this node leads, until `stop`.
pub(crate) async fn carry_out(workers: Arc<Workers>) {
    let mut running = Pumps::default();
    let mut leadership = workers.ports.leadership.changes();
    loop {
        let mut stirred = std::pin::pin!(workers.stirred.notified());
        stirred.as_mut().enable();
        let seen = workers.ports.leadership.current();
        let unread = seen.decides && running.begin(&workers, seen.term).await.is_err();
        tokio::select! {
            () = workers.stop.cancelled() => break,
            () = stirred => {}
            next = leadership.next() => if next.is_none() { break },
            Some(ended) = running.tasks.join_next() => running.forget(ended),
            () = sleep(PAUSE_MAX), if unread => {}
        }
    }
    running.tasks.shutdown().await;
}

/// The projections that are carried out.
#[derive(Default)]
struct Pumps {
    tasks: JoinSet<ProjectionName>,
    running: HashMap<ProjectionName, AbortHandle>,
}

impl Pumps {
    /// Begins those that are registered and do not run.
    async fn begin(&mut self, workers: &Arc<Workers>, term: Term) -> Result<(), ApiError> {
        let all = workers.registrations().await.inspect_err(|error| {
            warn!(%error, "external projections cannot be read");
        })?;
        for registration in all.into_iter().filter(|one| one.sink.is_some()) {
            let Ok(name) = ProjectionName::new(&registration.name) else { continue };
            if self.running.contains_key(&name) {
                continue;
            }
            let pump = Pump::new(workers.clone(), name.clone(), term, registration);
            self.running.insert(name, self.tasks.spawn(pump.run()));
        }
        Ok(())
    }

    fn forget(&mut self, ended: Result<ProjectionName, JoinError>) {
        match ended {
            Ok(name) => drop(self.running.remove(&name)),
            // Which one it was is not told: all that are over are begun anew.
            Err(_) => self.running.retain(|_, pump| !pump.is_finished()),
        }
    }
}

/// One projection, in one term.
struct Pump {
    workers: Arc<Workers>,
    name: ProjectionName,
    term: Term,
    registration: Registration,
    failures: u32,
}

impl Pump {
    fn new(workers: Arc<Workers>, name: ProjectionName, term: Term, registration: Registration) -> Self {
        Self { workers, name, term, registration, failures: 0 }
    }

    /// Ends when another is to go on: of another term, or with another sink.
    async fn run(mut self) -> ProjectionName {
        while self.goes_on().await {
            if self.step().await {
                self.failures = 0;
            } else {
                self.failures += 1;
                let stop = self.workers.stop.clone();
                stop.run_until_cancelled(sleep(pause(self.failures))).await;
            }
        }
        self.name
    }

    async fn goes_on(&self) -> bool {
        let seen = self.workers.ports.leadership.current();
        if !seen.decides || seen.term != self.term || self.workers.stop.is_cancelled() {
            return false;
        }
        let found = self.workers.store.read::<Registration>(&keys::registration(&self.name)).await;
        found.is_ok_and(|found| found.is_some_and(|found| found.value.sink == self.registration.sink))
    }

    /// Takes events and sends them. Whether all went well.
    async fn step(&self) -> bool {
        let Some(sink) = &self.registration.sink else { return false };
        let worker = self.workers.own_name();
        let asked = PollProjectionRequest {
            name: self.name.to_string(),
            batch_size: BATCH,
            worker_id: worker.clone(),
            wait_ms: None,
        };
        let polled = match self.workers.poll_for(&asked, true).await {
            Ok(polled) => polled,
            Err(error) => {
                debug!(projection = %self.name, %error, "no events for an external projection");
                return false;
            }
        };
        // What was registered meanwhile may be for another to send.
        if !polled.events.is_empty() && !self.goes_on().await {
            return true;
        }
        let mut sent = 0;
        for event in &polled.events {
            match self.workers.send(sink, &self.name, event, polled.delivery).await {
                Ok(()) => sent += 1,
                Err(reason) => {
                    self.refused(event, reason).await;
                    break;
                }
            }
        }
        metrics::counter!("weir_effects_total", "outcome" => "sent").increment(sent as u64);
        self.acknowledge(&polled, sent, worker).await && sent == polled.events.len()
    }

    /// Notes why an event was not taken, for whoever asks, and says it once.
    async fn refused(&self, event: &ProjectionEvent, reason: String) {
        metrics::counter!("weir_effects_total", "outcome" => "failed").increment(1);
        match self.failures {
            0 => warn!(projection = %self.name, event = %event.id, reason, "event was not taken"),
            failures => {
                debug!(projection = %self.name, event = %event.id, reason, failures, "event was not taken")
            }
        }
        if let Some(desk) = self.workers.desks.hold(&self.name).await.get_mut() {
            desk.note_refusal(Position(event.seq), reason);
        }
    }

    async fn acknowledge(&self, polled: &PollProjectionResponse, sent: usize, worker_id: String) -> bool {
        let Some(last) = sent.checked_sub(1).and_then(|last| polled.events.get(last)) else { return true };
        let ack = SaveProjectionRequest {
            name: self.name.to_string(),
            last_event_id: last.id.clone(),
            last_event_seq: last.seq,
            worker_id,
            lease_number: Some(polled.lease_number),
            ..SaveProjectionRequest::default()
        };
        self.workers.save(&ack).await.is_ok()
    }
}

impl Workers {
    /// The name under which this node works itself.
    fn own_name(&self) -> String {
        format!("weir-node-{}", self.node.0)
    }

    /// Sends one event to where a projection's events go. The reason why it was not taken.
    async fn send(
        &self,
        sink: &Sink,
        name: &ProjectionName,
        event: &ProjectionEvent,
        delivery: u32,
    ) -> Result<(), String> {
        let body = serde_json::to_vec(event).map_err(|error| error.to_string())?;
        match sink {
            Sink::Webhook { url, secret } => {
                let timestamp = (self.ports.clock.now().0 / 1_000_000).to_string();
                let posted = Posted { name, event_id: &event.id, delivery, timestamp: &timestamp, body };
                self.hooks.post(url, secret.as_deref(), posted).await
            }
            Sink::Nats { subject } => {
                let message = SubjectMessage {
                    event_id: event.id.clone(),
                    projection: name.to_string(),
                    delivery,
                    body: body.into(),
                };
                let subjects = self.subjects.as_ref().ok_or(NO_NATS)?;
                subjects.publish(subject, message).await.map_err(|error| error.to_string())
            }
        }
    }

    /// Whether this node can send to where a projection's events are to go.
    pub(super) fn can_send(&self, sink: Option<&Sink>) -> Result<(), ApiError> {
        let Some(Sink::Nats { subject }) = sink else { return Ok(()) };
        let invalid = |message: String| Err(ApiError::new(ErrorCode::ProjectionInvalid, message));
        match &self.subjects {
            None => invalid(NO_NATS.to_owned()),
            Some(subjects) if subjects.is_own(subject) => {
                invalid(format!("subject `{subject}` is of the copy of the log, which only Weir writes"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Sends dead letters again, those named or the first ones. How many were taken and are none any more.
    ///
    /// # Errors
    /// `projection_not_found`; `invalid_request` where the cluster does not send the events itself.
    pub async fn replay(&self, name: &ProjectionName, positions: Option<Vec<u64>>) -> Result<u64, ApiError> {
        let found =
            self.store.read::<Registration>(&keys::registration(name)).await?.ok_or_else(not_found)?;
        let Some(sink) = found.value.sink.clone() else {
            return Err(ApiError::invalid(
                "dead letters are sent again where the cluster sends the events itself",
            ));
        };
        let generation = found.value.generation;
        let letters = self.dead_letters(name, Position::ZERO, super::REPLAYS_MAX).await?.dead_letters;
        let mut sent = 0;
        for letter in letters {
            if positions.as_ref().is_some_and(|wanted| !wanted.contains(&letter.position)) {
                continue;
            }
            let position = Position(letter.position);
            let read = self.ports.reader.read_log(weir_types::GroupId::DEFAULT, position, 1).await?;
            let read = self.upcasting.first_part(read).await?;
            let Some(event) = read.first() else { continue };
            let told = self.send(&sink, name, &ProjectionEvent::from(event), letter.deliveries + 1).await;
            if let Err(reason) = told {
                let message = format!("event at position {} was not taken: {reason}", letter.position);
                return Err(ApiError::new(ErrorCode::Unavailable, message).with("sent", sent));
            }
            self.forget_letter(generation, position).await?;
            sent += 1;
        }
        Ok(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_have_a_ceiling() {
        assert_eq!((pause(1), pause(2), pause(40)), (PAUSE_MIN, PAUSE_MIN * 2, PAUSE_MAX));
    }
}
