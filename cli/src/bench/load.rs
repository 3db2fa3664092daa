use bytes::Bytes;
use weir_client::{Client, ErrorCode};
use weir_types::{
    AppendRequest, ContentType, EntityId, EntityType, EventName, EventSource, ExpectedVersion, GroupId,
    IdempotencyKey, NameError, NewEvent, StreamVersion,
};

use super::{pace::Pace, sessions::Way, tally::Tally};

/// Callers walk through their streams in steps of this prime, so in no order,
/// and come to each before they come to one again.
const STRIDE: usize = 104_729;

/// What every append of a run has in common.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) kind: EntityType,
    pub(super) prefix: String,
    /// The number of the first stream.
    pub(super) first: usize,
    pub(super) streams: usize,
    pub(super) lanes: usize,
    pub(super) events: Vec<NewEvent>,
    pub(super) keys: bool,
    pub(super) guarded: bool,
    /// Whether each stream is appended to once.
    pub(super) once: bool,
}

/// The streams of one caller: every `lanes`-th, from its own number on, and
/// their versions. Ids are made when they are needed: a run may have ten million.
#[derive(Debug)]
struct Streams {
    load: Load,
    lane: usize,
    versions: Vec<u32>,
    at: usize,
    left: usize,
}

impl Load {
    /// One caller's loop.
    pub(super) async fn run(self, lane: usize, way: Way, client: Client, pace: Pace, tally: Tally) {
        let mut caller = way.caller();
        let mut streams = Streams::new(self, lane);
        while let Some(begin) = pace.next().await {
            let Some(stream) = streams.next() else { return };
            let Ok(request) = streams.request(stream) else { return };
            match caller.append(&request).await {
                Ok(ack) => {
                    tally.count(begin, Ok(request.events.len() as u64));
                    streams.versions[stream] = u32::try_from(ack.last_version.0).unwrap_or(u32::MAX);
                }
                Err(error) => {
                    tally.count(begin, Err(&error));
                    streams.ask(stream, &client, &request.entity_id).await;
                }
            }
        }
    }
}

impl Streams {
    fn new(load: Load, lane: usize) -> Self {
        let count = load.streams.saturating_sub(lane).div_ceil(load.lanes);
        let left = if load.once { count } else { usize::MAX };
        Self { load, lane, versions: vec![0; count], at: 0, left }
    }

    /// The index of the stream whose turn it is.
    fn next(&mut self) -> Option<usize> {
        let count = self.versions.len();
        if count == 0 || self.left == 0 {
            return None;
        }
        self.left -= 1;
        let stride = if count.is_multiple_of(STRIDE) { 1 } else { STRIDE };
        self.at = (self.at + stride) % count;
        Some(self.at)
    }

    fn request(&self, stream: usize) -> Result<AppendRequest, NameError> {
        let number = self.load.first + self.lane + stream * self.load.lanes;
        let entity_id = EntityId::new(format!("{}-{number}", self.load.prefix))?;
        let version = u64::from(self.versions[stream]);
        let key = self.load.keys.then(|| IdempotencyKey::new(format!("{entity_id}:{version}")));
        Ok(AppendRequest {
            group: GroupId::DEFAULT,
            entity_id,
            entity_type: self.load.kind.clone(),
            expected: match self.load.guarded {
                true => ExpectedVersion::Exact(StreamVersion(version)),
                false => ExpectedVersion::Any,
            },
            idempotency_key: key.transpose()?,
            events: self.load.events.clone(),
        })
    }

    /// After an error the stream is where it is, which only the server knows.
    async fn ask(&mut self, stream: usize, client: &Client, entity_id: &EntityId) {
        match client.stream(entity_id.as_str()).await {
            Ok(found) => self.versions[stream] = u32::try_from(found.version).unwrap_or(u32::MAX),
            Err(error) if error.code() == Some(ErrorCode::StreamNotFound) => self.versions[stream] = 0,
            Err(_) => {}
        }
    }
}

/// An event whose data has this many bytes, as JSON.
pub(super) fn event_of(size: usize) -> Result<NewEvent, NameError> {
    let frame = r#"{"fill":""}"#.len();
    let data = format!(r#"{{"fill":"{}"}}"#, "x".repeat(size.saturating_sub(frame)));
    Ok(NewEvent {
        id: None,
        name: EventName::new("bench.appended")?,
        schema_version: 1,
        content_type: ContentType::Json,
        data: Bytes::from(data),
        metadata: Bytes::new(),
        occurred_at: None,
        source: EventSource::Api,
        tags: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_event_has_the_size_that_was_asked_for() {
        for size in [16, 256, 100_000] {
            assert_eq!(event_of(size).unwrap().data.len(), size);
        }
    }

    #[test]
    fn the_callers_of_a_run_share_every_stream_out_once() {
        for streams in [1, 7, 100, STRIDE] {
            let load = Load {
                kind: EntityType::new("bench").unwrap(),
                prefix: "p".to_owned(),
                first: 5,
                streams,
                lanes: 3,
                events: vec![event_of(16).unwrap()],
                keys: false,
                guarded: true,
                once: true,
            };
            let mut seen = BTreeSet::new();
            for lane in 0..load.lanes {
                let mut mine = Streams::new(load.clone(), lane);
                while let Some(stream) = mine.next() {
                    assert!(seen.insert(mine.request(stream).unwrap().entity_id.to_string()));
                }
            }
            assert_eq!(seen, (5..5 + streams).map(|number| format!("p-{number}")).collect());
        }
    }
}
