//! Claims with a lease, and what must hold of them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use reqwest::Method;
use weir_api::v1::{KvPutResult, paths};

use super::super::caller::{Caller, Changed};

/// Where they are.
pub(super) const BUCKET: &str = "kv-claims";
/// Commands that are claimed at a time.
const OPEN: u64 = 12;
/// Between two claims of one client.
const PACE: Duration = Duration::from_millis(160);
/// The leases, in milliseconds.
const LEASE_MS: std::ops::Range<u64> = 300..1_500;

/// Everything that was acknowledged, and how claims ended.
#[derive(Default)]
pub(super) struct Claims {
    /// The number of the oldest command that is still claimed.
    open_from: AtomicU64,
    granted: Mutex<BTreeMap<String, Vec<Grant>>>,
}

/// A claim that was granted.
#[derive(Debug, Clone)]
struct Grant {
    put: KvPutResult,
    end: End,
}

/// How a claim ended, as its claimant knows.
#[derive(Debug, Clone)]
enum End {
    /// With its lease.
    Lease,
    /// Given up, or perhaps.
    Released,
    /// Finished, by this put.
    Finalized(KvPutResult),
    /// Perhaps finished.
    Unknown,
}

/// Claims, finishes, gives up and crashes until the end.
pub(super) async fn claim(mut caller: Caller, claims: Arc<Claims>) -> Result<()> {
    while caller.pace(PACE).await {
        let from = claims.open_from.load(Ordering::Relaxed);
        let command = format!("cmd-{}", caller.rng.within(from..from + OPEN));
        let lease_ms = caller.rng.within(LEASE_MS);
        let (path, (_, edge)) = (paths::kv_key(BUCKET, &command), caller.node());
        let mark = caller.mark().into_bytes();
        let create = [("if-none-match", "*".to_owned())];
        let leased = format!("{path}?ttl_ms={lease_ms}");
        let Changed::Put(put) =
            caller.change_key(&edge, (Method::PUT, &leased), &create, Some(mark.clone())).await
        else {
            continue;
        };
        caller.count("claimed");
        let held = [("if-match", put.revision.to_string())];
        let (_, edge) = caller.node();
        let end = match caller.rng.within(0..10) {
            // A crash.
            0..4 => End::Lease,
            4..6 => match caller.change_key(&edge, (Method::DELETE, &path), &held, None).await {
                Changed::Deleted(_) | Changed::Unknown => End::Released,
                Changed::Put(_) | Changed::Refused(_) => End::Lease,
            },
            _ => match caller.change_key(&edge, (Method::PUT, &path), &held, Some(mark)).await {
                Changed::Put(put) => {
                    caller.count("finalized");
                    claims.open_from.fetch_add(1, Ordering::Relaxed);
                    End::Finalized(put)
                }
                Changed::Unknown => End::Unknown,
                Changed::Deleted(_) | Changed::Refused(_) => End::Lease,
            },
        };
        claims.lock().entry(command).or_default().push(Grant { put, end });
    }
    caller.end()
}

impl Claims {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Grant>>> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds every claim against the ones before it.
    pub(super) async fn check(&self, caller: &mut Caller) {
        let mut granted = std::mem::take(&mut *self.lock());
        let mut changes: Vec<KvPutResult> = Vec::new();
        for (command, grants) in &mut granted {
            grants.sort_by_key(|grant| grant.put.revision);
            for pair in grants.windows(2) {
                if let Some(why) = overlap(&pair[0], &pair[1]) {
                    caller.wrong(format!("`{command}` is claimed by two: {why}: {pair:?}"));
                }
                if matches!(pair[0].end, End::Lease) {
                    caller.count("taken_over");
                }
            }
            for grant in grants {
                changes.push(grant.put.clone());
                if let End::Finalized(put) = &grant.end {
                    changes.push(put.clone());
                }
            }
        }
        changes.sort_by_key(|put| put.revision);
        for pair in changes.windows(2) {
            if pair[0].revision == pair[1].revision || pair[0].created_at > pair[1].created_at {
                caller.wrong(format!("one revision is given twice, or time falls: {pair:?}"));
            }
        }
    }
}

/// Why two claims one after the other cannot both be. Times are told with
/// equally many digits, so that their texts are in their order.
fn overlap(first: &Grant, second: &Grant) -> Option<&'static str> {
    match &first.end {
        End::Finalized(_) => Some("the first is finished"),
        End::Released | End::Unknown => None,
        End::Lease => {
            let until = first.put.expires_at.as_ref();
            until.is_none_or(|until| *until > second.put.created_at).then_some("the lease has not run out")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(revision: u64, at: u64, until: u64, end: End) -> Grant {
        let time = |second: u64| format!("2026-01-01T00:00:{second:02}.000000Z");
        Grant { put: KvPutResult { revision, created_at: time(at), expires_at: Some(time(until)) }, end }
    }

    #[test]
    fn a_claim_that_meets_another_is_told() {
        let second = grant(9, 20, 30, End::Lease);
        let done = || End::Finalized(grant(8, 12, 12, End::Lease).put);
        for (first, fine) in [
            (grant(7, 10, 20, End::Lease), true),
            (grant(7, 10, 21, End::Lease), false),
            (grant(7, 10, 21, End::Released), true),
            (grant(7, 10, 20, done()), false),
        ] {
            assert_eq!(overlap(&first, &second).is_none(), fine, "{first:?}");
        }
    }
}
