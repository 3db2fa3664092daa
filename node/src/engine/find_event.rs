//! Where an event lies, by its id. There is no index by id: an event that is asked for so was appended a moment ago,
//! as a rule, and lies among the newest.

use std::pin::pin;

use tokio::time::{Instant, sleep_until};
use weir_actors::live::Frame;
use weir_api::ApiError;
use weir_types::{
    EventId, Pattern, Position, ReadError, Selector, Slow, SubscribeRequest, SubscriptionStart, Timestamp,
    limits::{EVENT_LOOK_BACK_BYTES_MAX, EVENT_LOOK_BACK_MAX, SUBSCRIPTION_HEARTBEAT_MS_DEFAULT},
};

use super::Engine;
use crate::live::end::end_error;

/// Events that one read of the search asks for.
const PAGE_EVENTS: u64 = 512;
/// Newest events among which every search begins.
const NEWEST_EVENTS: u64 = PAGE_EVENTS;
/// How far the time in an id may lie from the recorded time of its event, in microseconds.
const SLACK_MICROS: i64 = 1_000_000;
/// Events of that time that are looked at.
const OF_ITS_TIME_MAX: u64 = 50_000;

impl Engine {
    /// The position of an event, as soon as it is applied here; `None` when it did not come to light until `deadline`.
    ///
    /// # Errors
    /// A [`ReadError`], or why the log could not be followed.
    pub(super) async fn find_event(
        &self,
        id: EventId,
        deadline: Instant,
    ) -> Result<Option<Position>, ApiError> {
        let applied = self.ports.reader.applied(self.group);
        let floor = Position(applied.0.saturating_sub(NEWEST_EVENTS));
        if let Some(found) = self.look_back(id, applied, floor).await? {
            return Ok(Some(found));
        }
        // Whatever is not among those yet follows them, and is not missed from here on.
        let mut coming = self.subscribe(all_after(applied)).await?;
        let mut older = pin!(self.find_older(id, floor));
        let mut looking = true;
        loop {
            tokio::select! {
                found = &mut older, if looking => match found? {
                    Some(found) => return Ok(Some(found)),
                    None => looking = false,
                },
                frame = coming.next() => match frame {
                    Some(Frame::Event { event, .. }) if event.event().id == id => {
                        return Ok(Some(event.event().position));
                    }
                    Some(Frame::Ended { reason, cursor }) => return Err(end_error(reason, cursor)),
                    Some(_) => {}
                    None => return Ok(None),
                },
                () = sleep_until(deadline) => return Ok(None),
            }
        }
    }

    /// Looks where the time in the id points to, then back from `top`.
    async fn find_older(&self, id: EventId, top: Position) -> Result<Option<Position>, ReadError> {
        if let Some(time) = time_of(id)
            && let Some(found) = self.find_at(id, time, top).await?
        {
            return Ok(Some(found));
        }
        let floor = Position(top.0.saturating_sub(EVENT_LOOK_BACK_MAX));
        self.look_back(id, top, floor).await
    }

    /// Looks at the events that were recorded about when the id was made. Recorded times rise with positions, but for
    /// a leader whose clock is behind the one's before; then it may miss, and who looks back does not.
    async fn find_at(
        &self,
        id: EventId,
        time: Timestamp,
        top: Position,
    ) -> Result<Option<Position>, ReadError> {
        let (mut low, mut high) = (1, top.0.saturating_add(1));
        while low < high {
            let middle = low + (high - low) / 2;
            let events = self.ports.reader.read_log(self.group, Position(middle), 1).await?;
            match events.first() {
                Some(event) if event.recorded_at.0 < time.0.saturating_sub(SLACK_MICROS) => low = middle + 1,
                _ => high = middle,
            }
        }
        let (mut at, end) = (low, low.saturating_add(OF_ITS_TIME_MAX).min(top.0));
        while at <= end {
            let limit = usize::try_from(PAGE_EVENTS.min(end - at + 1)).unwrap_or(usize::MAX);
            let events = self.ports.reader.read_log(self.group, Position(at), limit).await?;
            if let Some(found) = events.iter().find(|event| event.id == id) {
                return Ok(Some(found.position));
            }
            let Some(last) = events.last() else { break };
            if last.recorded_at.0 > time.0.saturating_add(SLACK_MICROS) {
                break;
            }
            at = last.position.0 + 1;
        }
        Ok(None)
    }

    /// Looks from `top` down to what follows `floor`, page by page.
    async fn look_back(
        &self,
        id: EventId,
        top: Position,
        floor: Position,
    ) -> Result<Option<Position>, ReadError> {
        let (mut end, mut bytes) = (top.0, 0);
        while end > floor.0 && bytes < EVENT_LOOK_BACK_BYTES_MAX {
            let begin = end.saturating_sub(PAGE_EVENTS).max(floor.0);
            let mut at = begin;
            while at < end {
                let limit = usize::try_from(end - at).unwrap_or(usize::MAX);
                let events = self.ports.reader.read_log(self.group, Position(at + 1), limit).await?;
                let Some(last) = events.last() else { break };
                at = last.position.0;
                bytes += events.iter().map(|event| event.data.len() + event.metadata.len()).sum::<usize>();
                if let Some(found) = events.iter().find(|event| event.id == id) {
                    return Ok(Some(found.position));
                }
            }
            end = begin;
        }
        Ok(None)
    }
}

/// When an id was made, if it says so.
fn time_of(id: EventId) -> Option<Timestamp> {
    if id.0.get_version_num() != 7 {
        return None;
    }
    let millis = i64::try_from(id.0.as_u128() >> 80).ok()?;
    millis.checked_mul(1_000).map(Timestamp)
}

fn all_after(position: Position) -> SubscribeRequest {
    SubscribeRequest {
        selector: Selector::Pattern(Pattern::everything()),
        filter: None,
        start: SubscriptionStart::AfterPosition(position),
        slow: Slow::Disconnect,
        heartbeat: std::time::Duration::from_millis(SUBSCRIPTION_HEARTBEAT_MS_DEFAULT),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use weir_actors::EventIds;

    use super::*;

    #[test]
    fn an_id_that_the_server_made_says_when() {
        let id = EventIds::seeded(1).next(Timestamp(1_700_000_000_123_456));
        assert_eq!(time_of(id), Some(Timestamp(1_700_000_000_123_000)));
        assert_eq!(time_of(EventId(Uuid::from_u128(7))), None);
    }
}
