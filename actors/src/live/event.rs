use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::Mutex;
use weir_types::{LogIndex, RecordedEvent, UpcastError};

use crate::upcast::Upcasts;

/// Forms in which an edge may keep an event's text.
const FORMS: usize = 2;
/// Bytes that upcasters may add to an event, beyond twice its own, that is kept as they lead it.
const GROWTH_BYTES_MAX: usize = 1024;

/// An event that many subscribers are given; its text is made once for all of them.
#[derive(Debug)]
pub struct SharedEvent {
    event: RecordedEvent,
    texts: [OnceLock<Bytes>; FORMS],
    /// The event as the upcasters of a log index lead it, which is made once for all.
    upcast: Mutex<Option<(LogIndex, Arc<SharedEvent>)>>,
}

impl SharedEvent {
    pub(super) fn new(event: RecordedEvent) -> Self {
        Self { event, texts: Default::default(), upcast: Mutex::default() }
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &RecordedEvent {
        &self.event
    }

    /// The event's text in a form, 0 or 1, which `make` makes the first time.
    ///
    /// # Panics
    /// Panics when there is no such form.
    pub fn text(&self, form: usize, make: impl FnOnce(&RecordedEvent) -> Bytes) -> Bytes {
        self.texts[form].get_or_init(|| make(&self.event)).clone()
    }

    /// The event of the newest schema version.
    pub(super) async fn upcast(self: &Arc<Self>, upcasts: &Upcasts) -> Result<Arc<Self>, UpcastError> {
        if !upcasts.concerns(&self.event) {
            return Ok(self.clone());
        }
        let mut made = self.upcast.lock().await;
        if let Some((revision, event)) = &*made
            && *revision == upcasts.revision()
        {
            return Ok(event.clone());
        }
        let mut led = upcasts.upcast(vec![self.event.clone()]).await;
        match (led.events.pop(), led.fault) {
            (Some(event), _) => {
                let event = Arc::new(Self::new(event));
                // What has grown out of proportion is not kept for others: the ring is bounded by what events were.
                if event.weight() <= 2 * self.weight() + GROWTH_BYTES_MAX {
                    *made = Some((upcasts.revision(), event.clone()));
                }
                Ok(event)
            }
            (None, Some(fault)) => Err(fault.error),
            (None, None) => Ok(self.clone()),
        }
    }

    /// The bytes that count against the limits.
    pub(super) fn weight(&self) -> usize {
        self.event.data.len() + self.event.metadata.len()
    }
}
