//! Reads what is there at the end: every node whole, JetStream whole, every view.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures::StreamExt as _;
use weir_check::state::{FinalState, JetStreamEnd, Message, NodeEnd, StoredEvent, ViewEnd};

use super::{observer::report, rig::Rig};
use crate::{
    edge::Edge,
    eventually,
    nats::{PublishedEvent, STREAM},
    projections,
};

/// Gathers it. All nodes have applied up to `last`; outbox and projections may take `catch_up` to follow.
///
/// # Errors
/// When a node does not answer, or something does not catch up.
pub async fn gather(rig: &Rig, last: u64, catch_up: Duration) -> Result<FinalState> {
    let mut end = FinalState::default();
    for node in &rig.nodes {
        // On a busy machine a healthy node may answer late; what it holds now stays as it is.
        let what = format!("node {} shows all that it holds", node.id);
        let whole = eventually(&what, catch_up, || async {
            let events = stored(&node.edge, node.id).await?;
            let report = report(&node.edge, rig.directory.lives(node.id)).await;
            let (id, report) = report.with_context(|| format!("node {} tells no state", node.id))?;
            let views = views(&node.edge, id, last, catch_up).await?;
            Ok((NodeEnd { node: id, report, events }, views))
        });
        let (node, views) = whole.await?;
        end.nodes.push(node);
        end.views.extend(views);
    }
    if !rig.nats.is_empty() {
        let whole =
            eventually("JetStream shows all that it holds", catch_up, || messages(rig, last, catch_up));
        end.jetstream = Some(JetStreamEnd { messages: whole.await?, trimmed_to: 0 });
    }
    Ok(end)
}

async fn stored(edge: &Edge, node: u64) -> Result<Vec<StoredEvent>> {
    let replica = edge.replica(node).await.with_context(|| format!("cannot read node {node}"))?;
    Ok(replica.events.into_iter().map(stored_event).collect())
}

/// What a node holds, as the checkers take it.
#[must_use]
pub fn stored_event(event: crate::replica::StoredEvent) -> StoredEvent {
    StoredEvent {
        position: event.position,
        version: event.version,
        mark: event.op().unwrap_or_default().to_owned(),
        stream: event.entity_id,
        name: event.name,
        id: event.id,
        data: event.data,
        ..StoredEvent::default()
    }
}

async fn views(edge: &Edge, node: u64, last: u64, catch_up: Duration) -> Result<Vec<ViewEnd>> {
    let mut all = Vec::new();
    for name in edge.projections().await?.iter().map(|one| one.name.as_str()) {
        let what = format!("node {node} has folded `{name}`");
        let checkpoint = eventually(&what, catch_up, || async {
            let status = edge.projection(name).await?;
            ensure!(status.checkpoint >= last, "{} of {last}; {:?}", status.checkpoint, status.error_message);
            Ok(status.checkpoint)
        })
        .await?;
        for (partition, value) in projections::views(edge, name).await? {
            let projection = name.to_owned();
            all.push(ViewEnd { node, projection, partition, checkpoint, value: Some(value) });
        }
    }
    Ok(all)
}

async fn messages(rig: &Rig, last: u64, catch_up: Duration) -> Result<Vec<Message>> {
    let stream = eventually("the outbox has caught up", catch_up, || async {
        let mut stream = rig.jetstream().await?.get_stream(STREAM).await?;
        let state = &stream.info().await?.state;
        ensure!(state.last_sequence >= last, "JetStream is at {} of {last}", state.last_sequence);
        Ok(stream)
    })
    .await?;
    let total = stream.cached_info().state.messages;
    let config = pull::Config {
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::None,
        memory_storage: true,
        num_replicas: 1,
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await.context("cannot read JetStream")?;
    let mut messages = Vec::new();
    while (messages.len() as u64) < total {
        let mut batch = consumer.fetch().max_messages(1_000).messages().await?;
        let before = messages.len();
        while let Some(message) = batch.next().await {
            let message = message.map_err(|error| anyhow::anyhow!("cannot read JetStream: {error}"))?;
            messages.push(published(PublishedEvent::of(&message)?));
        }
        ensure!(messages.len() > before, "JetStream gave {before} of {total} messages and no more");
    }
    Ok(messages)
}

/// What JetStream holds, as the checkers take it.
#[must_use]
pub fn published(told: PublishedEvent) -> Message {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &serde_json::Value| {
        value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok())).unwrap_or(0)
    };
    Message {
        sequence: told.sequence,
        position: told.position,
        stream: text(&told.event["entityId"]),
        version: number(&told.event["version"]),
        mark: text(&told.event["data"]["op"]),
    }
}
