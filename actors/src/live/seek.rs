use tokio::time::Instant;
use weir_types::{
    Direction, EntityId, GroupId, Position, ReadError, Selector, StreamRead, StreamVersion,
    SubscriptionStart,
    limits::{
        SUBSCRIPTION_LOOK_BACK_BYTES_MAX, SUBSCRIPTION_LOOK_BACK_MAX, SUBSCRIPTION_LOOK_BACK_TIME_MAX,
        SUBSCRIPTION_PAGE_EVENTS_MAX,
    },
    ports::EventReader,
};

use super::hub::Sought;

/// Finds where a subscription begins.
pub(super) async fn seek(
    reader: &dyn EventReader,
    group: GroupId,
    selector: &Selector,
    start: SubscriptionStart,
) -> Result<Sought, ReadError> {
    let at = |seen, version| Ok(Sought { seen, version, found: None });
    match (selector, start) {
        (_, SubscriptionStart::Cursor(cursor)) => at(cursor.position, cursor.version),
        (Selector::Stream(_), SubscriptionStart::AfterVersion(version)) => at(Position::ZERO, version),
        // Refused at the edge: a version says nothing of more than one stream.
        (Selector::Pattern(_), SubscriptionStart::AfterVersion(_)) => at(Position::ZERO, StreamVersion::ZERO),
        (Selector::Pattern(_), SubscriptionStart::AfterPosition(position)) => {
            at(position, StreamVersion::ZERO)
        }
        (Selector::Pattern(_), SubscriptionStart::Now) => at(reader.applied(group), StreamVersion::ZERO),
        (Selector::Pattern(_), SubscriptionStart::Last(count)) => {
            last_of_log(reader, group, selector, count).await
        }
        (Selector::Stream(entity), start) => of_stream(reader, group, entity, start).await,
    }
}

async fn of_stream(
    reader: &dyn EventReader,
    group: GroupId,
    entity: &EntityId,
    start: SubscriptionStart,
) -> Result<Sought, ReadError> {
    let applied = reader.applied(group);
    let head = reader.head(group, entity).await?;
    let (version, last) =
        head.map_or((StreamVersion::ZERO, Position::ZERO), |head| (head.version, head.last_position));
    match start {
        SubscriptionStart::Last(count) => {
            let found = Some(count.min(version.0));
            let before = StreamVersion(version.0.saturating_sub(count));
            Ok(Sought { seen: Position::ZERO, version: before, found })
        }
        SubscriptionStart::AfterPosition(position) => {
            let version = version_at(reader, group, entity, version, position).await?;
            Ok(Sought { seen: position, version, found: None })
        }
        // The head was read after the applied position and may be newer: both are exact at the later of them.
        _ => Ok(Sought { seen: applied.max(last), version, found: None }),
    }
}

/// The version of a stream's last event that is not after a position.
async fn version_at(
    reader: &dyn EventReader,
    group: GroupId,
    entity: &EntityId,
    head: StreamVersion,
    position: Position,
) -> Result<StreamVersion, ReadError> {
    let (mut low, mut high) = (0, head.0);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let read = StreamRead {
            group,
            entity_id: entity.clone(),
            from: Some(StreamVersion(middle)),
            direction: Direction::Forward,
            limit: 1,
        };
        let page = reader.read_stream(read).await?;
        match page.events.first() {
            Some(event) if event.position <= position => low = middle,
            _ => high = middle - 1,
        }
    }
    Ok(StreamVersion(low))
}

/// Looks back from the end, page by page, for as many events, as far as its bounds go.
async fn last_of_log(
    reader: &dyn EventReader,
    group: GroupId,
    selector: &Selector,
    count: u64,
) -> Result<Sought, ReadError> {
    let applied = reader.applied(group).0;
    let floor = applied.saturating_sub(SUBSCRIPTION_LOOK_BACK_MAX);
    let (mut end, mut found, mut bytes) = (applied, 0, 0);
    let until = Instant::now() + SUBSCRIPTION_LOOK_BACK_TIME_MAX;
    let within = |bytes| bytes < SUBSCRIPTION_LOOK_BACK_BYTES_MAX && Instant::now() < until;
    while end > floor && found < count && within(bytes) {
        let begin = end.saturating_sub(SUBSCRIPTION_PAGE_EVENTS_MAX as u64).max(floor);
        let (mut matching, read) = matching(reader, group, selector, begin, end).await?;
        bytes += read;
        let wanted = usize::try_from(count - found).unwrap_or(usize::MAX);
        let surplus = matching.len().saturating_sub(wanted);
        found += (matching.len() - surplus) as u64;
        end = match surplus {
            0 if found < count => begin,
            _ => matching.swap_remove(surplus).0 - 1,
        };
    }
    Ok(Sought { seen: Position(end), version: StreamVersion::ZERO, found: Some(found) })
}

/// The positions after `begin` up to `end` that are asked for, in order, and the bytes that were read.
async fn matching(
    reader: &dyn EventReader,
    group: GroupId,
    selector: &Selector,
    begin: u64,
    end: u64,
) -> Result<(Vec<Position>, usize), ReadError> {
    let (mut at, mut found, mut bytes) = (begin, Vec::new(), 0);
    while at < end {
        let limit = usize::try_from(end - at).unwrap_or(usize::MAX);
        let page = reader.read_log(group, Position(at + 1), limit).await?;
        let Some(last) = page.last().map(|event| event.position.0) else { break };
        bytes += page.iter().map(|event| event.data.len() + event.metadata.len()).sum::<usize>();
        found.extend(page.iter().filter(|event| selector.takes(event)).map(|event| event.position));
        at = last;
    }
    Ok((found, bytes))
}
