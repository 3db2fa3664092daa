//! Pages of what is read, upcast. A page ends before an event that cannot be upcast, and one that would begin with it
//! is an error: so whoever reads page after page has all that can be read, and is told at which event it ends.

use weir_types::{LogSlice, ReadError, RecordedEvent, StreamPage};

use super::book::{Upcasted, Upcasting, unread};

impl Upcasting {
    /// A page of a stream.
    ///
    /// # Errors
    /// [`ReadError::Upcast`] of its first event, or where the upcasters are not readable.
    pub async fn stream_page(&self, mut page: StreamPage) -> Result<StreamPage, ReadError> {
        let versions: Vec<_> = page.events.iter().map(|event| event.version).collect();
        page.events = self.first_part(page.events).await?;
        if let Some(next) = versions.get(page.events.len()) {
            page.next = Some(*next);
        }
        Ok(page)
    }

    /// A page of the log.
    ///
    /// # Errors
    /// As [`Upcasting::stream_page`].
    pub async fn log_slice(&self, mut slice: LogSlice) -> Result<LogSlice, ReadError> {
        let positions: Vec<_> = slice.events.iter().map(|event| event.position).collect();
        slice.events = self.first_part(slice.events).await?;
        if let Some(next) = positions.get(slice.events.len()) {
            slice.next = *next;
        }
        Ok(slice)
    }

    /// A first part of events: at least one where there is one.
    ///
    /// # Errors
    /// As [`Upcasting::stream_page`].
    pub async fn first_part(&self, events: Vec<RecordedEvent>) -> Result<Vec<RecordedEvent>, ReadError> {
        let upcasts = self.newest().await?;
        if upcasts.is_empty() {
            return Ok(events);
        }
        let first = events.first().cloned();
        let Upcasted { events, fault } = upcasts.upcast(events).await;
        match (first, fault) {
            (Some(first), Some(fault)) if events.is_empty() => Err(unread(&first, fault.error)),
            _ => Ok(events),
        }
    }
}
