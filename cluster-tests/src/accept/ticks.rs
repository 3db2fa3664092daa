//! Writers of events that are counted while faults come.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::{task::JoinHandle, time::Instant};
use weir_client::{Append, Client, ClientOptions};

use crate::{Cluster, PATIENCE, pause};

/// Their entity type; their name is `tick.ticked`.
const KIND: &str = "tick";
/// Events of one append.
const BATCH: u64 = 100;
const STREAMS: u64 = 50;
const WRITERS: u64 = 4;

/// Writers at work, who go on through every fault.
pub(super) struct Ticks {
    writers: Vec<JoinHandle<Result<()>>>,
    appended: Arc<AtomicU64>,
    /// Events that there will be.
    pub(super) total: u64,
}

impl Ticks {
    /// Begins to append at least so many events.
    pub(super) fn begin(cluster: &Cluster, events: u64) -> Result<Self> {
        let appended = Arc::new(AtomicU64::new(0));
        let appends = events.div_ceil(BATCH * WRITERS);
        let begin = |writer| {
            let client = client(cluster, writer)?;
            Ok(tokio::spawn(write(client, writer, appends, appended.clone())))
        };
        let writers = (0..WRITERS).map(begin).collect::<Result<_>>()?;
        Ok(Self { writers, appended, total: appends * WRITERS * BATCH })
    }

    /// Waits until this part of the events is appended, in parts of `of`.
    pub(super) async fn reach(&self, part: u64, of: u64) -> Result<()> {
        let goal = self.total * part / of;
        let (mut seen, mut end) = (0, Instant::now() + PATIENCE * 2);
        loop {
            let now = self.appended.load(Ordering::Relaxed);
            if now >= goal {
                return Ok(());
            }
            if now > seen {
                (seen, end) = (now, Instant::now() + PATIENCE * 2);
            }
            ensure!(Instant::now() < end, "appends stand still at {now} of {goal}");
            pause().await;
        }
    }

    /// Waits until all are appended.
    pub(super) async fn end(self) -> Result<()> {
        for writer in self.writers {
            writer.await.context("a writer panicked")??;
        }
        Ok(())
    }
}

fn client(cluster: &Cluster, writer: u64) -> Result<Client> {
    let mut urls: Vec<String> = cluster.edges().iter().map(|edge| edge.base().to_owned()).collect();
    let first = usize::try_from(writer)? % urls.len();
    urls.rotate_left(first);
    Ok(Client::new(urls, ClientOptions { deadline: Duration::from_secs(120), ..ClientOptions::default() })?)
}

async fn write(client: Client, writer: u64, appends: u64, appended: Arc<AtomicU64>) -> Result<()> {
    for number in 0..appends {
        let stream = format!("{KIND}-{writer}-{}", number % STREAMS);
        let mut append = Append::to(&stream, KIND);
        for n in 0..BATCH {
            append = append.event("tick.ticked", &json!({ "n": n }));
        }
        client.append(&append.build()?).await?;
        appended.fetch_add(BATCH, Ordering::Relaxed);
    }
    Ok(())
}
