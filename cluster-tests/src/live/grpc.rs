use anyhow::{Context as _, Result};
use connectrpc::{
    ConnectError, Protocol,
    client::{ClientConfig, ClientTransport, Http2Connection, ServerStream, SharedHttp2Connection},
};
use serde_json::Value;
use weir_api::proto::v1::{
    SubscribeRequest, SubscribeResponse, SubscribeResponseView, SubscriptionServiceClient,
    subscribe_request::{Start as WireStart, Target as WireTarget},
    subscribe_response::Frame,
};

use super::heard::{Ask, Event, Heard, Start, Target, exact};
use crate::edge::Edge;

type Frames =
    ServerStream<<SharedHttp2Connection as ClientTransport>::ResponseBody, SubscribeResponseView<'static>>;

/// A subscription by gRPC, over a connection of its own.
pub struct Grpc(Frames);

impl Grpc {
    pub(super) async fn open(edge: &Edge, ask: &Ask) -> Result<Self> {
        let config = ClientConfig::new(edge.base().parse()?).with_protocol(Protocol::Grpc);
        let connection = Http2Connection::connect_plaintext(config.base_uri().clone()).await?;
        let client = SubscriptionServiceClient::new(connection.shared(4), config);
        let of_stream = matches!(ask.target, Target::Stream { .. });
        let target = match &ask.target {
            Target::Stream { id, .. } => WireTarget::Stream(id.clone()),
            Target::Log | Target::Type(_) | Target::Filtered { .. } => {
                WireTarget::Pattern(ask.target.pattern())
            }
        };
        let start = match &ask.start {
            Start::Beginning if of_stream => WireStart::AfterVersion(0),
            Start::Beginning => WireStart::AfterPosition(0),
            Start::Last(count) => WireStart::Last(*count),
            Start::Cursor(cursor) => WireStart::Cursor(cursor.clone()),
        };
        let request = SubscribeRequest {
            target: Some(target),
            start: Some(start),
            heartbeat_ms: ask.heartbeat_ms,
            filter: ask.target.filter().unwrap_or_default(),
            ..Default::default()
        };
        Ok(Self(client.subscribe(request).await?))
    }

    pub(super) async fn next(&mut self) -> Result<Heard> {
        let frame = match self.0.message::<SubscribeResponse>().await {
            Ok(frame) => frame.context("stream ended without a word")?.to_owned_message(),
            Err(error) => return ended(&error),
        };
        let (cursor, position) = (frame.cursor, frame.position);
        Ok(match frame.frame.context("frame is empty")? {
            Frame::Opened(opened) => Heard::Opened { position, cursor, found: opened.found },
            Frame::CaughtUp(_) => Heard::CaughtUp { position, cursor },
            Frame::Heartbeat(_) => Heard::Heartbeat { position, cursor },
            Frame::LeftOut(left) => Heard::LeftOut(left.count),
            Frame::Event(event) => {
                let data: Value = serde_json::from_slice(&event.data).unwrap_or_default();
                let mark = data["op"].as_str().unwrap_or_default().to_owned();
                let (position, version) = (event.position, event.version);
                return exact(Event { position, stream: event.entity_id, version, mark }, cursor);
            }
        })
    }
}

/// An error that the node said, or that says that the node is gone.
fn ended(error: &ConnectError) -> Result<Heard> {
    let code = error.code.as_str().to_owned();
    anyhow::ensure!(!error.details.is_empty(), "stream was cut: {code} {:?}", error.message);
    Ok(Heard::Ended { code, cursor: None })
}
