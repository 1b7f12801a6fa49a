//! Writing: what rmp-serde writes, except that a map is a MessagePack map only if its keys are strings.
//!
//! Any other map is an array of pairs, because many readers refuse maps with keys that are no strings. Always: the first key
//! decides, and an empty map is an empty map. The header of such a pair is not the shortest one, so that whoever reads without
//! knowing the type can tell it from a list of pairs.

use rmp_serde::config::{DefaultConfig, StructMapConfig};
use rmp_serde::encode::Error;
use serde::ser::{self, Impossible, Serialize, Serializer};
use std::fmt;

/// The header of a pair: an array of two, in three bytes where one would do.
pub(super) const PAIR: [u8; 3] = [0xdc, 0, 2];

/// What rmp-serde writes with.
pub(super) type Rmp<'o> = rmp_serde::Serializer<&'o mut Vec<u8>, StructMapConfig<DefaultConfig>>;

/// Writes one object.
pub(super) struct Encoder<'a, 'o>(pub(super) &'a mut Rmp<'o>);

/// How the parts of an object are written.
#[derive(Clone, Copy)]
enum Form {
    List,
    /// Of a struct, or of a map whose keys are strings.
    Map,
    Pairs,
    /// A map whose first key is still to come.
    Undecided,
}

/// An object that consists of others.
pub(super) struct Parts<'a, 'o> {
    rmp: &'a mut Rmp<'o>,
    form: Form,
    /// Where the length is not known before: where the object begins, and how many parts it has so far.
    uncounted: Option<(usize, usize)>,
}

impl<'a, 'o> Parts<'a, 'o> {
    fn begin(rmp: &'a mut Rmp<'o>, form: Form, len: Option<usize>) -> Result<Self, Error> {
        let uncounted = if len.is_none() { Some((rmp.get_ref().len(), 0)) } else { None };
        let mut parts = Parts { rmp, form, uncounted };
        parts.header(len)?;
        Ok(parts)
    }

    /// Writes the header, if the length and the form are known.
    fn header(&mut self, len: Option<usize>) -> Result<(), Error> {
        match (self.form, len) {
            (Form::List | Form::Pairs, Some(len)) => self.rmp.serialize_seq(Some(len)).map(drop),
            (Form::Map, Some(len)) => self.rmp.serialize_map(Some(len)).map(drop),
            _ => Ok(()),
        }
    }

    fn part<T: Serialize + ?Sized>(&mut self, part: &T) -> Result<(), Error> {
        if let Some((_, count)) = &mut self.uncounted {
            *count += 1;
        }
        part.serialize(Encoder(self.rmp))
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.rmp.serialize_str(name)?;
        value.serialize(Encoder(self.rmp))
    }

    /// Puts the header where it belongs, if it was not written at the beginning.
    fn end(mut self) -> Result<(), Error> {
        let Some((start, count)) = self.uncounted else { return Ok(()) };
        let end = self.rmp.get_ref().len();
        self.header(Some(count))?;
        let out = self.rmp.get_mut();
        let header = out.len() - end;
        out.get_mut(start..).unwrap_or_default().rotate_right(header);
        Ok(())
    }
}

/// What consists of parts or fields, whichever of serde's words it goes by.
macro_rules! compounds {
    ($($trait:ident::$method:ident($($name:ident)?) is $write:ident),*) => {
        $(impl ser::$trait for Parts<'_, '_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, $($name: &'static str,)? value: &T) -> Result<(), Error> {
                self.$write($($name,)? value)
            }

            fn end(self) -> Result<(), Error> {
                Parts::end(self)
            }
        })*
    };
}

compounds!(
    SerializeSeq::serialize_element() is part,
    SerializeTuple::serialize_element() is part,
    SerializeTupleStruct::serialize_field() is part,
    SerializeTupleVariant::serialize_field() is part,
    SerializeStruct::serialize_field(name) is field,
    SerializeStructVariant::serialize_field(name) is field
);

/// A map under way, with its length where that is known.
pub(super) struct Entries<'a, 'o>(Parts<'a, 'o>, Option<usize>);

impl ser::SerializeMap for Entries<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        let Entries(parts, len) = self;
        if let Form::Undecided = parts.form {
            parts.form = if key.serialize(TextOnly).is_ok() { Form::Map } else { Form::Pairs };
            parts.header(*len)?;
        }
        if let Form::Pairs = parts.form {
            parts.rmp.get_mut().extend_from_slice(&PAIR);
        }
        parts.part(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(Encoder(self.0.rmp))
    }

    fn end(self) -> Result<(), Error> {
        let Entries(mut parts, len) = self;
        if let Form::Undecided = parts.form {
            parts.form = Form::Map;
            parts.header(len)?;
        }
        parts.end()
    }
}

impl<'a, 'o> Encoder<'a, 'o> {
    /// The name of a variant, in front of what it holds.
    fn variant(self, name: &'static str) -> Result<&'a mut Rmp<'o>, Error> {
        self.0.serialize_map(Some(1)).map(drop)?;
        self.0.serialize_str(name)?;
        Ok(self.0)
    }
}

/// Hands scalars on to rmp-serde.
macro_rules! scalars {
    ($($name:ident: $scalar:ty),*) => {
        $(fn $name(self, value: $scalar) -> Result<(), Error> {
            self.0.$name(value)
        })*
    };
}

impl<'a, 'o> Serializer for Encoder<'a, 'o> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Parts<'a, 'o>;
    type SerializeTuple = Parts<'a, 'o>;
    type SerializeTupleStruct = Parts<'a, 'o>;
    type SerializeTupleVariant = Parts<'a, 'o>;
    type SerializeMap = Entries<'a, 'o>;
    type SerializeStruct = Parts<'a, 'o>;
    type SerializeStructVariant = Parts<'a, 'o>;

    scalars!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128, serialize_f32: f32,
        serialize_f64: f64, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8], serialize_unit_struct: &'static str
    );

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.0.serialize_unit()
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.0.serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.0.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<(), Error> {
        if name == rmp_serde::MSGPACK_EXT_STRUCT_NAME {
            return Err(ser::Error::custom("state cannot hold MessagePack's extension types: keep their bytes"));
        }
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(Encoder(self.variant(variant)?))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Parts<'a, 'o>, Error> {
        Parts::begin(self.0, Form::List, len)
    }

    fn serialize_tuple(self, len: usize) -> Result<Parts<'a, 'o>, Error> {
        Parts::begin(self.0, Form::List, Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Parts<'a, 'o>, Error> {
        Parts::begin(self.0, Form::List, Some(len))
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, variant: &'static str, len: usize) -> Result<Parts<'a, 'o>, Error> {
        Parts::begin(self.variant(variant)?, Form::List, Some(len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Entries<'a, 'o>, Error> {
        Ok(Entries(Parts::begin(self.0, Form::Undecided, len)?, len))
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Parts<'a, 'o>, Error> {
        Parts::begin(self.0, Form::Map, Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Parts<'a, 'o>, Error> {
        Parts::begin(self.variant(variant)?, Form::Map, Some(len))
    }
}

/// Writes nothing, and refuses what would not be written as a string.
struct TextOnly;

/// Whatever is refused.
macro_rules! refused {
    ($($name:ident($($arg:ty),*) -> $out:ty;)*) => {
        $(fn $name(self $(, _: $arg)*) -> Result<$out, fmt::Error> {
            Err(fmt::Error)
        })*
    };
}

type Never = Impossible<(), fmt::Error>;

impl Serializer for TextOnly {
    type Ok = ();
    type Error = fmt::Error;
    type SerializeSeq = Never;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Never;
    type SerializeStruct = Never;
    type SerializeStructVariant = Never;

    refused!(
        serialize_bool(bool) -> ();
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_i128(i128) -> ();
        serialize_u8(u8) -> ();
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_u64(u64) -> ();
        serialize_u128(u128) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_seq(Option<usize>) -> Never;
        serialize_tuple(usize) -> Never;
        serialize_tuple_struct(&'static str, usize) -> Never;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Never;
        serialize_map(Option<usize>) -> Never;
        serialize_struct(&'static str, usize) -> Never;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Never;
    );

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_str(self, _: &str) -> Result<(), fmt::Error> {
        Ok(())
    }

    fn serialize_char(self, _: char) -> Result<(), fmt::Error> {
        Ok(())
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result<(), fmt::Error> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), fmt::Error> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), fmt::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), fmt::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), fmt::Error> {
        Err(fmt::Error)
    }
}
