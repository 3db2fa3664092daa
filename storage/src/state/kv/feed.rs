//! The newest changes of the buckets and their time, as apply makes them, for who watches. Bounded: who does not keep up
//! is told.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use weir_types::{BucketName, KvEntry, Timestamp, limits};

/// A change, with its place among those of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvFeedItem {
    /// Its place: 1, 2, 3, without a hole, and another after a restart.
    pub seq: u64,
    /// The bucket.
    pub bucket: BucketName,
    /// What the key holds by it; without one, the bucket is gone.
    pub entry: Option<KvEntry>,
}

/// What came of a look at the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvFeedPage {
    /// Changes, in order. There may be none.
    Items(Vec<Arc<KvFeedItem>>),
    /// The one that was asked for is not kept any more.
    Overrun,
}

/// The feed. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct KvFeed {
    ring: Arc<Mutex<Ring>>,
}

#[derive(Debug, Default)]
struct Ring {
    waiting: Vec<Waker>,
    items: VecDeque<Arc<KvFeedItem>>,
    bytes: usize,
    last: u64,
    /// How often anything was written.
    written: u64,
    time: Option<Timestamp>,
}

impl KvFeed {
    /// Takes changes that are written; none, where all that was written is of buckets that nobody may watch.
    pub fn publish(&self, changes: impl IntoIterator<Item = (BucketName, Option<KvEntry>)>) {
        let mut ring = self.ring();
        ring.written += 1;
        for (bucket, entry) in changes {
            ring.last += 1;
            let item = Arc::new(KvFeedItem { seq: ring.last, bucket, entry });
            ring.bytes += weight(&item);
            ring.items.push_back(item);
            while ring.items.len() > limits::KV_FEED_ITEMS_MAX
                || ring.bytes > limits::KV_FEED_BYTES_MAX && ring.items.len() > 1
            {
                let oldest = ring.items.pop_front();
                ring.bytes -= oldest.map_or(0, |item| weight(&item));
            }
        }
        let waiting = std::mem::take(&mut ring.waiting);
        drop(ring);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Takes the time that the buckets have come to.
    pub fn reach(&self, time: Timestamp) {
        self.ring().time = Some(time);
    }

    /// The time that the buckets have come to.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.ring().time.unwrap_or(Timestamp(0))
    }

    /// The place of the last change.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.ring().last
    }

    /// Resolves when there is a change after a place.
    pub fn changed(&self, seq: u64) -> impl Future<Output = ()> + Send + '_ {
        self.until(move |ring| ring.last > seq)
    }

    /// How often anything was written since the start, to buckets that nobody may watch too.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.ring().written
    }

    /// Resolves when anything was written after so many times.
    pub fn written_after(&self, times: u64) -> impl Future<Output = ()> + Send + '_ {
        self.until(move |ring| ring.written > times)
    }

    fn until<'a>(
        &'a self,
        holds: impl Fn(&Ring) -> bool + Send + 'a,
    ) -> impl Future<Output = ()> + Send + 'a {
        poll_fn(move |context| {
            let mut ring = self.ring();
            if holds(&ring) {
                return Poll::Ready(());
            }
            if !ring.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                ring.waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
    }

    /// The changes after a place, at most `most`.
    #[must_use]
    pub fn after(&self, seq: u64, most: usize) -> KvFeedPage {
        let ring = self.ring();
        let first = ring.items.front().map_or(ring.last + 1, |item| item.seq);
        if seq + 1 < first {
            return KvFeedPage::Overrun;
        }
        let skip = usize::try_from(seq + 1 - first).unwrap_or(usize::MAX).min(ring.items.len());
        KvFeedPage::Items(ring.items.range(skip..).take(most).cloned().collect())
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(item: &KvFeedItem) -> usize {
    item.entry.as_ref().map_or(0, |entry| entry.key.as_str().len() + entry.value.len()) + 128
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_types::{KvKey, KvOperation, Revision};

    use super::*;

    fn change(revision: u64, bytes: usize) -> (BucketName, Option<KvEntry>) {
        let entry = KvEntry {
            key: KvKey::new("k").unwrap(),
            revision: Revision(revision),
            at: Timestamp(0),
            expires_at: None,
            operation: KvOperation::Put,
            value: Bytes::from(vec![0; bytes]),
        };
        (BucketName::new("b").unwrap(), Some(entry))
    }

    fn seqs(feed: &KvFeed, after: u64) -> Option<Vec<u64>> {
        match feed.after(after, 3) {
            KvFeedPage::Items(items) => Some(items.iter().map(|item| item.seq).collect()),
            KvFeedPage::Overrun => None,
        }
    }

    #[test]
    fn the_feed_gives_what_follows_a_place_and_tells_who_is_too_late() {
        let feed = KvFeed::default();
        assert_eq!(seqs(&feed, 0), Some(vec![]));
        feed.publish((1..=5).map(|revision| change(revision, 1)));
        assert_eq!(
            (seqs(&feed, 0), seqs(&feed, 4), seqs(&feed, 5)),
            (Some(vec![1, 2, 3]), Some(vec![5]), Some(vec![]))
        );
        feed.publish((0..limits::KV_FEED_ITEMS_MAX as u64).map(|revision| change(revision, 1)));
        assert_eq!((seqs(&feed, 4), seqs(&feed, 5)), (None, Some(vec![6, 7, 8])));
        feed.publish([change(9, limits::KV_FEED_BYTES_MAX)]);
        assert_eq!(seqs(&feed, feed.last() - 1), Some(vec![feed.last()]));
        assert_eq!(seqs(&feed, feed.last() - 2), None);
    }
}
