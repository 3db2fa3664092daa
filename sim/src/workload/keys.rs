use weir_check::history::{Call, KvOp, Outcome, Seen};

use super::Worker;

/// Buckets with one key each, so that the bucket's revisions are the key's.
pub(super) const BUCKETS: usize = 3;

impl Worker {
    /// Puts, compares and sets, deletes or reads a key that others change too.
    pub(super) async fn use_key(&mut self) {
        let number = self.rng.within(0..BUCKETS as u64);
        let at = usize::try_from(number).unwrap_or(0);
        let (known, value) = (self.revisions[at], self.mark());
        let op = match self.rng.within(0..10) {
            0..3 => KvOp::Get,
            3 => KvOp::Put { value },
            4 if known > 0 => KvOp::Delete { revision: Some(known) },
            _ => KvOp::Cas { revision: known, value },
        };
        let deletes = matches!(op, KvOp::Delete { .. });
        let node = self.node();
        let call = Call::Kv { bucket: format!("bucket-{number}"), key: "key".to_owned(), op, node };
        match self.client.call(node, call).await {
            Outcome::Ok { seen: Seen::Kv { .. } } if deletes => self.revisions[at] = 0,
            Outcome::Ok { seen: Seen::Kv { revision, .. } } => self.revisions[at] = revision,
            Outcome::Refused { actual: Some(actual), .. } => self.revisions[at] = actual,
            Outcome::Ok { .. } | Outcome::Refused { .. } | Outcome::Unknown { .. } => {}
        }
    }
}
