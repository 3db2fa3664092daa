//! Keys and claims. Each of a few buckets has one key, which many clients put,
//! compare and set, delete and read: the checker of keys judges it as a
//! register whose revision grows by one with each change. Beside it, clients
//! claim commands with a lease, and finish them, give them up, or crash: no two
//! may hold a claim at once, by the times that the answers name. And each bucket is watched.

mod claims;
mod watches;

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use async_trait::async_trait;
use reqwest::Method;
use serde_json::json;
use weir_api::v1::paths;
use weir_check::history::KvOp;

use self::{
    claims::{Claims, claim},
    watches::{Watches, watch},
};
use super::{Context, Workload, caller::Caller, crew::Crew};
use crate::{PATIENCE, eventually};

/// Its name.
const NAME: &str = "kv";
/// Buckets with one key each.
const BUCKETS: u64 = 6;
const KEY: &str = "k/1.a";
const CLIENTS: usize = 4;
const CLAIMANTS: usize = 4;
/// Between two operations of one client.
const PACE: Duration = Duration::from_millis(110);

/// Keys and claims.
#[derive(Default)]
pub struct Kv {
    claims: Arc<Claims>,
    watches: Arc<Watches>,
}

#[async_trait]
impl Workload for Kv {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn prepare(&self, context: &Context) -> Result<()> {
        let mut caller = Caller::new(context, NAME);
        for bucket in (0..BUCKETS).map(bucket).chain([claims::BUCKET.to_owned()]) {
            let body = json!({ "name": bucket, "history": 3 }).to_string().into_bytes();
            eventually(&format!("bucket {bucket} is made"), PATIENCE, || async {
                let (_, edge) = context.nodes.all().into_iter().next().expect("a cluster has nodes");
                let body = ("application/json", body.clone());
                let answer = edge.send(Method::POST, paths::KV_BUCKETS, Some(body)).await?;
                anyhow::ensure!(matches!(answer.status, 201 | 409), "{answer:?}");
                Ok(())
            })
            .await?;
        }
        // A key that never held anything has no revision: the first put makes it 1.
        let (node, edge) = caller.node();
        caller.key((node, &edge), (&bucket(0), KEY), KvOp::Get).await;
        caller.end()
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut crew = Crew::default();
        for _ in 0..CLIENTS {
            crew.hire(use_keys(Caller::new(context, NAME)));
        }
        for _ in 0..CLAIMANTS {
            crew.hire(claim(Caller::new(context, NAME), self.claims.clone()));
        }
        for number in 0..BUCKETS {
            crew.hire(watch(Caller::new(context, NAME), number, self.watches.clone()));
        }
        crew.end().await
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        let mut caller = Caller::new(context, NAME);
        for number in 0..BUCKETS {
            for (node, edge) in context.nodes.all() {
                caller.key((node, &edge), (&bucket(number), KEY), KvOp::Get).await;
            }
        }
        self.watches.check(context).await?;
        self.claims.check(&mut caller).await;
        caller.end()
    }

    fn coverage(&self) -> &'static [&'static str] {
        &[
            "kv.put",
            "kv.read",
            "kv.deleted",
            "kv.refused.revision_conflict",
            "kv.claimed",
            "kv.finalized",
            "kv.taken_over",
            "kv.watched",
        ]
    }
}

fn bucket(number: u64) -> String {
    format!("{NAME}-{number}")
}

async fn use_keys(mut caller: Caller) -> Result<()> {
    let mut believed = [0; BUCKETS as usize];
    while caller.pace(PACE).await {
        let number = caller.rng.within(0..BUCKETS);
        let known = &mut believed[usize::try_from(number).unwrap_or(0)];
        let value = caller.mark();
        let op = match caller.rng.within(0..10) {
            0..3 => KvOp::Get,
            3 => KvOp::Put { value },
            4 if *known > 0 => KvOp::Delete { revision: Some(*known) },
            _ => KvOp::Cas { revision: *known, value },
        };
        let (node, edge) = caller.node();
        match caller.key((node, &edge), (&bucket(number), KEY), op).await {
            Some(revision) => *known = revision,
            // What is there now is read before it is compared again.
            None => {
                let (node, edge) = caller.node();
                if let Some(revision) = caller.key((node, &edge), (&bucket(number), KEY), KvOp::Get).await {
                    *known = revision;
                }
            }
        }
    }
    caller.end()
}
