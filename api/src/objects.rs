//! JSON in which only an object is read as one. serde takes an array for a struct as well, by the order of its fields:
//! a body of `[]` would be one in which nothing is said.

use std::fmt;

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor},
};

/// Reads one value out of all of `bytes`.
///
/// # Errors
/// What serde_json says of it, and that an array is no object.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = T::deserialize(Objects::of(&mut reader))?;
    reader.end()?;
    Ok(read)
}

/// A reader, a visitor or a seed, each of which asks for a map where serde asks for a struct.
struct Objects<T> {
    of: T,
    /// Whether a struct is read, whose name in this code says nothing to a client.
    of_struct: bool,
}

impl<T> Objects<T> {
    fn of(of: T) -> Self {
        Self { of, of_struct: false }
    }
}

macro_rules! reads {
    ($($method:ident($($argument:ident: $type:ty),*);)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.of.$method($($argument,)* Objects::of(visitor))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Objects<D> {
    type Error = D::Error;

    reads! {
        deserialize_any(); deserialize_bool();
        deserialize_i8(); deserialize_i16(); deserialize_i32(); deserialize_i64(); deserialize_i128();
        deserialize_u8(); deserialize_u16(); deserialize_u32(); deserialize_u64(); deserialize_u128();
        deserialize_f32(); deserialize_f64(); deserialize_char();
        deserialize_str(); deserialize_string(); deserialize_bytes(); deserialize_byte_buf();
        deserialize_option(); deserialize_unit(); deserialize_seq(); deserialize_map();
        deserialize_identifier(); deserialize_ignored_any();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.of.deserialize_map(Objects { of: visitor, of_struct: true })
    }

    fn is_human_readable(&self) -> bool {
        self.of.is_human_readable()
    }
}

macro_rules! visits {
    ($($method:ident($type:ty);)*) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.of.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Objects<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.of_struct { f.write_str("an object") } else { self.of.expecting(f) }
    }

    visits! {
        visit_bool(bool);
        visit_i8(i8); visit_i16(i16); visit_i32(i32); visit_i64(i64); visit_i128(i128);
        visit_u8(u8); visit_u16(u16); visit_u32(u32); visit_u64(u64); visit_u128(u128);
        visit_f32(f32); visit_f64(f64); visit_char(char);
        visit_str(&str); visit_borrowed_str(&'de str); visit_string(String);
        visit_bytes(&[u8]); visit_borrowed_bytes(&'de [u8]); visit_byte_buf(Vec<u8>);
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.of.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.of.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.of.visit_some(Objects::of(deserializer))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.of.visit_newtype_struct(Objects::of(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        self.of.visit_seq(Objects::of(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        self.of.visit_map(Objects::of(members))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.of.visit_enum(Objects::of(variant))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Objects<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.of.deserialize(Objects::of(deserializer))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.of.next_element_seed(Objects::of(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.of.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.of.next_key_seed(Objects::of(seed))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.of.next_value_seed(Objects::of(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.of.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Objects<A> {
    type Error = A::Error;
    type Variant = Objects<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (name, variant) = self.of.variant_seed(Objects::of(seed))?;
        Ok((name, Objects::of(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.of.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.of.newtype_variant_seed(Objects::of(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.of.tuple_variant(len, Objects::of(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.of.newtype_variant_seed(Members(visitor))
    }
}

/// The members of a variant, which are an object too.
struct Members<V>(V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Members<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        deserializer.deserialize_map(Objects { of: self.0, of_struct: true })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::v1::{RulesBody, TransactionBody};

    #[derive(Debug, PartialEq, Deserialize)]
    enum Choice {
        Bare,
        Of(Inner),
        With { n: u64 },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        n: u64,
    }

    #[derive(Debug, Deserialize)]
    struct Outer<'a> {
        inner: Option<Inner>,
        all: Vec<Inner>,
        pair: (u8, f64),
        choices: Vec<Choice>,
        #[serde(borrow)]
        raw: &'a RawValue,
        any: serde_json::Value,
    }

    #[test]
    fn all_that_serde_reads_is_read() {
        let text = br#"{"inner": {"n": 1}, "all": [{"n": 2}], "pair": [3, 0.5], "choices": ["Bare", {"Of": {"n": 4}}, {"With": {"n": 5}}],
            "raw": [1,  {"a": null}], "any": [{"b": [true]}, 18446744073709551615]}"#;
        let read: Outer<'_> = from_slice(text).unwrap();
        assert_eq!((read.inner, read.all), (Some(Inner { n: 1 }), vec![Inner { n: 2 }]));
        let choices = vec![Choice::Bare, Choice::Of(Inner { n: 4 }), Choice::With { n: 5 }];
        assert_eq!((read.pair, read.choices), ((3, 0.5), choices));
        assert_eq!(read.raw.get(), r#"[1,  {"a": null}]"#);
        assert_eq!(read.any, serde_json::json!([{"b": [true]}, u64::MAX]));
    }

    #[test]
    fn an_array_is_no_object_however_deep() {
        for text in [
            "[]",
            "[[1]]",
            r#"{"inner": [1]}"#,
            r#"{"all": [[2]]}"#,
            r#"{"choices": [{"Of": [4]}]}"#,
            r#"{"choices": [{"With": [4]}]}"#,
        ] {
            let error = from_slice::<Outer<'_>>(text.as_bytes()).unwrap_err().to_string();
            assert!(
                error.starts_with("invalid type: sequence, expected an object at line 1"),
                "{text}: {error}"
            );
        }
        assert!(from_slice::<RulesBody>(b"[]").is_err(), "it would take all rules away");
        let by_place = br#"[[{"entityId": "a", "entityType": "t", "events": []}], [], [], null, false]"#;
        assert!(from_slice::<TransactionBody>(by_place).is_err());
        assert!(from_slice::<Inner>(br#"{"n": 1} {"n": 2}"#).is_err(), "more than one value");
    }
}
