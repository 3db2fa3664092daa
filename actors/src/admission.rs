//! Admission: the bound that ractor's mailboxes lack. An append is admitted
//! while the node has room for its bytes and for one more append. When it has
//! not, the append queues, first come first served, for at most
//! [`AdmissionBounds::wait`]; it is refused at once when the queue is full too.
//! Its room is given back when its outcome is settled, even if its caller left.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Semaphore;
use weir_types::{AppendError, AppendRequest, limits};

/// How many appends, and how many of their bytes, a router takes on.
#[derive(Debug, Clone, Copy)]
pub struct AdmissionBounds {
    /// Appends in flight.
    pub appends: usize,
    /// Their bytes; at least [`limits::APPEND_BYTES_MAX`], at most `u32::MAX`.
    pub bytes: usize,
    /// Appends that may queue in front of them.
    pub queue_appends: usize,
    /// Bytes of the appends that may queue.
    pub queue_bytes: usize,
    /// How long one may queue.
    pub wait: Duration,
}

impl Default for AdmissionBounds {
    fn default() -> Self {
        Self {
            appends: limits::IN_FLIGHT_APPENDS_MAX,
            bytes: limits::IN_FLIGHT_BYTES_MAX,
            queue_appends: limits::ADMISSION_QUEUE_MAX,
            queue_bytes: limits::ADMISSION_QUEUE_BYTES_MAX,
            wait: limits::ADMISSION_WAIT_MAX,
        }
    }
}

/// The door of one router.
pub(crate) struct Admission {
    bounds: AdmissionBounds,
    appends: Semaphore,
    bytes: Semaphore,
    queued: AtomicUsize,
    queued_bytes: AtomicUsize,
}

/// An append that the node has taken on; it holds its room until it is dropped.
pub(crate) struct Admitted {
    pub(crate) request: AppendRequest,
    _room: Room,
}

/// The room that something takes on this node, until it is dropped.
pub(crate) struct Room {
    admission: Arc<Admission>,
    bytes: u32,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.admission.appends.add_permits(1);
        self.admission.bytes.add_permits(self.bytes as usize);
    }
}

impl Admission {
    pub(crate) fn new(bounds: AdmissionBounds) -> Arc<Self> {
        assert!(u32::try_from(bounds.bytes).is_ok(), "byte bound does not fit a semaphore");
        Arc::new(Self {
            bounds,
            appends: Semaphore::new(bounds.appends),
            bytes: Semaphore::new(bounds.bytes),
            queued: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
        })
    }

    /// Takes an append on, or refuses it with [`AppendError::Overloaded`].
    pub(crate) async fn admit(self: &Arc<Self>, request: AppendRequest) -> Result<Admitted, AppendError> {
        let room = self.room(request.weight()).await?;
        Ok(Admitted { request, _room: room })
    }

    /// Room for something of so many bytes, or [`AppendError::Overloaded`].
    pub(crate) async fn room(self: &Arc<Self>, weight: usize) -> Result<Room, AppendError> {
        let weight = weight.clamp(1, self.bounds.bytes);
        let bytes = u32::try_from(weight).expect("clamped to a bound that fits");
        match self.room_now(bytes) {
            Some(room) => Ok(room),
            None => self.room_soon(bytes).await,
        }
    }

    fn room_now(self: &Arc<Self>, bytes: u32) -> Option<Room> {
        let append = self.appends.try_acquire().ok()?;
        let weight = self.bytes.try_acquire_many(bytes).ok()?;
        append.forget();
        weight.forget();
        Some(Room { admission: Arc::clone(self), bytes })
    }

    async fn room_soon(self: &Arc<Self>, bytes: u32) -> Result<Room, AppendError> {
        let _place = self.queue(bytes as usize).ok_or(AppendError::Overloaded)?;
        let both = async {
            let append = self.appends.acquire().await.ok()?;
            let weight = self.bytes.acquire_many(bytes).await.ok()?;
            append.forget();
            weight.forget();
            Some(Room { admission: Arc::clone(self), bytes })
        };
        match tokio::time::timeout(self.bounds.wait, both).await {
            Ok(Some(room)) => Ok(room),
            Ok(None) | Err(_) => Err(AppendError::Overloaded),
        }
    }

    fn queue(&self, bytes: usize) -> Option<Place<'_>> {
        let place = Place { admission: self, bytes };
        let ahead = self.queued.fetch_add(1, Ordering::Relaxed);
        let bytes_ahead = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = ahead < self.bounds.queue_appends && bytes_ahead + bytes <= self.bounds.queue_bytes;
        fits.then_some(place)
    }

    /// Appends and bytes in flight.
    pub(crate) fn in_flight(&self) -> (usize, usize) {
        let taken = |bound: usize, free: &Semaphore| bound.saturating_sub(free.available_permits());
        (taken(self.bounds.appends, &self.appends), taken(self.bounds.bytes, &self.bytes))
    }

    /// Appends that queue.
    pub(crate) fn waiting(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }
}

/// A place in the queue; left when dropped.
struct Place<'a> {
    admission: &'a Admission,
    bytes: usize,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.admission.queued.fetch_sub(1, Ordering::Relaxed);
        self.admission.queued_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::FutureExt;
    use weir_types::{
        ContentType, EntityId, EntityType, EventName, EventSource, ExpectedVersion, GroupId, NewEvent,
    };

    use super::*;

    fn append(bytes: usize) -> AppendRequest {
        AppendRequest {
            group: GroupId::DEFAULT,
            entity_id: EntityId::new("a").unwrap(),
            entity_type: EntityType::new("a").unwrap(),
            expected: ExpectedVersion::Any,
            idempotency_key: None,
            events: vec![NewEvent {
                id: None,
                name: EventName::new("a").unwrap(),
                schema_version: 1,
                content_type: ContentType::Json,
                data: Bytes::from(vec![b'1'; bytes]),
                metadata: Bytes::new(),
                occurred_at: None,
                source: EventSource::Api,
                tags: Vec::new(),
            }],
        }
    }

    fn admission(appends: usize, bytes: usize, queue_appends: usize, queue_bytes: usize) -> Arc<Admission> {
        let wait = Duration::from_millis(20);
        Admission::new(AdmissionBounds { appends, bytes, queue_appends, queue_bytes, wait })
    }

    #[tokio::test]
    async fn what_fits_is_taken_at_once_and_gives_its_room_back() {
        let admission = admission(2, 100, 0, 0);
        let first = admission.admit(append(60)).await.unwrap();
        assert_eq!(admission.in_flight(), (1, 60));
        assert!(matches!(admission.admit(append(60)).await, Err(AppendError::Overloaded)), "bytes");
        let second = admission.admit(append(40)).await.unwrap();
        assert!(matches!(admission.admit(append(0)).await, Err(AppendError::Overloaded)), "count");
        drop((first, second));
        assert_eq!((admission.in_flight(), admission.waiting()), ((0, 0), 0));
    }

    #[tokio::test]
    async fn an_append_larger_than_the_bound_is_taken_alone() {
        let admission = admission(2, 100, 0, 0);
        let alone = admission.admit(append(1_000)).await.unwrap();
        assert_eq!(admission.in_flight(), (1, 100));
        drop(alone);
        assert_eq!(admission.in_flight(), (0, 0));
    }

    #[tokio::test]
    async fn the_queue_is_first_come_first_served_and_bounded() {
        let admission = admission(1, 100, 2, 150);
        let inside = admission.admit(append(10)).await.unwrap();
        let mut first = Box::pin(admission.admit(append(90)));
        assert!((&mut first).now_or_never().is_none(), "waits");
        assert!(
            matches!(admission.admit(append(70)).now_or_never(), Some(Err(AppendError::Overloaded))),
            "no room for its bytes in the queue"
        );
        let mut second = Box::pin(admission.admit(append(20)));
        assert!((&mut second).now_or_never().is_none(), "waits");
        assert_eq!(admission.waiting(), 2);
        assert!(
            matches!(admission.admit(append(1)).now_or_never(), Some(Err(AppendError::Overloaded))),
            "no place in the queue"
        );
        drop(inside);
        assert!((&mut second).now_or_never().is_none(), "the first is served first");
        drop(first.await.unwrap());
        second.await.unwrap();
        assert_eq!((admission.in_flight(), admission.waiting()), ((0, 0), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_in_time_and_leaves_nothing_behind() {
        let admission = admission(1, 100, 2, 150);
        let inside = admission.admit(append(10)).await.unwrap();
        assert!(matches!(admission.admit(append(10)).await, Err(AppendError::Overloaded)));
        assert_eq!(admission.waiting(), 0);
        drop(inside);
        assert_eq!(admission.in_flight(), (0, 0));
        admission.admit(append(100)).await.unwrap();
    }
}
