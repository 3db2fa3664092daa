//! `weir.v1.StreamService`: appends over gRPC or Connect, many in flight on one session. Beside it, the reads.

mod order;
mod read;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::map_request_with_state,
};
use connectrpc::{
    ConnectError, ConnectRpcService, Encodable, InboundStream, Limits, RequestContext, Response,
    Router as RpcRouter, ServiceRequest, ServiceResult, ServiceStream, StreamMessage,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use weir_api::{
    ApiError, ErrorCode,
    proto::v1::{
        AppendRequest, AppendResponse, AppendSessionRequest, AppendSessionResponse,
        READ_SERVICE_SERVICE_NAME, STREAM_SERVICE_SERVICE_NAME, StreamService,
    },
    session,
};
use weir_types::{AppendAck, Planted, limits, planted};

use self::{order::StreamOrder, read::Reads};
use crate::{
    engine::Engine,
    http::trace::{context_of, trace_append},
};

/// Appends of one session that are not answered yet; the next one is read when one is answered.
const SESSION_IN_FLIGHT_MAX: usize = 1_024;
/// Bytes of the same.
const SESSION_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Answers of one message.
const ANSWERS_TOGETHER_MAX: usize = 64;

/// What became of a request of a session, by its id.
type Answer = (u64, session::Outcome);

pub(crate) fn routes(engine: Arc<Engine>) -> Router {
    let bounds = Limits::default()
        .with_max_request_body_size(limits::BODY_BYTES_MAX)
        .with_max_message_size(limits::BODY_BYTES_MAX);
    let closing = engine.closing().clone();
    let reads = Arc::new(Reads { engine: engine.clone() });
    let services = RpcRouter::new().add_service(Arc::new(Streams { engine })).add_service(reads);
    let service = ConnectRpcService::new(services).with_limits(bounds);
    Router::new()
        .route_service(&format!("/{STREAM_SERVICE_SERVICE_NAME}/{{method}}"), service.clone())
        .route_service(&format!("/{READ_SERVICE_SERVICE_NAME}/{{method}}"), service)
        .layer(map_request_with_state(closing, end_with_edge))
}

/// Ends a request's body when the edge closes. The server below reads on for
/// seconds after the session has ended, which would hold up the stop.
async fn end_with_edge(State(closing): State<CancellationToken>, request: Request) -> Request {
    request.map(|body| Body::from_stream(body.into_data_stream().take_until(closing.cancelled_owned())))
}

struct Streams {
    engine: Arc<Engine>,
}

#[allow(refining_impl_trait, reason = "the generated trait hides types that only this crate sees")]
impl StreamService for Streams {
    async fn append_session(
        &self,
        _context: RequestContext,
        requests: InboundStream<AppendSessionRequest>,
    ) -> ServiceResult<ServiceStream<impl Encodable<AppendSessionResponse> + Send + use<>>> {
        Response::ok(answers(self.engine.clone(), requests))
    }

    async fn append<'a>(
        &'a self,
        context: RequestContext,
        request: ServiceRequest<'_, AppendRequest>,
    ) -> ServiceResult<impl Encodable<AppendResponse> + Send + use<'a>> {
        let request = session::request_from_proto(self.engine.group(), request.to_owned_message());
        let mut request = request.map_err(|error| error.to_connect())?;
        trace_append(context_of(context.headers()).as_ref(), &mut request);
        self.engine.must_be_in_cluster().map_err(|error| error.to_connect())?;
        match self.engine.append(request).await {
            Ok(ack) => Response::ok(session::ack_to_proto(&ack)),
            Err(error) => Err(ApiError::from(error).to_connect()),
        }
    }
}

/// One append of a session, with the room that its message takes.
struct Turn {
    request_id: u64,
    append: Option<AppendRequest>,
    _room: Arc<OwnedSemaphorePermit>,
}

/// What all requests of a session share.
struct Session {
    engine: Arc<Engine>,
    order: StreamOrder,
    room: Arc<Semaphore>,
    /// The client reads several answers from one message.
    together: AtomicBool,
}

/// Answers each append by itself. No task is spawned for a message: the
/// futures are polled where they are, first in the order of submission, so
/// that appends of one stream reach its actor in that order.
fn answers(
    engine: Arc<Engine>,
    requests: InboundStream<AppendSessionRequest>,
) -> ServiceStream<AppendSessionResponse> {
    // When the edge closes, what was read is still answered, and then the session ends.
    let requests = requests.take_until(engine.closing().clone().cancelled_owned());
    let session = Arc::new(Session {
        engine,
        order: StreamOrder::default(),
        room: Arc::new(Semaphore::new(SESSION_BYTES_MAX)),
        together: AtomicBool::new(false),
    });
    let (reading, answering, writing) = (session.clone(), session.clone(), session);
    let turns = requests.then(move |message| {
        let session = reading.clone();
        async move { session.turns(message?).await }
    });
    // An error ends the session, after the answers that are ready.
    let turns = turns.map_ok(|turns| stream::iter(turns.map(Ok))).try_flatten();
    let answers = turns.map(move |turn: Result<Turn, ConnectError>| {
        let session = answering.clone();
        async move { Ok(session.answer(turn?).await) }
    });
    let ready = answers.buffer_unordered(SESSION_IN_FLIGHT_MAX).ready_chunks(ANSWERS_TOGETHER_MAX);
    Box::pin(ready.flat_map(move |answers| stream::iter(writing.messages(answers))))
}

impl Session {
    /// The appends of a message, once there is room for it.
    async fn turns(
        &self,
        message: StreamMessage<AppendSessionRequest>,
    ) -> Result<impl Iterator<Item = Turn> + Send + use<>, ConnectError> {
        let bytes = u32::try_from(message.bytes().len().clamp(1, SESSION_BYTES_MAX)).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(bytes).await.expect("the semaphore is never closed");
        let (room, message) = (Arc::new(room), message.to_owned_message());
        if message.answers_together {
            self.together.store(true, Relaxed);
        }
        let appends = session::requests_from_proto(message);
        Ok(appends.map(move |(request_id, append)| Turn { request_id, append, _room: room.clone() }))
    }

    async fn answer(&self, turn: Turn) -> Answer {
        let mut request_id = turn.request_id;
        if planted(Planted::SessionAnswersSwapped) {
            request_id ^= 1;
        }
        let outcome = match turn.append {
            Some(append) => run(&self.engine, &self.order, append).await,
            None => Err(ApiError::new(ErrorCode::InvalidRequest, "request holds no append")),
        };
        (request_id, outcome)
    }

    /// Answers that are ready, as the client reads them.
    fn messages(
        &self,
        answers: Vec<Result<Answer, ConnectError>>,
    ) -> Vec<Result<AppendSessionResponse, ConnectError>> {
        let (mut messages, mut together) = (Vec::new(), Vec::new());
        let most = if self.together.load(Relaxed) { ANSWERS_TOGETHER_MAX } else { 1 };
        let mut failed = None;
        for answer in answers {
            match answer {
                Ok(answer) => together.push(answer),
                Err(error) => failed = Some(error),
            }
            if together.len() == most {
                messages.push(Ok(session::outcomes_to_proto(together.drain(..))));
            }
        }
        if !together.is_empty() {
            messages.push(Ok(session::outcomes_to_proto(together)));
        }
        messages.extend(failed.map(Err));
        messages
    }
}

async fn run(engine: &Engine, order: &StreamOrder, append: AppendRequest) -> Result<AppendAck, ApiError> {
    let request = session::request_from_proto(engine.group(), append)?;
    engine.must_be_in_cluster()?;
    // The local router keeps the order of submission; the link to the leader does not.
    let _turn = match engine.decides() {
        true => None,
        false => Some(order.turn(&request.entity_id).await),
    };
    Ok(engine.append(request).await?)
}
