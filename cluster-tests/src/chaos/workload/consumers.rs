//! JetStream consumers outside the cluster: a reader in order that begins
//! again where it was cut, and a durable consumer that is killed amid a batch.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use async_nats::jetstream::{
    self, Message,
    consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
    stream::Stream,
};
use async_trait::async_trait;
use futures::StreamExt as _;
use serde_json::Value;
use tokio::time::{Instant, timeout};
use weir_check::history::{Call, Delivered, Filter, Seen, Source};
use weir_types::{EntityId, EntityType, EventName, GroupId, subject_of};

use super::{Context, Workload, caller::Caller, crew::Crew, draft::Draft};
use crate::nats::STREAM;

/// Its name.
const NAME: &str = "consumers";
/// Between two appends of the writer, so that there is something to consume.
const WRITE_PACE: Duration = Duration::from_millis(100);
/// How long a call to NATS may take.
const NATS_CALL: Duration = Duration::from_secs(2);
/// Messages of one batch.
const BATCH: usize = 200;
/// Messages that the durable consumer may hold: more than a batch, which else waits for those that nobody acknowledged.
const PENDING_MAX: usize = 2 * BATCH;
/// How long a durable consumer may hold a message.
const ACK_WAIT: Duration = Duration::from_secs(2);
/// How long a durable consumer may get no further while there is more, before it is made anew.
const STALLED: Duration = Duration::from_secs(8);
/// How long the last messages may take.
const LAST: Duration = Duration::from_secs(300);

/// Consumers of JetStream.
#[derive(Debug, Clone, Default)]
pub struct Consumers {
    /// Up to where each kind got everything.
    reached: [Arc<Mutex<u64>>; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ordered,
    Durable,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Ordered => "consumers-ordered",
            Self::Durable => "consumers-durable",
        }
    }
}

#[async_trait]
impl Workload for Consumers {
    fn name(&self) -> &'static str {
        NAME
    }

    fn needs_nats(&self) -> bool {
        true
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        crew.hire(write(Caller::new(context, NAME)));
        for (kind, reached) in [Kind::Ordered, Kind::Durable].into_iter().zip(&self.reached) {
            let reader = Reader::new(context, kind, reached.clone());
            crew.hire(reader.work());
        }
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        let mut goal = 0;
        for (_, edge) in context.nodes.all() {
            goal = goal.max(edge.status().await.map_or(0, |status| status.applied_position));
        }
        for (kind, reached) in [Kind::Ordered, Kind::Durable].into_iter().zip(&self.reached) {
            Reader::new(context, kind, reached.clone()).finish(goal).await?;
        }
        Ok(())
    }

    fn coverage(&self) -> &'static [&'static str] {
        &[
            "consumers.ok",
            "consumers.ordered",
            "consumers.durable",
            "consumers.resumed",
            "consumers.redelivered",
        ]
    }
}

async fn write(mut caller: Caller) -> Result<()> {
    while caller.pace(WRITE_PACE).await {
        let (stream, mark) = (format!("{NAME}-{}", caller.rng.within(0..10)), caller.mark());
        caller.append(&Draft::new(&stream, NAME, &[mark])).await;
    }
    caller.end()
}

struct Reader {
    caller: Caller,
    /// The reader's number in the history.
    client: u64,
    kind: Kind,
    /// The position up to which it has everything.
    reached: u64,
    kept: Arc<Mutex<u64>>,
    /// What came before its turn, by position: no more than may be pending.
    early: BTreeMap<u64, (Message, Delivered)>,
    /// When the next event came last. What comes before its turn is no progress: it comes again and again.
    came: Instant,
}

/// What is still to be had in one connected stretch.
struct Limits {
    until: Instant,
    events: usize,
    /// The position at which it is done; the greatest number while there is no end.
    goal: u64,
}

impl Limits {
    fn to_the_end(&self) -> bool {
        self.goal < u64::MAX
    }
}

impl Reader {
    fn new(context: &Context, kind: Kind, kept: Arc<Mutex<u64>>) -> Self {
        let reached = *kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (caller, client) = (Caller::new(context, NAME), context.client());
        Self { caller, client, kind, reached, kept, early: BTreeMap::new(), came: Instant::now() }
    }

    async fn work(mut self) -> Result<()> {
        while !self.caller.context.stop.is_told() {
            let limits = Limits {
                until: Instant::now() + Duration::from_millis(self.caller.rng.within(500..5_000)),
                events: usize::try_from(self.caller.rng.within(50..2_500)).unwrap_or(usize::MAX),
                goal: u64::MAX,
            };
            if self.stretch(&limits).await.is_err() {
                self.caller.count("cut");
            }
            self.caller.count("resumed");
            self.caller.pace(Duration::from_millis(300)).await;
        }
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = self.reached;
        self.caller.end()
    }

    /// Reads until everything is there.
    async fn finish(mut self, goal: u64) -> Result<()> {
        let end = Instant::now() + LAST;
        loop {
            // In one stretch: what one that is cut holds comes again only when its time is over.
            let last = self.stretch(&Limits { until: end, events: usize::MAX, goal }).await;
            if self.reached >= goal {
                return self.caller.end();
            }
            ensure!(
                Instant::now() < end,
                "{} has everything up to {} of {goal}, and gets no more: {last:?}",
                self.kind.name(),
                self.reached
            );
            crate::pause().await;
        }
    }

    /// One connected stretch: what came is written down, however it ends.
    async fn stretch(&mut self, limits: &Limits) -> Result<()> {
        let stream = connected(&self.caller.context.nats).await?;
        self.early.clear();
        let call = Call::Observe {
            consumer: self.kind.name().to_owned(),
            source: Source::JetStream,
            filter: Filter::All,
            after: self.reached,
        };
        let pending = self.caller.context.recorder.invoke(self.client, call);
        let mut events = Vec::new();
        let ended = self.read(stream, limits, &mut events).await;
        let complete = limits.to_the_end() && self.reached >= limits.goal;
        let complete_to = complete.then_some(limits.goal);
        pending.ok(Seen::Observed { events, gap_to: None, complete_to, caught_up: None });
        ended
    }

    async fn read(&mut self, mut stream: Stream, limits: &Limits, events: &mut Vec<Delivered>) -> Result<()> {
        let consumer = self.consumer(&stream).await?;
        while Instant::now() < limits.until && events.len() < limits.events && self.reached < limits.goal {
            if self.caller.context.stop.is_told() && !limits.to_the_end() {
                break;
            }
            let batch = consumer.batch().max_messages(BATCH).expires(Duration::from_millis(600)).messages();
            let mut batch = timeout(NATS_CALL, batch).await.context("no batch in time")??;
            while let Some(message) = timeout(NATS_CALL, batch.next()).await.context("no message in time")? {
                let message = message.map_err(|error| anyhow::anyhow!("cut while reading: {error}"))?;
                self.take(message, limits, events).await?;
                // The durable one is killed amid a batch: what it holds is given out again.
                if events.len() >= limits.events {
                    return Ok(());
                }
            }
            self.unless_stalled(&mut stream).await?;
        }
        Ok(())
    }

    async fn consumer(&self, stream: &Stream) -> Result<PullConsumer> {
        let start_sequence = self.reached + 1;
        let mut config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
            ack_policy: AckPolicy::None,
            inactive_threshold: Duration::from_secs(30),
            ..pull::Config::default()
        };
        let made = match self.kind {
            Kind::Ordered => timeout(NATS_CALL, stream.create_consumer(config)).await,
            Kind::Durable => {
                config.durable_name = Some(self.kind.name().to_owned());
                config.ack_policy = AckPolicy::Explicit;
                config.ack_wait = ACK_WAIT;
                config.max_ack_pending = i64::try_from(PENDING_MAX)?;
                config.inactive_threshold = Duration::ZERO;
                timeout(NATS_CALL, stream.get_or_create_consumer(self.kind.name(), config)).await
            }
        };
        Ok(made.context("no consumer in time")??)
    }

    /// A durable consumer that gets no further, though there is more: its place was
    /// lost together with messages of the stream. It is made anew.
    async fn unless_stalled(&mut self, stream: &mut Stream) -> Result<()> {
        if self.came.elapsed() < STALLED {
            return Ok(());
        }
        self.came = Instant::now();
        let last = timeout(NATS_CALL, stream.info()).await.context("no info in time")??.state.last_sequence;
        if last > self.reached {
            self.caller.count("made_anew");
            if self.kind == Kind::Durable {
                timeout(NATS_CALL, stream.delete_consumer(self.kind.name()))
                    .await
                    .context("not deleted in time")??;
            }
            bail!("got no further for long, though there is more");
        }
        Ok(())
    }

    async fn take(&mut self, message: Message, limits: &Limits, events: &mut Vec<Delivered>) -> Result<()> {
        let event = match delivered(&message) {
            Ok(event) => event,
            Err(error) => {
                self.caller.wrong(format!("{}: {error:#}", self.kind.name()));
                bail!("message is not what it should be");
            }
        };
        let next = self.reached + 1;
        if event.position > next && self.kind == Kind::Durable {
            // What went to a dead client comes again later: until then this one must wait.
            self.caller.count("early");
            self.early.insert(event.position, (message, event));
            return Ok(());
        }
        if event.position > next {
            // A message's position is its sequence, so a hole is what was purged; a reader that counts
            // waits until it is published again. One that stays lets the run end without the end. It is
            // written down: whether anybody purged something is for the checker to know.
            self.caller.count("hole");
            let position = event.position;
            events.push(event);
            bail!("position {next} is due, and {position} came");
        }
        self.consume(&message, event, limits, events).await?;
        while let Some((message, event)) = self.early.remove(&(self.reached + 1)) {
            self.consume(&message, event, limits, events).await?;
        }
        Ok(())
    }

    /// Takes the next event, or one that is there already.
    async fn consume(
        &mut self,
        message: &Message,
        event: Delivered,
        limits: &Limits,
        events: &mut Vec<Delivered>,
    ) -> Result<()> {
        let again = event.position <= self.reached;
        if !again {
            (self.reached, self.came) = (event.position, Instant::now());
        }
        events.push(event);
        match self.kind {
            Kind::Ordered => self.caller.count("ordered"),
            Kind::Durable => {
                self.caller.count(if again { "redelivered" } else { "durable" });
                // Some acknowledgements are never sent, as if it had died before; not at the end, where none comes back.
                if again || limits.to_the_end() || self.caller.rng.chance(99) {
                    message.ack().await.map_err(|error| anyhow::anyhow!("not acknowledged: {error}"))?;
                }
            }
        }
        Ok(())
    }
}

/// The stream, by a connection of its own.
async fn connected(urls: &[String]) -> Result<Stream> {
    let options = async_nats::ConnectOptions::new()
        .connection_timeout(Duration::from_secs(1))
        .request_timeout(Some(NATS_CALL));
    let client = timeout(NATS_CALL, options.connect(urls)).await.context("no connection in time")??;
    let context = jetstream::new(client);
    Ok(timeout(NATS_CALL, context.get_stream(STREAM)).await.context("no stream in time")??)
}

/// The event of a message, which must be where it says it is.
fn delivered(message: &Message) -> Result<Delivered> {
    let info = message.info().map_err(|error| anyhow::anyhow!("message without JetStream info: {error}"))?;
    let sequence = info.stream_sequence;
    let header = message.headers.as_ref().and_then(|headers| headers.get("Weir-Position"));
    let header: u64 = header.context("no Weir-Position")?.as_str().parse().context("Weir-Position")?;
    let event: Value = serde_json::from_slice(&message.payload).context("message is no JSON")?;
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let position = event["position"].as_u64();
    ensure!(
        header == sequence && position == Some(sequence),
        "sequence {sequence} carries header {header} and position {position:?}"
    );
    let subject = subject_of(
        GroupId::DEFAULT,
        &EntityType::new(text("entityType"))?,
        &EntityId::new(text("entityId"))?,
        &EventName::new(text("name"))?,
    );
    ensure!(
        message.subject.as_str() == subject,
        "sequence {sequence} is on `{}`, not on `{subject}`",
        message.subject
    );
    let mark = event["data"]["op"].as_str().unwrap_or_default().to_owned();
    let version = event["version"].as_u64().context("no version")?;
    Ok(Delivered { position: sequence, stream: text("entityId"), version, mark })
}
