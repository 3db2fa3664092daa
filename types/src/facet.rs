//! What events are found by, beside their streams and positions.

use crate::{EntityType, EventName, Tag};

/// The kinds of facets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FacetKind {
    /// An event's name.
    Name,
    /// The type of its entity.
    EntityType,
    /// One of its tags.
    Tag,
}

/// One facet, by which many events may be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Facet<'a> {
    /// Its kind.
    pub kind: FacetKind,
    /// The name, type or tag.
    pub text: &'a str,
}

impl<'a> From<&'a EventName> for Facet<'a> {
    fn from(name: &'a EventName) -> Self {
        Self { kind: FacetKind::Name, text: name.as_str() }
    }
}

impl<'a> From<&'a EntityType> for Facet<'a> {
    fn from(entity_type: &'a EntityType) -> Self {
        Self { kind: FacetKind::EntityType, text: entity_type.as_str() }
    }
}

impl<'a> From<&'a Tag> for Facet<'a> {
    fn from(tag: &'a Tag) -> Self {
        Self { kind: FacetKind::Tag, text: tag.as_str() }
    }
}
