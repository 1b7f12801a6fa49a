//! How the parts of a key are written as bytes before they are hashed.
//!
//! An integer, a bool or a char is 8 bytes, little-endian, signed ones sign-extended, whatever its type's width (of 128 bits: 16
//! bytes). A float is the 8 bytes of its `f64`, with one zero and one NaN. A string or byte string is its
//! length (8 bytes) and its bytes; a sequence its length and its items. `None` is a 0, `Some` a 1 and the value. An enum's variant
//! is its name, as a string, and its fields. Tuples and structs are their fields in order; newtype structs are what they wrap.
//!
//! Always: two different values of one type differ in bytes, unless fields are skipped. Maps are refused. Part of the stored format: never to be changed.

use std::fmt::{self, Display};

use serde::ser::{self, Impossible, Serialize};

/// Why a key cannot be hashed.
#[derive(Debug, thiserror::Error)]
#[error("a key cannot be hashed: {0}")]
pub(super) struct KeyError(Box<str>);

impl KeyError {
    /// The refusal of maps.
    #[cold]
    pub(super) fn map() -> Self {
        let why = "it holds a map (or a struct with #[serde(flatten)]), whose order is not the same in every process; \
                   use a sorted list of pairs, or the fields themselves";
        KeyError(why.into())
    }
}

impl ser::Error for KeyError {
    #[cold]
    fn custom<T: Display>(message: T) -> Self {
        KeyError(message.to_string().into())
    }
}

/// The one word that stands for all floats that are equal, and for all that are not a number.
#[inline]
pub(super) fn float_word(value: f64) -> u64 {
    if value.is_nan() {
        return 0x7ff8_0000_0000_0000;
    }
    // Turns −0.0 into 0.0, and leaves every other value as it is.
    (value + 0.0).to_bits()
}

/// Appends what it is given; also collects the fields of tuples and structs, and the items of sequences.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    out: &'a mut Vec<u8>,
    /// Of a sequence: where its length stands, to be written at its end.
    length_at: Option<usize>,
    items: u64,
}

impl<'a> Parts<'a> {
    /// Appends to `out`.
    #[inline]
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Parts { out, length_at: None, items: 0 }
    }

    /// Appends to `out` a sequence, whose length is counted.
    #[inline]
    pub(super) fn sequence(out: &'a mut Vec<u8>) -> Self {
        let length_at = Some(out.len());
        out.extend_from_slice(&[0; 8]);
        Parts { out, length_at, items: 0 }
    }

    /// What was written.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        self.out
    }

    /// Appends a word.
    #[inline]
    pub(super) fn word(&mut self, word: u64) {
        self.out.extend_from_slice(&word.to_le_bytes());
    }

    /// Appends a delimited string of bytes.
    #[inline]
    pub(super) fn text(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    /// Appends a field or an item.
    #[inline]
    pub(super) fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), KeyError> {
        self.items += 1;
        value.serialize(Parts::new(self.out))
    }

    /// Ends a tuple, a struct or a sequence.
    #[inline]
    pub(super) fn finish(&mut self) {
        if let Some(at) = self.length_at {
            set_word(self.out, at, self.items);
        }
    }
}

/// Writes a word over the eight bytes at `at`.
fn set_word(out: &mut [u8], at: usize, word: u64) {
    if let Some(room) = out.get_mut(at..at + 8) {
        room.copy_from_slice(&word.to_le_bytes());
    }
}

/// Puts displayed text into a byte vector.
pub(super) struct Text<'a>(pub(super) &'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// The methods that turn integers into words.
macro_rules! words {
    ($($method:ident: $type:ty),*) => {
        $(#[inline]
        fn $method(self, value: $type) -> Result<Self::Ok, KeyError> {
            self.serialize_u64(value as u64)
        })*
    };
}

/// The traits that collect fields or items, on a type with `part` and `finish`.
macro_rules! compounds {
    ($type:ident, $ok:ty, $($trait:ident::$method:ident$(($name:ident))?),*) => {
        $(impl serde::ser::$trait for $type<'_> {
            type Ok = $ok;
            type Error = KeyError;
            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, $($name: &'static str,)? value: &T) -> Result<(), KeyError> {
                self.part(value)
            }
            #[inline]
            fn end(mut self) -> Result<$ok, KeyError> {
                Ok(self.finish())
            }
        })*
    };
}

pub(super) use {compounds, words};

compounds!(
    Parts,
    (),
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field,
    SerializeStruct::serialize_field(_name),
    SerializeStructVariant::serialize_field(_name)
);

impl<'a> ser::Serializer for Parts<'a> {
    type Ok = ();
    type Error = KeyError;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Impossible<(), KeyError>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    words!(serialize_bool: bool, serialize_char: char, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32);

    #[inline]
    fn serialize_u64(mut self, value: u64) -> Result<(), KeyError> {
        self.word(value);
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<(), KeyError> {
        self.serialize_u128(value as u128)
    }

    fn serialize_u128(self, value: u128) -> Result<(), KeyError> {
        self.out.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), KeyError> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<(), KeyError> {
        self.serialize_u64(float_word(value))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), KeyError> {
        self.serialize_bytes(value.as_bytes())
    }

    #[inline]
    fn serialize_bytes(mut self, value: &[u8]) -> Result<(), KeyError> {
        self.text(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), KeyError> {
        self.out.push(0);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Result<(), KeyError> {
        self.out.push(1);
        self.part(value)
    }

    fn serialize_unit(self) -> Result<(), KeyError> {
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), KeyError> {
        Ok(())
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<(), KeyError> {
        self.serialize_str(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<(), KeyError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), KeyError> {
        self.text(variant.as_bytes());
        self.part(value)
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Self, KeyError> {
        Ok(Parts::sequence(self.out))
    }

    #[inline]
    fn serialize_tuple(self, _length: usize) -> Result<Self, KeyError> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _name: &'static str, _length: usize) -> Result<Self, KeyError> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        mut self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Self, KeyError> {
        self.text(variant.as_bytes());
        Ok(self)
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Self::SerializeMap, KeyError> {
        Err(KeyError::map())
    }

    #[inline]
    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Self, KeyError> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self, KeyError> {
        self.serialize_tuple_variant(name, index, variant, length)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), KeyError> {
        let length_at = self.out.len();
        self.out.extend_from_slice(&[0; 8]);
        fmt::Write::write_fmt(&mut Text(self.out), format_args!("{value}")).map_err(ser::Error::custom)?;
        let length = self.out.len() - length_at - 8;
        set_word(self.out, length_at, length as u64);
        Ok(())
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}
