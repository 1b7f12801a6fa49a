//! The serializer that a whole key meets first: it hashes a lone word or a lone string at once, without copying it, and hands
//! the parts of any other key to `parts.rs`.
//!
//! Always: nothing of the scratch is touched for a lone word or string. Pure, on any thread.

use std::fmt::{self, Display};

use serde::ser::{self, Impossible, Serialize};

use super::hash::KeyHasher;
use super::parts::{KeyError, Parts, Text, compounds, float_word, words};

/// Hashes one key.
#[derive(Debug)]
pub(super) struct Whole<'a> {
    hasher: KeyHasher,
    scratch: &'a mut Vec<u8>,
}

impl<'a> Whole<'a> {
    /// Hashes with `hasher`, writing keys of several parts into `scratch`.
    #[inline]
    pub(super) fn new(hasher: KeyHasher, scratch: &'a mut Vec<u8>) -> Self {
        Whole { hasher, scratch }
    }

    /// Hashes what `write` appends to the emptied scratch.
    #[inline]
    fn written(self, write: impl FnOnce(Parts<'_>) -> Result<(), KeyError>) -> Result<u64, KeyError> {
        self.scratch.clear();
        write(Parts::new(self.scratch))?;
        Ok(self.hasher.of_bytes(self.scratch))
    }

    /// A key of several parts, in order.
    #[inline]
    fn fields(self) -> Fields<'a> {
        self.scratch.clear();
        Fields { hasher: self.hasher, parts: Parts::new(self.scratch) }
    }
}

/// A key of several parts, of which some are written.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    hasher: KeyHasher,
    parts: Parts<'a>,
}

impl Fields<'_> {
    #[inline]
    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), KeyError> {
        self.parts.part(value)
    }

    #[inline]
    fn finish(&mut self) -> u64 {
        self.parts.finish();
        self.hasher.of_bytes(self.parts.bytes())
    }
}

compounds!(
    Fields,
    u64,
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field,
    SerializeStruct::serialize_field(_name),
    SerializeStructVariant::serialize_field(_name)
);

impl<'a> ser::Serializer for Whole<'a> {
    type Ok = u64;
    type Error = KeyError;
    type SerializeSeq = Fields<'a>;
    type SerializeTuple = Fields<'a>;
    type SerializeTupleStruct = Fields<'a>;
    type SerializeTupleVariant = Fields<'a>;
    type SerializeMap = Impossible<u64, KeyError>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Fields<'a>;

    words!(serialize_bool: bool, serialize_char: char, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32);

    #[inline]
    fn serialize_u64(self, value: u64) -> Result<u64, KeyError> {
        Ok(self.hasher.of_word(value))
    }

    fn serialize_i128(self, value: i128) -> Result<u64, KeyError> {
        self.serialize_u128(value as u128)
    }

    fn serialize_u128(self, value: u128) -> Result<u64, KeyError> {
        self.serialize_bytes(&value.to_le_bytes())
    }

    fn serialize_f32(self, value: f32) -> Result<u64, KeyError> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<u64, KeyError> {
        self.serialize_u64(float_word(value))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<u64, KeyError> {
        self.serialize_bytes(value.as_bytes())
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<u64, KeyError> {
        Ok(self.hasher.of_bytes(value))
    }

    fn serialize_none(self) -> Result<u64, KeyError> {
        self.written(|parts| parts.serialize_none())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<u64, KeyError> {
        self.written(|parts| parts.serialize_some(value))
    }

    fn serialize_unit(self) -> Result<u64, KeyError> {
        self.serialize_bytes(&[])
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<u64, KeyError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<u64, KeyError> {
        self.serialize_str(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<u64, KeyError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<u64, KeyError> {
        self.written(|parts| parts.serialize_newtype_variant(name, index, variant, value))
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Fields<'a>, KeyError> {
        self.scratch.clear();
        Ok(Fields { hasher: self.hasher, parts: Parts::sequence(self.scratch) })
    }

    #[inline]
    fn serialize_tuple(self, _length: usize) -> Result<Fields<'a>, KeyError> {
        Ok(self.fields())
    }

    fn serialize_tuple_struct(self, _name: &'static str, _length: usize) -> Result<Fields<'a>, KeyError> {
        Ok(self.fields())
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Fields<'a>, KeyError> {
        let mut fields = self.fields();
        fields.parts.text(variant.as_bytes());
        Ok(fields)
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Self::SerializeMap, KeyError> {
        Err(KeyError::map())
    }

    #[inline]
    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Fields<'a>, KeyError> {
        Ok(self.fields())
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Fields<'a>, KeyError> {
        self.serialize_tuple_variant(name, index, variant, length)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<u64, KeyError> {
        self.scratch.clear();
        fmt::Write::write_fmt(&mut Text(self.scratch), format_args!("{value}")).map_err(ser::Error::custom)?;
        Ok(self.hasher.of_bytes(self.scratch))
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}
