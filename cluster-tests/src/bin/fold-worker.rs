//! A worker as a process, to be killed and paused: folds a projection of the harness and prints what becomes of it.

use std::{io::Write as _, time::Duration};

use anyhow::{Context as _, Result};
use weir_client::{Client, ClientOptions, JsonText, SaveProjectionRequest, v1::PollQuery};
use weir_cluster_tests::{
    folding::{Folded, fold},
    pause, window,
};

/// How long one poll waits.
const WAIT_MS: u64 = 2_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut given = std::env::args().skip(1);
    let mut next = |what: &str| given.next().with_context(|| format!("{what} is missing"));
    let (urls, name, id) = (next("urls")?, next("projection")?, next("worker")?);
    let (batch, delay_ms) = (next("batch")?.parse()?, next("delay")?.parse()?);
    let options = ClientOptions { deadline: Duration::from_secs(20), ..ClientOptions::default() };
    let client = Client::new(urls.split(','), options)?;
    loop {
        let query = PollQuery { worker_id: id.clone(), max: Some(batch), wait_ms: Some(WAIT_MS) };
        let polled = match client.poll_projection(&name, &query).await {
            Ok(polled) if !polled.events.is_empty() => polled,
            Ok(_) => continue,
            Err(error) => {
                say(&format!("failed {error}"))?;
                pause().await;
                continue;
            }
        };
        say(&format!("polled {} {}", polled.lease_number, polled.events.len()))?;
        let stored = polled.current_state.as_ref().map(|state| serde_json::from_str(state.get()));
        let mut state: Folded = stored.transpose()?.unwrap_or_default();
        for event in &polled.events {
            fold(&mut state, event.seq);
        }
        window(Duration::from_millis(delay_ms)).await;
        let Some(last) = polled.events.last() else { continue };
        let save = SaveProjectionRequest {
            name: name.clone(),
            partition_key: polled.partition.clone(),
            state: Some(JsonText::from(&serde_json::to_value(state)?)),
            last_event_id: last.id.clone(),
            last_event_seq: last.seq,
            worker_id: id.clone(),
            lease_number: Some(polled.lease_number),
        };
        match client.save_projection(&save).await {
            Ok(()) => say(&format!("saved {} {}", polled.lease_number, polled.events.len()))?,
            Err(error) => say(&format!("refused {} {error}", error.code().map_or("", |code| code.as_str())))?,
        }
    }
}

/// A line that is there at once, whatever becomes of this process.
fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
