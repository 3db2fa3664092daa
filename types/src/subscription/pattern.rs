use std::{fmt, sync::Arc};

use crate::limits::SUBSCRIPTION_PATTERN_BYTES_MAX as BYTES_MAX;

const EVENTS: &str = "events:";
const ENTITY: &str = "entity:";

/// Which events are asked for, in the words of the contract:
///
/// | pattern | takes |
/// | --- | --- |
/// | `>` | every event |
/// | `events:NAME` | events by their name |
/// | `entity:TYPE.ID.NAME` | events by the type and id of their entity, and their name |
/// | `entity:TYPE.*` | every event of every entity of a type |
///
/// A name is parted by dots. A part that is `*` stands for any one part, and a
/// last part that is `>` for one or more; a `*` or `>` within a part stands for
/// itself. Type, id and name may hold dots of their own, so `entity:a.b.c.>`
/// can be read in two ways: as type `a` and id `b.c`, as type `a.b` and id `c`.
/// Each counts. Where a type or an id stands, one `*` is all of it, with
/// whatever dots: so `entity:order.*.>` takes the entity `a.b` too.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Arc<str>,
    parts: Arc<Parts>,
}

#[derive(Debug, PartialEq, Eq)]
enum Parts {
    Everything,
    Name(Vec<Part>),
    Entity(Vec<Part>),
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    One,
    Rest,
    Text(Box<str>),
}

/// Why a pattern is not legal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is longer than its limit.
    #[error("pattern has {bytes} bytes, over the limit of {max}", max = BYTES_MAX)]
    TooLong {
        /// Its bytes of UTF-8.
        bytes: usize,
    },
    /// It holds a control character.
    #[error("pattern holds a control character at byte {at}")]
    Control {
        /// Byte offset of the first.
        at: usize,
    },
    /// It begins with nothing that is known here.
    #[error("pattern `{text}` is neither `>` nor begins with `events:` or `entity:`")]
    Kind {
        /// The pattern.
        text: String,
    },
    /// It begins with what the contract knows and Weir does not serve.
    #[error("patterns of `{kind}` are not served")]
    NotServed {
        /// `topic:` or `system.`.
        kind: &'static str,
    },
    /// A `>` is not its last part.
    #[error("pattern `{text}` has a `>` that is not its last part")]
    RestWithin {
        /// The pattern.
        text: String,
    },
    /// It is about projections, and names none with what of it is wanted.
    #[error(
        "pattern `{text}` names no states: write `system.projection.NAME.>` or `system.projection.NAME.PARTITION.updated`"
    )]
    NoProjection {
        /// The pattern.
        text: String,
    },
    /// It names nothing, or an entity without saying which events.
    #[error("pattern `{text}` names no events: write `events:NAME`, `entity:TYPE.*` or `entity:TYPE.ID.>`")]
    Incomplete {
        /// The pattern.
        text: String,
    },
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.len() > BYTES_MAX {
            return Err(PatternError::TooLong { bytes: text.len() });
        }
        if let Some((at, _)) = text.char_indices().find(|(_, c)| c.is_control()) {
            return Err(PatternError::Control { at });
        }
        Ok(Self { text: Arc::from(text), parts: Arc::new(parse(text)?) })
    }

    /// The pattern that takes every event.
    #[must_use]
    pub fn everything() -> Self {
        Self { text: Arc::from(">"), parts: Arc::new(Parts::Everything) }
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it asks for events by their name alone.
    #[must_use]
    pub fn is_by_name(&self) -> bool {
        matches!(*self.parts, Parts::Name(_))
    }

    /// Whether it takes an event of this name, of an entity of this type and id.
    #[must_use]
    pub fn takes(&self, entity_type: &str, entity_id: &str, name: &str) -> bool {
        match &*self.parts {
            Parts::Everything => true,
            Parts::Name(parts) => takes(parts, name),
            Parts::Entity(parts) => takes_entity(parts, entity_type, entity_id, name),
        }
    }
}

fn parse(text: &str) -> Result<Parts, PatternError> {
    if text == ">" {
        return Ok(Parts::Everything);
    }
    let incomplete = || PatternError::Incomplete { text: text.to_owned() };
    if let Some(name) = text.strip_prefix(EVENTS) {
        return match name {
            "" => Err(incomplete()),
            _ => Ok(Parts::Name(parts_of(text, name)?)),
        };
    }
    if let Some(entity) = text.strip_prefix(ENTITY) {
        let parts = parts_of(text, entity)?;
        let wild = matches!(parts.last(), Some(Part::One | Part::Rest));
        return match parts.len() {
            1 if parts[0] == Part::Rest => Ok(Parts::Everything),
            2 if wild => Ok(Parts::Entity(parts)),
            0..=2 => Err(incomplete()),
            _ => Ok(Parts::Entity(parts)),
        };
    }
    match ["topic:", "system."].into_iter().find(|kind| text.starts_with(kind)) {
        Some(kind) => Err(PatternError::NotServed { kind }),
        None => Err(PatternError::Kind { text: text.to_owned() }),
    }
}

fn parts_of(text: &str, name: &str) -> Result<Vec<Part>, PatternError> {
    let part = |part| match part {
        "*" => Part::One,
        ">" => Part::Rest,
        text => Part::Text(text.into()),
    };
    let parts: Vec<Part> = name.split('.').map(part).collect();
    let within = parts.split_last().is_some_and(|(_, before)| before.contains(&Part::Rest));
    if within { Err(PatternError::RestWithin { text: text.to_owned() }) } else { Ok(parts) }
}

/// Part by part.
fn takes(parts: &[Part], name: &str) -> bool {
    let mut given = name.split('.');
    for part in parts {
        match (part, given.next()) {
            (Part::Rest, Some(_)) => return true,
            (Part::One, Some(_)) => {}
            (Part::Text(text), Some(given)) if **text == *given => {}
            _ => return false,
        }
    }
    given.next().is_none()
}

/// All of a type or of an id: a single `*` is whatever it is.
fn takes_field(parts: &[Part], field: &str) -> bool {
    parts == [Part::One] || takes(parts, field)
}

/// Whether one way to read the parts takes it. A field of `n` parts is written
/// in `n`, or in one that is `*`: that is all the ways there are.
fn takes_entity(parts: &[Part], entity_type: &str, entity_id: &str, name: &str) -> bool {
    let widths = |field: &str| {
        let exact = field.split('.').count();
        [Some(exact), (exact != 1).then_some(1)].into_iter().flatten()
    };
    if let Some((Part::One | Part::Rest, typed)) = parts.split_last()
        && takes_field(typed, entity_type)
    {
        return true;
    }
    widths(entity_type).any(|end_of_type| {
        let Some((typed, rest)) = parts.split_at_checked(end_of_type) else { return false };
        takes_field(typed, entity_type)
            && widths(entity_id).any(|end_of_id| {
                let Some((id, named)) = rest.split_at_checked(end_of_id) else { return false };
                takes_field(id, entity_id) && takes(named, name)
            })
    })
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_what_the_table_says() {
        // Pattern, type, id, name, whether it takes it.
        for (pattern, entity_type, id, name, takes) in [
            (">", "order", "o-1", "order.placed", true),
            ("entity:>", "order", "o-1", "order.placed", true),
            ("events:order.placed", "x", "y", "order.placed", true),
            ("events:order.placed", "x", "y", "order.placed.twice", false),
            ("events:order.*", "x", "y", "order.placed", true),
            ("events:order.*", "x", "y", "order.line.added", false),
            ("events:order.*", "x", "y", "order", false),
            ("events:order.>", "x", "y", "order.line.added", true),
            ("events:order.>", "x", "y", "order", false),
            ("events:*.placed", "x", "y", "order.placed", true),
            ("events:>", "x", "y", "anything", true),
            ("events:a*", "x", "y", "a*", true),
            ("events:a*", "x", "y", "ab", false),
            ("events:a..b", "x", "y", "a..b", true),
            ("entity:order.*", "order", "o-1", "order.placed", true),
            ("entity:order.*", "order", "a.b.c", "order.placed", true),
            ("entity:order.>", "order", "a.b.c", "order.placed", true),
            ("entity:order.*", "orders", "o-1", "order.placed", false),
            ("entity:*.*", "order", "o-1", "order.placed", true),
            ("entity:order.o-1.>", "order", "o-1", "order.placed", true),
            ("entity:order.o-1.>", "order", "o-1.x", "order.placed", false),
            ("entity:order.o-1.>", "order", "o-2", "order.placed", false),
            ("entity:order.a.b.>", "order", "a.b", "order.placed", true),
            ("entity:order.a.b.>", "order.a", "b", "order.placed", true),
            ("entity:order.a.b.>", "order", "a", "b.happened", true),
            ("entity:order.a.b.>", "order", "a", "order.placed", false),
            ("entity:order.*.>", "order", "a.b", "order.placed", true),
            ("entity:order.*.order.placed", "order", "a.b", "order.placed", true),
            ("entity:order.*.order.placed", "order", "a.b", "order.shipped", false),
            ("entity:*.o-1.>", "shop.order", "o-1", "order.placed", true),
            ("entity:order.o-1.order.placed", "order", "o-1", "order.placed", true),
            ("entity:order.*.>", "order", "*", "n", true),
            ("entity:order.a>b.>", "order", "a>b", "n", true),
        ] {
            let read = Pattern::new(pattern).unwrap();
            assert_eq!(read.takes(entity_type, id, name), takes, "{pattern}: {entity_type} {id} {name}");
            assert_eq!(read.as_str(), pattern);
        }
    }

    #[test]
    fn what_names_no_events_is_refused_with_its_reason() {
        let of = |text: &str| text.to_owned();
        let long = format!("events:{}", "x".repeat(BYTES_MAX));
        for (text, error) in [
            ("", PatternError::Kind { text: of("") }),
            ("order-1", PatternError::Kind { text: of("order-1") }),
            ("*", PatternError::Kind { text: of("*") }),
            ("events:", PatternError::Incomplete { text: of("events:") }),
            ("entity:", PatternError::Incomplete { text: of("entity:") }),
            ("entity:*", PatternError::Incomplete { text: of("entity:*") }),
            ("entity:order.o-1", PatternError::Incomplete { text: of("entity:order.o-1") }),
            ("events:>.placed", PatternError::RestWithin { text: of("events:>.placed") }),
            ("topic:x", PatternError::NotServed { kind: "topic:" }),
            ("system.run.>", PatternError::NotServed { kind: "system." }),
            ("events:\n", PatternError::Control { at: 7 }),
            (&long, PatternError::TooLong { bytes: BYTES_MAX + 7 }),
        ] {
            assert_eq!(Pattern::new(text), Err(error), "{text}");
        }
    }
}
