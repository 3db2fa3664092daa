//! A real nats-server, and a reader of what JetStream holds.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, DeliverPolicy, pull},
};
use futures::StreamExt;
use serde_json::Value;

use crate::{binary, eventually, port::free_ports, process::Process};

/// The stream of the namespace `default/default`.
pub const STREAM: &str = "WEIR_1";

/// A nats-server with JetStream on a port of its own, which it keeps over restarts.
#[derive(Debug)]
pub struct NatsServer {
    port: u16,
    dir: PathBuf,
    process: Option<Process>,
}

impl NatsServer {
    /// Starts one that keeps its data in `dir`, and waits until it serves.
    ///
    /// # Errors
    /// When there is no nats-server, or it does not serve in time.
    pub async fn start(dir: &Path) -> Result<Self> {
        let mut server = Self { port: free_ports(1)?[0], dir: dir.to_owned(), process: None };
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        server.restart().await?;
        Ok(server)
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Ends it at once (SIGKILL).
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    /// Starts it again on its port and its data, and waits until it serves.
    ///
    /// # Errors
    /// When it does not serve in time.
    pub async fn restart(&mut self) -> Result<()> {
        let mut command = Command::new(binary::nats_server()?);
        command.args(["--addr", "127.0.0.1", "--port", &self.port.to_string(), "--jetstream", "--store_dir"]);
        command.arg(self.dir.join("store"));
        self.process = Some(Process::start("nats-server", &mut command, &self.dir.join("nats.log"))?);
        let url = self.url();
        eventually("nats-server serves JetStream", Duration::from_secs(20), || async {
            let context = jetstream::new(async_nats::connect(&url).await?);
            context.query_account().await?;
            Ok(())
        })
        .await
    }

    /// Deletes the stream, as an operator's slip would.
    ///
    /// # Errors
    /// When NATS refuses.
    pub async fn delete_stream(&self) -> Result<()> {
        let context = jetstream::new(async_nats::connect(self.url()).await?);
        context.delete_stream(STREAM).await.context("cannot delete the stream")?;
        Ok(())
    }

    /// How many messages the stream holds, its first and its last sequence.
    ///
    /// # Errors
    /// When NATS is not there, or has no such stream.
    pub async fn extent(&self) -> Result<StreamExtent> {
        let context = jetstream::new(async_nats::connect(self.url()).await?);
        let mut stream = context.get_stream(STREAM).await?;
        let state = &stream.info().await?.state;
        Ok(StreamExtent { messages: state.messages, first: state.first_sequence, last: state.last_sequence })
    }

    /// The consumers that nodes have, by name, with the sequence of the last message that each was given.
    ///
    /// # Errors
    /// When NATS is not there, or has no such stream.
    pub async fn consumers(&self) -> Result<BTreeMap<String, u64>> {
        let context = jetstream::new(async_nats::connect(self.url()).await?);
        let stream = context.get_stream(STREAM).await?;
        let mut consumers = BTreeMap::new();
        let mut listed = stream.consumers();
        while let Some(info) = listed.next().await {
            let info = info.map_err(|error| anyhow::anyhow!("cannot list consumers: {error}"))?;
            consumers.insert(info.name, info.delivered.stream_sequence);
        }
        consumers.retain(|name, _| name.starts_with("weir-"));
        Ok(consumers)
    }

    /// Every message of the stream, in order.
    ///
    /// # Errors
    /// When NATS is not there, a message carries no position or no event, or fewer come than there are.
    pub async fn published(&self) -> Result<Vec<PublishedEvent>> {
        let total = self.extent().await?.messages;
        let context = jetstream::new(async_nats::connect(self.url()).await?);
        let config = pull::Config {
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::None,
            ..Default::default()
        };
        let consumer = context.create_consumer_on_stream(config, STREAM).await?;
        let mut events = Vec::new();
        while (events.len() as u64) < total {
            let mut batch = consumer.fetch().max_messages(500).messages().await?;
            let before = events.len();
            while let Some(message) = batch.next().await {
                let message = message.map_err(|error| anyhow::anyhow!("JetStream read failed: {error}"))?;
                events.push(PublishedEvent::of(&message)?);
            }
            ensure!(events.len() > before, "JetStream gave {before} of {total} messages and no more");
        }
        Ok(events)
    }
}

/// What a stream says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamExtent {
    /// Messages in it.
    pub messages: u64,
    /// Sequence of the first one.
    pub first: u64,
    /// Sequence of the last one.
    pub last: u64,
}

/// One message of the stream, as an outside reader finds it.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishedEvent {
    /// JetStream's number for it.
    pub sequence: u64,
    /// The position in its header.
    pub position: u64,
    /// Its subject.
    pub subject: String,
    /// The event.
    pub event: Value,
}

impl PublishedEvent {
    /// The event of a message.
    ///
    /// # Errors
    /// When it carries no position or no event.
    pub fn of(message: &jetstream::Message) -> Result<Self> {
        let info =
            message.info().map_err(|error| anyhow::anyhow!("message without JetStream info: {error}"))?;
        let Some(position) = message.headers.as_ref().and_then(|headers| headers.get("Weir-Position")) else {
            bail!("message {} carries no Weir-Position", info.stream_sequence);
        };
        let position = position.as_str().parse().context("Weir-Position is not a number")?;
        let event = serde_json::from_slice(&message.payload).context("message is not JSON")?;
        let subject = message.subject.to_string();
        Ok(Self { sequence: info.stream_sequence, position, subject, event })
    }
}
