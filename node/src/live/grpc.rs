//! `weir.v1.SubscriptionService` over gRPC, gRPC-Web and Connect.

use std::sync::Arc;

use axum::Router;
use connectrpc::{
    ConnectError, ConnectRpcService, Encodable, RequestContext, Response, Router as RpcRouter,
    ServiceRequest, ServiceResult, ServiceStream,
};
use futures::stream;
use weir_actors::live::{Frame, Subscriber};
use weir_api::{
    event::event_to_proto,
    proto::v1::{
        CaughtUp, Heartbeat, LeftOut, Opened, SUBSCRIPTION_SERVICE_SERVICE_NAME, SubscribeRequest,
        SubscribeResponse, SubscriptionService, subscribe_response,
    },
    subscription,
};
use weir_types::Cursor;

use super::end::end_error;
use crate::engine::Engine;

pub(crate) fn routes(engine: Arc<Engine>) -> Router {
    let service = ConnectRpcService::new(RpcRouter::new().add_service(Arc::new(Subscriptions { engine })));
    Router::new().route_service(&format!("/{SUBSCRIPTION_SERVICE_SERVICE_NAME}/{{method}}"), service)
}

struct Subscriptions {
    engine: Arc<Engine>,
}

#[allow(refining_impl_trait, reason = "the generated trait hides types that only this crate sees")]
impl SubscriptionService for Subscriptions {
    async fn subscribe(
        &self,
        _context: RequestContext,
        request: ServiceRequest<'_, SubscribeRequest>,
    ) -> ServiceResult<ServiceStream<impl Encodable<SubscribeResponse> + Send + use<>>> {
        let request = subscription::request_from_proto(&request.to_owned_message());
        let request = request.map_err(|error| error.to_connect())?;
        let subscriber = self.engine.subscribe(request).await.map_err(|error| error.to_connect())?;
        Response::ok(frames(subscriber))
    }
}

fn frames(subscriber: Subscriber) -> ServiceStream<SubscribeResponse> {
    Box::pin(stream::unfold(subscriber, |mut subscriber| async move {
        subscriber.next().await.map(|frame| (message(frame), subscriber))
    }))
}

fn message(frame: Frame) -> Result<SubscribeResponse, ConnectError> {
    let of = |cursor: Cursor, frame: subscribe_response::Frame| {
        Ok(SubscribeResponse {
            cursor: cursor.to_string(),
            position: cursor.position.0,
            frame: Some(frame),
            ..Default::default()
        })
    };
    match frame {
        Frame::Opened { cursor, found } => of(cursor, Opened { found, ..Default::default() }.into()),
        Frame::Event { event, cursor } => of(cursor, event_to_proto(event.event()).into()),
        Frame::CaughtUp { cursor } => of(cursor, CaughtUp::default().into()),
        Frame::Heartbeat { cursor } => of(cursor, Heartbeat::default().into()),
        Frame::LeftOut { count, cursor } => of(cursor, LeftOut { count, ..Default::default() }.into()),
        Frame::Ended { reason, cursor } => Err(end_error(reason, cursor).to_connect()),
    }
}
