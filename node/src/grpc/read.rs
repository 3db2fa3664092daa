//! `weir.v1.ReadService`: pages of streams and of the log, as bytes.

use std::sync::Arc;

use connectrpc::{
    ConnectError, Encodable, PreEncoded, RequestContext, Response, ServiceRequest, ServiceResult,
    ServiceStream,
};
use futures::stream;
use weir_api::{
    ApiError, ErrorCode,
    proto::v1::{ReadLogRequest, ReadLogResponse, ReadService, ReadStreamRequest, ReadStreamResponse},
    reading,
};
use weir_types::{Consistency, Direction, EntityId, LogRead, LogSlice};

use crate::engine::Engine;

pub(super) struct Reads {
    pub(super) engine: Arc<Engine>,
}

#[allow(refining_impl_trait, reason = "the generated trait hides types that only this crate sees")]
impl ReadService for Reads {
    async fn read_stream<'a>(
        &'a self,
        _context: RequestContext,
        request: ServiceRequest<'_, ReadStreamRequest>,
    ) -> ServiceResult<impl Encodable<ReadStreamResponse> + Send + use<'a>> {
        let page = read_stream(&self.engine, request.to_owned_message()).await;
        Response::ok(page.map_err(|error| error.to_connect())?)
    }

    async fn read_log(
        &self,
        _context: RequestContext,
        request: ServiceRequest<'_, ReadLogRequest>,
    ) -> ServiceResult<ServiceStream<impl Encodable<ReadLogResponse> + Send + use<>>> {
        let pages = match Walk::of(&self.engine, request.to_owned_message()) {
            Ok(walk) => pages(walk),
            // Refused as a stream that ends at once: an answer of headers alone would lose the error's detail.
            Err(error) => Box::pin(stream::once(async move { Err(error.to_connect()) })),
        };
        Response::ok(pages)
    }
}

async fn read_stream(
    engine: &Engine,
    message: ReadStreamRequest,
) -> Result<PreEncoded<ReadStreamResponse>, ApiError> {
    engine.must_be_in_cluster()?;
    let query = reading::stream_query(&message);
    let (page, as_of) = engine.page(EntityId::new(&message.entity_id)?, &query).await?;
    Ok(reading::stream_page(&page, as_of))
}

/// A way through the log, and where on it the next page begins.
struct Walk {
    engine: Arc<Engine>,
    read: LogRead,
    consistency: Consistency,
    raw: bool,
    ended: bool,
}

impl Walk {
    fn of(engine: &Arc<Engine>, message: ReadLogRequest) -> Result<Self, ApiError> {
        engine.must_be_in_cluster()?;
        let query = reading::log_query(message);
        let (read, consistency) = (query.to_read(engine.group())?, query.to_consistency()?);
        Ok(Self { engine: engine.clone(), read, consistency, raw: query.raw, ended: false })
    }

    async fn next(&mut self) -> Result<LogSlice, ApiError> {
        if self.engine.closing().is_cancelled() {
            return Err(ApiError::new(ErrorCode::Unavailable, "node is stopping; go on at another one"));
        }
        let slice = match self.raw {
            true => self.engine.log_raw(self.read.clone(), self.consistency).await?,
            false => self.engine.log(self.read.clone(), self.consistency).await?,
        };
        // What the first page waited for, the others have.
        self.consistency = Consistency::Local;
        self.read.from = Some(slice.next);
        self.ended = match self.read.direction {
            Direction::Forward => slice.next > slice.applied,
            Direction::Backward => slice.next.0 == 0,
        };
        Ok(slice)
    }
}

/// One page is read when the one before is taken, so that a client that is slow costs one.
fn pages(walk: Walk) -> ServiceStream<PreEncoded<ReadLogResponse>> {
    Box::pin(stream::unfold(walk, |mut walk| async move {
        if walk.ended {
            return None;
        }
        let page = walk.next().await.map(|slice| reading::log_page(&slice));
        walk.ended |= page.is_err();
        Some((page.map_err(|error| -> ConnectError { error.to_connect() }), walk))
    }))
}
