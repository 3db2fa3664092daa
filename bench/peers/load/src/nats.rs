//! NATS JetStream: a stream of three replicas on file, a subject per entity, and the expected last sequence of the
//! subject as the guard.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use async_nats::jetstream::{
    self,
    context::PublishErrorKind,
    message::PublishMessage,
    stream::{Config, StorageType},
};
use bytes::Bytes;

use crate::{
    args::Args,
    measure::{Peer, Writer},
};

const STREAM: &str = "BENCH";
/// Connections, all to the server that leads the stream: the best case of this peer.
const CONNECTIONS: usize = 4;
/// How long the three servers may take to find each other.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Nats {
    contexts: Vec<jetstream::Context>,
    event: Bytes,
}

impl Nats {
    /// `--url n1=nats://…,n2=nats://…`: with the servers' names, because the leader is known by name.
    pub async fn connect(args: &Args) -> Result<Self> {
        let servers = args.urls.iter().map(|url| url.split_once('=').context("an URL is NAME=URL"));
        let servers: Vec<(&str, &str)> = servers.collect::<Result<_>>()?;
        let context = jetstream::new(async_nats::connect(servers[0].1).await?);
        let leader = make_stream(&context, servers.len()).await?;
        let url =
            servers.iter().find(|(name, _)| *name == leader).context("the stream's leader has no URL")?.1;
        let mut contexts = Vec::new();
        for _ in 0..CONNECTIONS {
            contexts.push(jetstream::new(async_nats::connect(url).await?));
        }
        Ok(Self { contexts, event: args.event().into() })
    }
}

/// Makes the stream once JetStream is up, and returns who leads it.
async fn make_stream(context: &jetstream::Context, replicas: usize) -> Result<String> {
    let config = Config {
        name: STREAM.to_owned(),
        subjects: vec!["bench.>".to_owned()],
        storage: StorageType::File,
        num_replicas: replicas,
        ..Config::default()
    };
    let end = Instant::now() + PATIENCE;
    loop {
        let stream = context.get_or_create_stream(config.clone()).await;
        let leader = match stream {
            Ok(mut stream) => stream.info().await.ok().and_then(|info| {
                let cluster = info.cluster.as_ref()?;
                let others = cluster.replicas.iter().filter(|replica| replica.current).count();
                cluster.leader.clone().filter(|leader| !leader.is_empty() && others + 1 >= replicas)
            }),
            Err(_) => None,
        };
        match leader {
            Some(leader) => return Ok(leader),
            None if Instant::now() > end => bail!("JetStream has no leader for the stream"),
            None => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

impl Peer for Nats {
    type Writer = NatsWriter;

    fn writer(&self, run: &str, caller: usize) -> NatsWriter {
        let context = self.contexts[caller % self.contexts.len()].clone();
        NatsWriter { context, prefix: format!("bench.{run}."), event: self.event.clone() }
    }
}

pub struct NatsWriter {
    context: jetstream::Context,
    prefix: String,
    event: Bytes,
}

impl Writer for NatsWriter {
    async fn append(&mut self, stream: usize, guard: u64) -> Result<u64, String> {
        let message =
            PublishMessage::build().payload(self.event.clone()).expected_last_subject_sequence(guard);
        let subject = format!("{}{stream}", self.prefix);
        let sent = self.context.send_publish(subject, message).await;
        let acked = match sent {
            Ok(ack) => ack.await,
            Err(error) => Err(error),
        };
        acked.map(|ack| ack.sequence).map_err(|error| match error.kind() {
            PublishErrorKind::WrongLastSequence => "conflict".to_owned(),
            other => other.to_string(),
        })
    }
}
