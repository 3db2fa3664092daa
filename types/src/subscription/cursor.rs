use std::{fmt, str::FromStr};

use super::Selector;
use crate::{ClusterId, GroupId, Position, StreamVersion, fnv1a};

/// What a cursor's text begins with: the version of its form.
const FORM: &str = "1";
/// Bytes of the longest cursor.
const BYTES_MAX: usize = 128;

/// Where a subscription is: every matching event up to `position` was given,
/// or left out with a mark.
///
/// Its text is `1.SCOPE.POSITION.VERSION.CHECK` in hexadecimal digits. The
/// scope is a hash of cluster, group and what is subscribed to: a cursor of
/// another cluster or of another subscription is refused and not misread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// All up to here has been looked at.
    pub position: Position,
    /// Of a stream, the version that was given last; else 0.
    pub version: StreamVersion,
    /// Whose it is.
    pub scope: CursorScope,
}

/// Hashes of cluster and group, and of what is subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorScope {
    group: u32,
    selector: u32,
}

/// Why a cursor is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// It is no cursor, or not as it was given.
    #[error("cursor is not legal: it is none, or was cut or changed")]
    Illegal,
    /// It was given by another cluster.
    #[error("cursor is of another cluster")]
    OtherCluster,
    /// It was given to a subscription to something else.
    #[error("cursor is of a subscription to something else")]
    OtherSubscription,
}

impl CursorScope {
    /// The scope of a subscription.
    #[must_use]
    pub fn of(cluster: ClusterId, group: GroupId, selector: &Selector) -> Self {
        let home = format!("{cluster} {group}");
        Self { group: short(home.as_bytes()), selector: short(selector.canonical().as_bytes()) }
    }

    /// Whether a cursor belongs here.
    ///
    /// # Errors
    /// [`CursorError::OtherCluster`] or [`CursorError::OtherSubscription`].
    pub fn check(self, cursor: Cursor) -> Result<(), CursorError> {
        match cursor.scope {
            scope if scope.group != self.group => Err(CursorError::OtherCluster),
            scope if scope.selector != self.selector => Err(CursorError::OtherSubscription),
            _ => Ok(()),
        }
    }
}

fn short(bytes: &[u8]) -> u32 {
    let hash = fnv1a(bytes);
    let (high, low) = (hash >> 32, hash & u64::from(u32::MAX));
    u32::try_from(high ^ low).unwrap_or(u32::MAX)
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CursorScope { group, selector } = self.scope;
        let (position, version) = (self.position.0, self.version.0);
        let body = format!("{FORM}.{group:08x}{selector:08x}.{position:x}.{version:x}");
        write!(f, "{body}.{:08x}", short(body.as_bytes()))
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        read(text).ok_or(CursorError::Illegal)
    }
}

fn read(text: &str) -> Option<Cursor> {
    if text.len() > BYTES_MAX {
        return None;
    }
    let (body, check) = text.rsplit_once('.')?;
    let mut parts = body.split('.');
    let (form, scope) = (parts.next()?, parts.next()?);
    let (position, version) = (parts.next()?, parts.next()?);
    let (group, selector) = scope.split_at_checked(8)?;
    let number = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let half = |digits: &str| u32::from_str_radix(digits, 16).ok();
    let scope = CursorScope { group: half(group)?, selector: half(selector)? };
    let cursor =
        Cursor { position: Position(number(position)?), version: StreamVersion(number(version)?), scope };
    // No log gets so far: whoever goes on from here counts on.
    let there = cursor.position.0 < u64::MAX && cursor.version.0 < u64::MAX;
    let whole = there && form == FORM && parts.next().is_none() && half(check)? == short(body.as_bytes());
    // One cursor has one text.
    (whole && cursor.to_string() == text).then_some(cursor)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{EntityId, subscription::Pattern};

    fn scope(cluster: u128, selector: &Selector) -> CursorScope {
        CursorScope::of(ClusterId(Uuid::from_u128(cluster)), GroupId::DEFAULT, selector)
    }

    #[test]
    fn a_cursor_reads_back_and_its_text_is_stable() {
        let selector = Selector::Pattern(Pattern::new("entity:order.*").unwrap());
        let cursor =
            Cursor { position: Position(0x1f), version: StreamVersion(0), scope: scope(7, &selector) };
        let text = cursor.to_string();
        assert_eq!(text.parse(), Ok(cursor));
        assert_eq!(text, "1.bd201cdd78aa97a6.1f.0.bdf73481", "clients keep cursors: the form may not change");
    }

    #[test]
    fn a_cursor_that_was_changed_or_belongs_elsewhere_is_refused() {
        let stream = Selector::Stream(EntityId::new("order-1").unwrap());
        let here = scope(7, &stream);
        let cursor = Cursor { position: Position(31), version: StreamVersion(4), scope: here };
        let text = cursor.to_string();
        for bad in
            ["", ".", "1", "1.2.3.4.5", &text[1..], &text.replace(".1f.", ".20."), &text.to_uppercase()]
        {
            assert_eq!(bad.parse::<Cursor>(), Err(CursorError::Illegal), "{bad}");
        }
        let end = Cursor { position: Position(u64::MAX), ..cursor };
        assert_eq!(end.to_string().parse::<Cursor>(), Err(CursorError::Illegal), "no log gets there");
        for at in 0..text.len() {
            assert!(text[..at].parse::<Cursor>().is_err());
        }
        assert_eq!(here.check(cursor), Ok(()));
        assert_eq!(scope(8, &stream).check(cursor), Err(CursorError::OtherCluster));
        let other = Selector::Stream(EntityId::new("order-2").unwrap());
        assert_eq!(scope(7, &other).check(cursor), Err(CursorError::OtherSubscription));
    }
}
