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

struct Room {
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
        let weight = request.weight().clamp(1, self.bounds.bytes);
        let bytes = u32::try_from(weight).expect("clamped to a bound that fits");
        let room = match self.room_now(bytes) {
            Some(room) => room,
            None => self.room_soon(bytes).await?,
        };
        Ok(Admitted { request, _room: room })
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
