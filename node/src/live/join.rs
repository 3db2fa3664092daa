//! Consumer groups over the streams of `ironflow.v1.PubSubService`: `JoinConsumerGroup`, which takes no verdicts, and
//! `SubscribeBidirectional`, over which they come.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::{Body, BodyDataStream},
    extract::Request,
    http::{HeaderName, Version},
};
use bytes::{Bytes, BytesMut};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use weir_api::{
    ApiError, ErrorCode,
    connect::{
        Envelopes, JoinConsumerGroupRequest, PubSubSubscribe, SubscriptionAck, SubscriptionEvent, WantedGroup,
    },
    v1::VerdictKind,
};
use weir_types::{ConsumerGroupName, EventId, Pattern, limits, subscription_id};

use super::{
    group::{Given, Membership},
    pubsub::{END, ended, payload, put},
};
use crate::{
    engine::Engine,
    http::{
        extract::{parse_json, read_body},
        waits::BODY_WITHIN,
    },
};

/// Names the group of a stream whose frames are verdicts alone.
const GROUP: HeaderName = HeaderName::from_static("x-weir-consumer-group");
/// Events of one chunk.
const EVENTS_TOGETHER_MAX: usize = 32;
/// Verdicts of one stream that wait to be written; no more are read meanwhile.
const SETTLING_MAX: usize = limits::CONSUMER_IN_FLIGHT_MAX as usize;

/// `JoinConsumerGroup`. Events are settled when they are sent, or, where the group has manual acks, by verdicts that
/// come another way.
pub(super) async fn join(engine: &Arc<Engine>, request: Request) -> Result<Body, ApiError> {
    engine.must_be_in_cluster()?;
    let body = timeout(BODY_WITHIN, read_body(request)).await.map_err(|_| late())??;
    let asked: JoinConsumerGroupRequest = parse_json(payload(&body)?)?;
    let (member, pattern) = Membership::of_existing(engine.clone(), asked.to_name()?, None).await?;
    let (out, chunks) = mpsc::channel(1);
    tokio::spawn(Consumer::new(member, pattern, asked.include_metadata, out).run(None));
    Ok(body_of(chunks))
}

/// Whether a request comes over what can carry two streams at once.
pub(super) fn is_duplex(request: &Request) -> bool {
    request.version() >= Version::HTTP_2
}

/// `SubscribeBidirectional`. The answer begins before the client has said what it wants.
pub(super) fn converse(engine: &Arc<Engine>, request: Request) -> Result<Body, ApiError> {
    engine.must_be_in_cluster()?;
    let named = match request.headers().get(GROUP).map(|name| name.to_str()) {
        None => None,
        Some(Ok(name)) => Some(ConsumerGroupName::new(name)?),
        Some(Err(_)) => return Err(ApiError::invalid("header X-Weir-Consumer-Group is not visible ASCII")),
    };
    let said = Said::new(request.into_body());
    let ((out, chunks), engine) = (mpsc::channel(1), engine.clone());
    tokio::spawn(async move {
        let (told, closing) = (out.clone(), engine.closing().clone());
        // Who is gone, or a node that stops, waits for nobody's first frame.
        let begun = closing.run_until_cancelled(begin(engine, named, said, out)).await;
        let error = match begun {
            Some(Ok((consumer, said))) => return consumer.run(Some(said)).await,
            Some(Err(error)) => error,
            None => ApiError::new(ErrorCode::Unavailable, "node is stopping"),
        };
        // Nobody may hear it any more.
        drop(told.send(ended(&error)).await);
    });
    Ok(body_of(chunks))
}

fn body_of(chunks: mpsc::Receiver<Bytes>) -> Body {
    Body::from_stream(ReceiverStream::new(chunks).map(Ok::<_, Infallible>))
}

fn late() -> ApiError {
    ApiError::new(ErrorCode::DeadlineExceeded, "request did not come in time")
}

/// Joins the group that the header names, or the first frame.
async fn begin(
    engine: Arc<Engine>,
    named: Option<ConsumerGroupName>,
    mut said: Said,
    out: mpsc::Sender<Bytes>,
) -> Result<(Consumer, Said), ApiError> {
    if let Some(name) = named {
        let (member, pattern) = Membership::of_existing(engine, name, Some(false)).await?;
        return Ok((Consumer::new(member, pattern, false, out), said));
    }
    let first = timeout(BODY_WITHIN, said.frame()).await.map_err(|_| late())??;
    let first = first.ok_or_else(|| ApiError::invalid("stream has no frame: the first names the group"))?;
    let asked: PubSubSubscribe = parse_json(&first)?;
    let Some(wanted) = asked.to_consumer()? else {
        let message = "manual acks are served in the name of a group: options.consumerGroup is missing";
        return Err(ApiError::new(ErrorCode::Unimplemented, message));
    };
    // A stream both ways is for manual acks, unless it says otherwise.
    let acks_itself = asked.options.as_ref().is_some_and(|options| options.ack_mode == "auto");
    let wanted = WantedGroup { acks_itself, ..wanted };
    let member = Membership::join(engine, &wanted, Arc::default()).await?;
    Ok((Consumer::new(member, wanted.pattern, asked.wants_metadata(), out), said))
}

/// What a client says over a stream.
struct Said {
    body: BodyDataStream,
    envelopes: Envelopes,
}

impl Said {
    fn new(body: Body) -> Self {
        let envelopes = Envelopes::new(limits::SOCKET_FRAME_BYTES_MAX);
        Self { body: body.into_data_stream(), envelopes }
    }

    /// The next frame; none when the client will say no more. What has come is not lost if this is dropped.
    async fn frame(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            if let Some(payload) = self.envelopes.payload()? {
                return Ok(Some(payload));
            }
            match self.body.next().await {
                Some(Ok(bytes)) => self.envelopes.push(&bytes),
                Some(Err(_)) => return Err(ApiError::invalid("stream could not be read")),
                None if self.envelopes.is_empty() => return Ok(None),
                None => return Err(ApiError::invalid("stream ends amid a frame")),
            }
        }
    }
}

/// The next frame of who may say something; of who may not, nothing ever.
async fn next_of(said: Option<&mut Said>) -> Result<Option<Bytes>, ApiError> {
    match said {
        Some(said) => said.frame().await,
        None => std::future::pending().await,
    }
}

/// Why a stream ends.
enum End {
    /// The client is gone.
    Gone,
    /// The client has said all that it had to say.
    Done,
    Failed(ApiError),
}

/// One stream's part in a group.
struct Consumer {
    member: Membership,
    pattern: Pattern,
    id: String,
    with_metadata: bool,
    /// It has room for one chunk, so what was handed to it is on its way when there is room again.
    out: mpsc::Sender<Bytes>,
    handed: Vec<EventId>,
    settling: FuturesUnordered<BoxFuture<'static, Result<(), ApiError>>>,
}

impl Consumer {
    fn new(member: Membership, pattern: Pattern, with_metadata: bool, out: mpsc::Sender<Bytes>) -> Self {
        let id = subscription_id(pattern.as_str(), 0);
        let (handed, settling) = (Vec::new(), FuturesUnordered::new());
        Self { member, pattern, id, with_metadata, out, handed, settling }
    }

    /// Gives events until either side ends it. What is said is said, and what is left is given back, before the client
    /// is told of the end.
    async fn run(mut self, said: Option<Said>) {
        let end = self.serve(said).await;
        if !matches!(end, End::Gone) && self.out.capacity() > 0 {
            self.sent();
        }
        while self.settling.next().await.is_some() {}
        self.member.leave().await;
        let last = match end {
            End::Gone => return,
            End::Failed(error) => ended(&error),
            End::Done => {
                let mut bytes = BytesMut::new();
                put(&mut bytes, END, b"{}");
                bytes.freeze()
            }
        };
        // Nobody may hear it any more.
        drop(self.out.send(last).await);
    }

    async fn serve(&mut self, mut said: Option<Said>) -> End {
        let mut events = self.member.events().ready_chunks(EVENTS_TOGETHER_MAX);
        loop {
            let ended = tokio::select! {
                () = self.out.closed() => Some(End::Gone),
                room = async { self.out.reserve().await.map(drop) }, if !self.handed.is_empty() => match room {
                    Ok(()) => {
                        self.sent();
                        None
                    }
                    Err(_) => Some(End::Gone),
                },
                given = events.next(), if self.handed.is_empty() => self.give(given.unwrap_or_default()),
                frame = next_of(said.as_mut()), if self.settling.len() < SETTLING_MAX => match frame {
                    Ok(Some(frame)) => self.hear(&frame),
                    Ok(None) => Some(End::Done),
                    Err(error) => Some(End::Failed(error)),
                },
                Some(settled) = self.settling.next() => settled.err().and_then(not_taken),
            };
            if let Some(end) = ended {
                return end;
            }
        }
    }

    /// Hands events to the stream.
    fn give(&mut self, given: Vec<Given>) -> Option<End> {
        let (mut bytes, mut end) = (BytesMut::new(), None);
        for one in given {
            match one {
                Given::Event { event, attempt } => {
                    let frame = SubscriptionEvent::new(&self.id, &self.pattern, &event, self.with_metadata);
                    let frame = frame.with_attempt(attempt);
                    put(&mut bytes, 0, &serde_json::to_vec(&frame).expect("an event is always JSON"));
                    self.handed.push(event.id);
                }
                Given::Ended(error) => end = Some(End::Failed(error)),
            }
        }
        if !self.handed.is_empty() && self.out.try_send(bytes.freeze()).is_err() {
            return Some(End::Gone);
        }
        end
    }

    /// What was handed to the stream is on its way.
    fn sent(&mut self) {
        for event in self.handed.drain(..) {
            self.member.sent(event);
            if self.member.acks_itself
                && let Some(held) = self.member.release(event)
            {
                let member = self.member.clone();
                self.settling.push(async move { member.settle(held, VerdictKind::Ack, None).await }.boxed());
            }
        }
    }

    /// Takes a verdict. One about an event that this client does not have is passed over: the event is settled, or comes
    /// again.
    fn hear(&mut self, frame: &[u8]) -> Option<End> {
        let ack: SubscriptionAck = match parse_json(frame) {
            Ok(ack) => ack,
            Err(error) => return Some(End::Failed(error)),
        };
        let verdict = VerdictKind::from(ack.ack_type);
        // A message of the contract has the field whatever it says.
        let delay_ms = ack.delay_ms().filter(|_| verdict == VerdictKind::Nak);
        if let Err(error) = verdict.verdict(delay_ms) {
            return Some(End::Failed(error));
        }
        let event = ack.event_id.parse().map(EventId).ok()?;
        let (held, member) = (self.member.release(event)?, self.member.clone());
        self.settling.push(async move { member.settle(held, verdict, delay_ms).await }.boxed());
        None
    }
}

/// Whether a verdict that was not taken ends the stream: one that came late does not.
fn not_taken(error: ApiError) -> Option<End> {
    (error.code != ErrorCode::NotFound).then_some(End::Failed(error))
}
