//! Consumer groups over REST, on the leader.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use weir_actors::consumers::{DispatcherCounts, Settle};
use weir_api::{
    ApiError, ErrorCode,
    v1::{
        ConsumerGroupBody, ConsumerGroupChange, ConsumerGroupList, ConsumerGroupView, DeadLetterPage,
        DeadLettersQuery, DeliveryView, EventView, PullQuery, PullResult, ReplayBody, ReplayResult,
        SettleBody, SettleResult, SettlementBody, SettlementView,
    },
};
use weir_types::{ConsumerGroup, ConsumerGroupName, Position, limits};

use super::{
    error::HttpError,
    extract::{Body, Optional, Params, Search},
};
use crate::engine::Engine;

pub(super) async fn create(
    State(engine): State<Arc<Engine>>,
    Body(body): Body<ConsumerGroupBody>,
) -> Result<(StatusCode, Json<ConsumerGroupBody>), HttpError> {
    let group = engine.consumers().create(&body).await?;
    Ok((StatusCode::CREATED, Json(ConsumerGroupBody::from(&group))))
}

pub(super) async fn list(State(engine): State<Arc<Engine>>) -> Result<Json<ConsumerGroupList>, HttpError> {
    let groups = engine.consumers().groups().await?;
    Ok(Json(ConsumerGroupList { groups: groups.iter().map(ConsumerGroupBody::from).collect() }))
}

pub(super) async fn show(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
) -> Result<Json<ConsumerGroupView>, HttpError> {
    let (group, counts) = engine.consumers().show(&ConsumerGroupName::new(name)?).await?;
    Ok(Json(view(&group, counts)))
}

pub(super) async fn change(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Body(change): Body<ConsumerGroupChange>,
) -> Result<Json<ConsumerGroupBody>, HttpError> {
    let group =
        engine.consumers().change(&ConsumerGroupName::new(name)?, |group| change.apply(group)).await?;
    Ok(Json(ConsumerGroupBody::from(&group)))
}

pub(super) async fn delete(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
) -> Result<StatusCode, HttpError> {
    engine.consumers().delete(&ConsumerGroupName::new(name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn pull(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Search(query): Search<PullQuery>,
) -> Result<Json<PullResult>, HttpError> {
    let (most, wait) = query.to_pull()?;
    let pulled = engine.consumers().pull(&ConsumerGroupName::new(name)?, most, wait).await?;
    let delivery = |one: &weir_actors::consumers::Delivery| DeliveryView {
        event: EventView::from(&*one.event),
        attempt: one.attempt,
        desk: pulled.desk,
    };
    Ok(Json(PullResult { deliveries: pulled.given.iter().map(delivery).collect() }))
}

pub(super) async fn settle(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Body(body): Body<SettleBody>,
) -> Result<Json<SettleResult>, HttpError> {
    let (count, max) = (body.settlements.len(), limits::CONSUMER_SETTLE_MAX);
    if count > max {
        let message = format!("{count} verdicts are over the limit of {max}");
        return Err(ApiError::new(ErrorCode::TooLarge, message).with("max", max).into());
    }
    let verdicts = body.settlements.iter().map(settle_of).collect::<Result<Vec<_>, _>>()?;
    let outcomes = engine.consumers().settle(&ConsumerGroupName::new(name)?, verdicts).await?;
    let result = |(asked, outcome): (&SettlementBody, weir_types::Settlement)| SettlementView {
        position: asked.position,
        outcome: outcome.into(),
    };
    Ok(Json(SettleResult { results: body.settlements.iter().zip(outcomes).map(result).collect() }))
}

pub(super) async fn dead_letters(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Search(query): Search<DeadLettersQuery>,
) -> Result<Json<DeadLetterPage>, HttpError> {
    let (after, limit) = query.to_page()?;
    Ok(Json(engine.consumers().dead_letters(&ConsumerGroupName::new(name)?, after, limit).await?))
}

pub(super) async fn replay(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Optional(body): Optional<ReplayBody>,
) -> Result<Json<ReplayResult>, HttpError> {
    let replayed = engine.consumers().replay(&ConsumerGroupName::new(name)?, body.positions).await?;
    Ok(Json(ReplayResult { replayed }))
}

/// A verdict in the words of the desk.
pub(crate) fn settle_of(body: &SettlementBody) -> Result<Settle, ApiError> {
    let verdict = body.verdict.verdict(body.delay_ms)?;
    Ok(Settle { position: Position(body.position), attempt: body.attempt, desk: body.desk, verdict })
}

fn view(group: &ConsumerGroup, counts: DispatcherCounts) -> ConsumerGroupView {
    ConsumerGroupView {
        group: ConsumerGroupBody::from(group),
        checkpoint: counts.checkpoint.0,
        looked: counts.looked.0,
        in_flight: counts.in_flight as u64,
        resting: counts.resting as u64,
        waiting: counts.waiting as u64,
    }
}
