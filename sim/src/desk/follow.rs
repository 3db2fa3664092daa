use std::{io, time::Duration};

use serde_json::Value;
use tracing::error;
use turmoil::net::TcpStream;
use weir_actors::live::Frame;
use weir_api::ApiError;
use weir_types::{
    EntityId, FilterText, Pattern, Position, RecordedEvent, Selector, Slow, SubscribeRequest,
    SubscriptionStart,
};

use super::{Answer, Desk, Following, News, Target, Told, delivered, put};
use crate::{
    folds::{MOVED, amount},
    plant::Plant,
};

/// Heartbeats are short: they tell the node that its client is gone.
const HEARTBEAT: Duration = Duration::from_millis(200);

impl Desk {
    /// Tells a subscriber what comes, until it ends or the client is gone.
    pub(super) async fn follow(&self, stream: &mut TcpStream, asked: &Following) -> io::Result<()> {
        let mut subscriber = match request(asked) {
            Ok(request) => match self.engine.subscribe(request).await {
                Ok(subscriber) => subscriber,
                Err(error) => return put(stream, &Answer::Failed(error.to_string())).await,
            },
            Err(error) => return put(stream, &Answer::Failed(error.to_string())).await,
        };
        while let Some(frame) = subscriber.next().await {
            let told = self.told(frame);
            put(stream, &Answer::Told(told)).await?;
        }
        Ok(())
    }

    fn told(&self, frame: Frame) -> Told {
        let (what, mut cursor) = match frame {
            Frame::Opened { cursor, .. } | Frame::Heartbeat { cursor } => (News::Nothing, cursor),
            Frame::CaughtUp { cursor } => (News::CaughtUp, cursor),
            Frame::Event { event, cursor } => {
                must_be_upcast(event.event());
                (News::Event(delivered(event.event())), cursor)
            }
            Frame::LeftOut { cursor, .. } => (News::Ended("events are left out".to_owned()), cursor),
            Frame::Ended { reason, cursor } => (News::Ended(format!("{reason:?}")), cursor),
        };
        if self.plant == Some(Plant::CursorAhead) && matches!(what, News::Event(_)) {
            cursor.position = Position(cursor.position.0 + 1);
        }
        Told { what, position: cursor.position.0, cursor: cursor.to_string() }
    }
}

fn request(asked: &Following) -> Result<SubscribeRequest, ApiError> {
    let selector = match &asked.target {
        Target::Pattern(pattern) => Selector::Pattern(Pattern::new(pattern)?),
        Target::Stream(stream) => Selector::Stream(EntityId::new(stream)?),
    };
    let start = match &asked.cursor {
        Some(cursor) => SubscriptionStart::Cursor(cursor.parse()?),
        None => SubscriptionStart::AfterPosition(Position::ZERO),
    };
    let filter = asked.filter.as_deref().map(FilterText::new).transpose()?;
    Ok(SubscribeRequest { selector, filter, start, slow: Slow::Disconnect, heartbeat: HEARTBEAT })
}

/// Nobody moves money before there is an upcaster, which every node has applied before the first of their events.
fn must_be_upcast(event: &RecordedEvent) {
    let data: Value = serde_json::from_slice(&event.data).unwrap_or_default();
    let due = data["op"].as_str().and_then(amount).map(|amount| amount * 100);
    if event.name.as_str() == MOVED && (event.schema_version, data["cents"].as_i64()) != (2, due) {
        // An error that is logged is a finding.
        error!(
            position = event.position.0,
            event.schema_version, "subscriber is given an event that is not upcast"
        );
    }
}
