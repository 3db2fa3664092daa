//! Events that the cluster itself sends to a server outside, which refuses some, and takes some without saying so: each
//! is sent, under its own id, and none for the first time before the ones before it were taken.

mod hook;

use std::{
    net::UdpSocket,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use serde_json::json;
use tokio::net::TcpListener;
use weir_api::v1::paths;
use weir_check::effects::{Reply, judge};

use self::hook::Hook;
use super::{Context, Workload, caller::Caller, crew::Crew, writer::write};
use crate::{edge::Edge, eventually};

/// Its name.
const NAME: &str = "effects";
const STREAMS: u64 = 5;
/// Between two appends of the writer.
const WRITE_PACE: Duration = Duration::from_millis(120);
/// How long the last events may take: pauses between tries grow to ten seconds.
const LAST: Duration = Duration::from_secs(90);

/// Effects.
#[derive(Default)]
pub struct Effects {
    hook: Mutex<Option<Hook>>,
}

#[async_trait]
impl Workload for Effects {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn prepare(&self, context: &Context) -> Result<()> {
        let (_, edge) = context.nodes.all().into_iter().next().context("a cluster has nodes")?;
        let listener = TcpListener::bind("0.0.0.0:0").await?;
        let url = format!("http://{}:{}/", own_address(&edge)?, listener.local_addr()?.port());
        let hook = Hook::serve(listener, context.rng(NAME));
        *self.hook.lock().unwrap_or_else(PoisonError::into_inner) = Some(hook);
        let body = json!({
            "events": [format!("{NAME}.*"), NAME], "mode": "external", "webhook": { "url": url },
            "deliveriesMax": 1_000, "leaseMs": 2_000,
        });
        context.make(&paths::fill(paths::PROJECTION_WORKER, NAME), &body, &[200]).await
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        crew.hire(write(Caller::new(context, NAME), NAME, STREAMS, WRITE_PACE));
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        let mut caller = Caller::new(context, NAME);
        let (_, edge) = context.nodes.all().into_iter().next().context("a cluster has nodes")?;
        let log = edge.replica(1).await?.events;
        let due: Vec<(u64, String)> = log
            .into_iter()
            .filter(|event| event.entity_type == NAME)
            .map(|event| (event.position, event.id.to_string()))
            .collect();
        let last = due.last().map_or(0, |(position, _)| *position);
        eventually("all effects are sent", LAST, || async {
            let status = edge.get(&paths::fill(paths::PROJECTION_STATUS, NAME)).await?;
            ensure!(status["checkpoint"].as_u64().is_some_and(|at| at >= last), "not at {last}: {status}");
            Ok(())
        })
        .await?;
        let hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner).take();
        let heard = hook.context("there is no hook")?.heard();
        for one in &heard {
            caller.count(match one.reply {
                Reply::Taken => "taken",
                Reply::Refused => "refused",
                Reply::Silence => "unanswered",
            });
        }
        for wrong in judge(&due, &heard) {
            caller.wrong(wrong);
        }
        caller.end()
    }

    fn coverage(&self) -> &'static [&'static str] {
        &["effects.ok", "effects.taken", "effects.refused", "effects.unanswered"]
    }
}

/// The address of this machine that a node can reach.
fn own_address(edge: &Edge) -> Result<std::net::IpAddr> {
    let url = reqwest::Url::parse(edge.base())?;
    let (host, port) = (url.host_str().context("a node has an address")?, url.port_or_known_default());
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect((host, port.context("a node has a port")?))?;
    Ok(socket.local_addr()?.ip())
}
