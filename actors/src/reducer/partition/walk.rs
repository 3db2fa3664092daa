use std::{borrow::Cow, fmt};

use serde::de::{
    Deserialize as _, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value;

use super::{after_bracket, after_name};

/// A path of names and of indexes from the beginning of a list, without escapes.
#[derive(Debug, Clone)]
pub(super) struct Way(Vec<Segment>);

#[derive(Debug, Clone)]
enum Segment {
    Name(String),
    Index(usize),
}

impl Way {
    /// Takes a path whose syntax was checked, if it is such a one.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let mut rest = path.trim_start_matches('$').trim();
        let mut segments = Vec::new();
        while let Some(first) = rest.chars().next() {
            let after = match first {
                '.' => after_name(&rest[1..])?,
                _ => after_bracket(rest[1..].trim_start())?,
            };
            let segment = rest[..rest.len() - after.len()].trim();
            segments.push(match first {
                '.' => Segment::Name(segment[1..].to_owned()),
                _ => in_brackets(segment[1..segment.len() - 1].trim())?,
            });
            rest = after.trim_start();
        }
        Some(Self(segments))
    }

    pub(super) fn whole(&self) -> Walk<'_> {
        Walk(&self.0)
    }

    /// The name that it begins with, and what is left of it behind that.
    pub(super) fn parted(&self) -> Option<(&str, Walk<'_>)> {
        match self.0.as_slice() {
            [Segment::Name(first), rest @ ..] => Some((first, Walk(rest))),
            _ => None,
        }
    }
}

fn in_brackets(text: &str) -> Option<Segment> {
    match text.chars().next()? {
        '\'' | '"' if text.contains('\\') => None,
        '\'' | '"' => Some(Segment::Name(text[1..text.len() - 1].to_owned())),
        _ => text.parse().ok().map(Segment::Index),
    }
}

/// What is left of the way, from where the deserializer is.
pub(super) struct Walk<'w>(&'w [Segment]);

impl Walk<'_> {
    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// What a text of JSON has there, without building the rest of it.
    pub(super) fn find(self, text: &str) -> serde_json::Result<Option<Value>> {
        let mut json = serde_json::Deserializer::from_str(text);
        let found = self.deserialize(&mut json)?;
        json.end()?;
        Ok(found)
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, here: D) -> Result<Self::Value, D::Error> {
        match self.0 {
            [] => Value::deserialize(here).map(Some),
            _ => here.deserialize_any(self),
        }
    }
}

/// Of a name that is there more than once the last one counts, as in JavaScript.
impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<Value>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match self.0 {
                [Segment::Name(wanted), rest @ ..] if *wanted == name => {
                    found = map.next_value_seed(Walk(rest))?
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let mut at = 0;
        loop {
            let more = match self.0 {
                [Segment::Index(wanted), rest @ ..] if *wanted == at => {
                    let inner = list.next_element_seed(Walk(rest))?;
                    found = inner.clone().flatten();
                    inner.is_some()
                }
                _ => list.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                return Ok(found);
            }
            at += 1;
        }
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}
