use std::{collections::VecDeque, time::Duration};

use futures::{Stream, stream};
use reqwest::Method;
use weir_api::{
    format_timestamp,
    v1::{EventView, Freshness, LogPage, LogQuery, ReadPage, ReadQuery, StateQuery, StateView, paths},
};
use weir_types::{Direction, Moment};

use crate::{Client, ClientError, client::Call, retry::Repeat};

/// Where a read begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// At the stream's start; at its end when the read goes backward.
    #[default]
    Edge,
    /// At this version, inclusive.
    Version(u64),
}

/// How to read a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadOptions {
    /// Where the read begins.
    pub start: Start,
    /// Which way it goes.
    pub direction: Direction,
    /// Events per page; `None` is the server's default.
    pub page: Option<u64>,
    /// `None` is linearizable, unless `min_position` is given.
    pub freshness: Option<Freshness>,
    /// A position that the answer must reflect.
    pub min_position: Option<u64>,
    /// How long the server waits for an event when there is none.
    pub wait: Duration,
    /// Whether events are given as they are in the log, without upcasters.
    pub raw: bool,
    /// The moment of the stream's past that is asked for; now where no part of it is given.
    pub moment: Moment,
}

impl ReadOptions {
    pub(crate) fn query(&self) -> ReadQuery {
        ReadQuery {
            from_version: match self.start {
                Start::Edge => None,
                Start::Version(version) => Some(version),
            },
            limit: self.page,
            direction: (self.direction == Direction::Backward).then(|| "backward".into()),
            consistency: self.freshness,
            min_position: self.min_position,
            wait_ms: u64::try_from(self.wait.as_millis()).ok().filter(|wait| *wait > 0),
            raw: self.raw,
            as_of: self.moment.as_of.map(format_timestamp),
            at: self.moment.at.map(format_timestamp),
            as_of_version: self.moment.as_of_version.map(|version| version.0),
        }
    }
}

/// A read under way: what came and is not given out yet, and where to go on.
struct Pages {
    client: Client,
    entity_id: String,
    options: ReadOptions,
    ready: VecDeque<EventView>,
    done: bool,
}

impl Client {
    /// One page of a stream. A stream without events is an empty page.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn read_page(&self, entity_id: &str, options: ReadOptions) -> Result<ReadPage, ClientError> {
        let (path, query) = (paths::fill(paths::STREAM_EVENTS, entity_id), options.query());
        let call = Call::new(Method::GET, &path, Repeat::Harmless).query(&query).wait(options.wait);
        self.call(call).await
    }

    /// The events of a stream, page after page, until its end as it is then.
    /// The first error ends it.
    pub fn read(
        &self,
        entity_id: &str,
        options: ReadOptions,
    ) -> impl Stream<Item = Result<EventView, ClientError>> + Send + use<> {
        let pages = Pages {
            client: self.clone(),
            entity_id: entity_id.to_owned(),
            options,
            ready: VecDeque::new(),
            done: false,
        };
        stream::try_unfold(pages, |mut pages| async move {
            while pages.ready.is_empty() && !pages.done {
                pages.fetch().await?;
            }
            Ok(pages.ready.pop_front().map(|event| (event, pages)))
        })
    }

    /// A stream's state as of any moment, through a virtual projection or else through the invariant of its entity type.
    ///
    /// # Errors
    /// [`ClientError`]; `rules_not_found` where the type has no invariant, `projection_not_found`, `state_failed`.
    pub async fn state(
        &self,
        entity_id: &str,
        projection: Option<&str>,
        moment: Moment,
    ) -> Result<StateView, ClientError> {
        let path = paths::fill(paths::STREAM_STATE, entity_id);
        let query = StateQuery {
            projection: projection.map(str::to_owned),
            as_of: moment.as_of.map(format_timestamp),
            at: moment.at.map(format_timestamp),
            as_of_version: moment.as_of_version.map(|version| version.0),
            ..StateQuery::default()
        };
        self.call(Call::new(Method::GET, &path, Repeat::Harmless).query(&query)).await
    }

    /// Events by position, oldest first, from what the answering node has applied.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn read_log(&self, from_position: u64, limit: u64) -> Result<LogPage, ClientError> {
        let query =
            LogQuery { from_position: Some(from_position), limit: Some(limit), ..LogQuery::default() };
        self.search_log(&query).await
    }

    /// One page of the log, either way and through a filter.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn search_log(&self, query: &LogQuery) -> Result<LogPage, ClientError> {
        self.call(Call::new(Method::GET, paths::LOG, Repeat::Harmless).query(query)).await
    }
}

impl Pages {
    async fn fetch(&mut self) -> Result<(), ClientError> {
        let page = self.client.read_page(&self.entity_id, self.options).await?;
        self.done = page.next_version.is_none();
        if let Some(next) = page.next_version {
            self.options.start = Start::Version(next);
        }
        self.options.wait = Duration::ZERO;
        self.ready.extend(page.events);
        Ok(())
    }
}
