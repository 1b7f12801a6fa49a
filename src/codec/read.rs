//! Reading: one object after another, from bytes that may be anything.
//!
//! Always: the result is a value or an error; nesting is bounded; all objects that are claimed at one time, on all levels together, are
//! no more than there are bytes, because serde gives room ahead for what is claimed: a megabyte at each level, if it is let. A map
//! is read from a map, and from an array of pairs as well; where the type is not known, the header of the first pair tells.

use std::fmt;

use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::write::PAIR;
use super::{MAX_DEPTH, Reader};

/// Why bytes cannot be read as what they should be.
#[derive(Debug)]
pub(super) struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

impl de::Error for Unreadable {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Unreadable(text.to_string())
    }
}

fn unreadable<T>(text: &str) -> Result<T, Unreadable> {
    Err(Unreadable(text.into()))
}

/// An object, or the header of one that consists of others.
enum Object<'de> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    F32(f32),
    F64(f64),
    Text(&'de str),
    Bytes(&'de [u8]),
    Array(usize),
    Map(usize),
}

/// Reads objects from the front of `rest`.
pub(super) struct Decoder<'r, 'de> {
    pub(super) rest: &'r mut &'de [u8],
    /// How much deeper nesting may go.
    depth: usize,
    /// The objects that the ones around still have to come to, each of which has a byte at least.
    owed: usize,
}

impl<'r, 'de> Decoder<'r, 'de> {
    /// At the beginning of an object that is in no other.
    pub(super) fn new(rest: &'r mut &'de [u8]) -> Self {
        Decoder { rest, depth: MAX_DEPTH, owed: 0 }
    }

    fn take(&mut self, n: usize) -> Result<&'de [u8], Unreadable> {
        let Some((front, rest)) = self.rest.split_at_checked(n) else { return unreadable("the bytes end within an object") };
        *self.rest = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let Some((front, rest)) = self.rest.split_first_chunk() else { return unreadable("the bytes end within an object") };
        *self.rest = rest;
        Ok(*front)
    }

    /// A length in so many bytes.
    fn length(&mut self, width: usize) -> Result<usize, Unreadable> {
        Ok(self.take(width)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }

    fn text(&mut self, length: usize) -> Result<Object<'de>, Unreadable> {
        match std::str::from_utf8(self.take(length)?) {
            Ok(text) => Ok(Object::Text(text)),
            Err(_) => unreadable("a string is not UTF-8"),
        }
    }

    /// How many elements or entries are to come, of so many objects each.
    fn count(&self, count: usize, each: usize) -> Result<usize, Unreadable> {
        let room = self.rest.len().saturating_sub(self.owed);
        if count.saturating_mul(each) <= room { Ok(count) } else { unreadable("the bytes end within an object") }
    }

    fn object(&mut self) -> Result<Object<'de>, Unreadable> {
        let [marker] = self.array()?;
        Ok(match marker {
            0x00..=0x7f => Object::Unsigned(u64::from(marker)),
            0x80..=0x8f => Object::Map(self.count(usize::from(marker & 0x0f), 2)?),
            0x90..=0x9f => Object::Array(self.count(usize::from(marker & 0x0f), 1)?),
            0xa0..=0xbf => self.text(usize::from(marker & 0x1f))?,
            0xc0 => Object::Nil,
            0xc1 => return unreadable("the bytes begin no object"),
            0xc2 | 0xc3 => Object::Bool(marker == 0xc3),
            0xc4..=0xc6 => {
                let length = self.length(1 << (marker - 0xc4))?;
                Object::Bytes(self.take(length)?)
            }
            0xc7..=0xc9 | 0xd4..=0xd8 => return unreadable("an extension type is not to be expected"),
            0xca => Object::F32(f32::from_be_bytes(self.array()?)),
            0xcb => Object::F64(f64::from_be_bytes(self.array()?)),
            0xcc => Object::Unsigned(u64::from(u8::from_be_bytes(self.array()?))),
            0xcd => Object::Unsigned(u64::from(u16::from_be_bytes(self.array()?))),
            0xce => Object::Unsigned(u64::from(u32::from_be_bytes(self.array()?))),
            0xcf => Object::Unsigned(u64::from_be_bytes(self.array()?)),
            0xd0 => Object::Signed(i64::from(i8::from_be_bytes(self.array()?))),
            0xd1 => Object::Signed(i64::from(i16::from_be_bytes(self.array()?))),
            0xd2 => Object::Signed(i64::from(i32::from_be_bytes(self.array()?))),
            0xd3 => Object::Signed(i64::from_be_bytes(self.array()?)),
            0xd9..=0xdb => {
                let length = self.length(1 << (marker - 0xd9))?;
                self.text(length)?
            }
            0xdc | 0xdd => {
                let count = self.length(2 << (marker - 0xdc))?;
                Object::Array(self.count(count, 1)?)
            }
            0xde | 0xdf => {
                let count = self.length(2 << (marker - 0xde))?;
                Object::Map(self.count(count, 2)?)
            }
            0xe0..=0xff => Object::Signed(i64::from(marker as i8)),
        })
    }

    /// Reads what an object consists of, one level deeper, and all of it.
    fn inside<V>(
        &mut self,
        left: usize,
        of: Of,
        visit: impl FnOnce(&mut Inside<'_, 'de>) -> Result<V, Unreadable>,
    ) -> Result<V, Unreadable> {
        let Some(depth) = self.depth.checked_sub(1) else { return unreadable("it is nested too deeply") };
        let owed = self.owed + left * of.objects();
        let mut inside = Inside { decoder: Decoder { rest: self.rest, depth, owed }, left, of };
        let value = visit(&mut inside)?;
        if inside.left == 0 { Ok(value) } else { unreadable("there is more in it than was expected") }
    }

    fn visit<V: Visitor<'de>>(&mut self, object: Object<'de>, visitor: V) -> Result<V::Value, Unreadable> {
        match object {
            Object::Nil => visitor.visit_unit(),
            Object::Bool(value) => visitor.visit_bool(value),
            Object::Unsigned(value) => visitor.visit_u64(value),
            Object::Signed(value) => visitor.visit_i64(value),
            Object::F32(value) => visitor.visit_f32(value),
            Object::F64(value) => visitor.visit_f64(value),
            Object::Text(value) => visitor.visit_borrowed_str(value),
            Object::Bytes(value) => visitor.visit_borrowed_bytes(value),
            Object::Array(count) if self.rest.starts_with(&PAIR) => {
                self.inside(count, Of::Pairs, |inside| visitor.visit_map(inside))
            }
            Object::Array(count) => self.inside(count, Of::Elements, |inside| visitor.visit_seq(inside)),
            Object::Map(count) => self.inside(count, Of::Entries, |inside| visitor.visit_map(inside)),
        }
    }

    /// A number of 128 bits.
    fn wide(&mut self) -> Result<Result<[u8; 16], Object<'de>>, Unreadable> {
        match self.object()? {
            Object::Bytes(bytes) => match bytes.try_into() {
                Ok(bytes) => Ok(Ok(bytes)),
                Err(_) => unreadable("a number of 128 bits has 16 bytes"),
            },
            other => Ok(Err(other)),
        }
    }
}

impl<'de> Deserializer<'de> for &mut Decoder<'_, 'de> {
    type Error = Unreadable;

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit struct identifier
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        let object = self.object()?;
        self.visit(object, visitor)
    }

    /// Passes over what nobody asks for, which need only be whole.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        let mut reader = Reader { rest: self.rest };
        reader.skip().map_err(de::Error::custom)?;
        *self.rest = reader.rest;
        visitor.visit_unit()
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.wide()? {
            Ok(bytes) => visitor.visit_i128(i128::from_be_bytes(bytes)),
            Err(other) => self.visit(other, visitor),
        }
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.wide()? {
            Ok(bytes) => visitor.visit_u128(u128::from_be_bytes(bytes)),
            Err(other) => self.visit(other, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        if let Some((0xc0, rest)) = self.rest.split_first() {
            *self.rest = rest;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Unreadable> {
        match self.object()? {
            Object::Array(0) => visitor.visit_unit(),
            other => self.visit(other, visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.object()? {
            Object::Array(count) => self.inside(count, Of::Elements, |inside| visitor.visit_seq(inside)),
            Object::Bytes(bytes) => visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied())),
            other => self.visit(other, visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Unreadable> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value, Unreadable> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.object()? {
            Object::Array(count) => self.inside(count, Of::Pairs, |inside| visitor.visit_map(inside)),
            other => self.visit(other, visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        match self.object()? {
            Object::Text(variant) => visitor.visit_enum(StrDeserializer::new(variant)),
            Object::Map(1) => self.inside(0, Of::Elements, |inside| visitor.visit_enum(&mut inside.decoder)),
            Object::Unsigned(variant) => match u32::try_from(variant) {
                Ok(variant) => visitor.visit_enum(variant.into_deserializer()),
                Err(_) => unreadable("there is no such variant"),
            },
            _ => unreadable("an enum is a name, or a map of one name and what it holds"),
        }
    }
}

/// What an object consists of.
#[derive(Clone, Copy)]
enum Of {
    Elements,
    /// Entries of two objects each.
    Entries,
    /// Entries that are arrays of two.
    Pairs,
}

impl Of {
    /// The objects in each, those inside of them left out.
    fn objects(self) -> usize {
        match self {
            Of::Elements | Of::Pairs => 1,
            Of::Entries => 2,
        }
    }
}

/// An object that is read from the inside.
struct Inside<'r, 'de> {
    decoder: Decoder<'r, 'de>,
    /// Elements or entries that are still to be read.
    left: usize,
    of: Of,
}

impl Inside<'_, '_> {
    /// Whether there is one more, which is then counted as read.
    fn one_more(&mut self) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        self.decoder.owed -= 1;
        true
    }
}

impl<'de> de::SeqAccess<'de> for &mut Inside<'_, 'de> {
    type Error = Unreadable;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Unreadable> {
        if self.one_more() { seed.deserialize(&mut self.decoder).map(Some) } else { Ok(None) }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> de::MapAccess<'de> for &mut Inside<'_, 'de> {
    type Error = Unreadable;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Unreadable> {
        if !self.one_more() {
            return Ok(None);
        }
        if matches!(self.of, Of::Pairs) && !matches!(self.decoder.object()?, Object::Array(2)) {
            return unreadable("a map is expected, and this list has something else than pairs");
        }
        seed.deserialize(&mut self.decoder).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Unreadable> {
        self.decoder.owed -= self.of.objects() - 1;
        seed.deserialize(&mut self.decoder)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> de::EnumAccess<'de> for &mut Decoder<'_, 'de> {
    type Error = Unreadable;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Unreadable> {
        let variant = seed.deserialize(&mut *self)?;
        Ok((variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for &mut Decoder<'_, 'de> {
    type Error = Unreadable;

    fn unit_variant(self) -> Result<(), Unreadable> {
        de::Deserialize::deserialize(self)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Unreadable> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Unreadable> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Unreadable> {
        self.deserialize_any(visitor)
    }
}
