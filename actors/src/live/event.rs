use std::sync::OnceLock;

use bytes::Bytes;
use weir_types::RecordedEvent;

/// Forms in which an edge may keep an event's text.
const FORMS: usize = 2;

/// An event that many subscribers are given; its text is made once for all of them.
#[derive(Debug)]
pub struct SharedEvent {
    event: RecordedEvent,
    texts: [OnceLock<Bytes>; FORMS],
}

impl SharedEvent {
    pub(super) fn new(event: RecordedEvent) -> Self {
        Self { event, texts: Default::default() }
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

    /// The bytes that count against the limits.
    pub(super) fn weight(&self) -> usize {
        self.event.data.len() + self.event.metadata.len()
    }
}
