//! What workers of the harness fold, and what must have come of it: a chain over positions, in which an event that is
//! missing, comes twice or comes out of order leaves another value.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use weir_client::{
    Client, RegisterProjectionRequest,
    v1::{PartitionsQuery, ViewQuery},
};

use crate::{binary, process::Process};

/// The state of one partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folded {
    /// Events.
    pub count: u64,
    /// Their positions, chained.
    pub chain: u64,
}

/// Takes an event.
pub fn fold(state: &mut Folded, position: u64) {
    state.count += 1;
    // Below 2^53, which JSON holds.
    state.chain = state.chain.wrapping_mul(1_000_003).wrapping_add(position) & 0xf_ffff_ffff_ffff;
}

/// A worker as a process of its own.
///
/// # Errors
/// When it cannot be started.
pub fn start_worker(
    folder: &std::path::Path,
    urls: &[String],
    (projection, id): (&str, &str),
    (batch, delay): (u32, Duration),
) -> Result<Process> {
    let mut command = std::process::Command::new(binary::beside("fold-worker")?);
    let delay = delay.as_millis().to_string();
    command.args([&urls.join(","), projection, id, &batch.to_string(), &delay]);
    Process::start(id, &mut command, &folder.join(format!("{id}.log")))
}

/// What a harness asks for of a projection of workers.
#[must_use]
pub fn registration(name: &str, pattern: &str, lease: Duration) -> RegisterProjectionRequest {
    RegisterProjectionRequest {
        name: name.to_owned(),
        events: vec![pattern.to_owned()],
        partition_key: "$.data.partition".to_owned(),
        lease_ms: u64::try_from(lease.as_millis()).ok(),
        // Kills are not the handler's fault.
        deliveries_max: Some(1_000),
        ..RegisterProjectionRequest::default()
    }
}

/// All partitions' states, as one node has applied them.
///
/// # Errors
/// When the node does not answer.
pub async fn states(client: &Client, name: &str) -> Result<BTreeMap<String, Folded>> {
    let mut all = BTreeMap::new();
    let page = client
        .partitions(name, &PartitionsQuery { limit: Some(1_000), ..PartitionsQuery::default() })
        .await?;
    for partition in page.partitions {
        let query = ViewQuery { partition: Some(partition.clone()), ..ViewQuery::default() };
        let view = client.projection(name, &query).await?;
        let state = view.state.with_context(|| format!("partition {partition} has no state"))?;
        all.insert(partition, serde_json::from_value(state.state)?);
    }
    Ok(all)
}

/// The fold of the events themselves, which all have a partition, and the position of the last of them.
///
/// # Errors
/// When the log cannot be read.
pub async fn expected(client: &Client, name: &str) -> Result<(BTreeMap<String, Folded>, u64)> {
    #[derive(Deserialize)]
    struct Data {
        partition: String,
    }
    let (mut all, mut from): (BTreeMap<String, Folded>, u64) = (BTreeMap::new(), 1);
    let mut last = 0;
    loop {
        let page = client.read_log(from, 1_000).await?;
        let Some(newest) = page.events.last() else { return Ok((all, last)) };
        from = newest.position + 1;
        for event in page.events.iter().filter(|event| event.name == name) {
            let data: Data = serde_json::from_str(event.data.get())?;
            fold(all.entry(data.partition).or_default(), event.position);
            last = event.position;
        }
    }
}

/// Compares.
///
/// # Errors
/// Naming the first partition that differs.
pub fn same(found: &BTreeMap<String, Folded>, wanted: &BTreeMap<String, Folded>) -> Result<()> {
    for (partition, wanted) in wanted {
        let found = found.get(partition);
        ensure!(found == Some(wanted), "partition {partition} is {found:?} and not {wanted:?}");
    }
    ensure!(found.len() == wanted.len(), "there are {} partitions and not {}", found.len(), wanted.len());
    Ok(())
}
