//! MessagePack: how state is written, and read back without panics or runaway allocations.
//!
//! Structs are written with field names, so that fields can be added and removed under serde's defaults; maps whose keys are no
//! strings as arrays of pairs. Reading trusts no byte: whatever the input, the result is a value or an error. Plain functions,
//! called from any thread.

mod datum;
mod outline;
mod read;
mod shape;
mod show;
mod skip;
mod write;
#[cfg(test)]
#[path = "written_tests.rs"]
mod written;

pub use datum::Datum;
pub(crate) use outline::outline;
pub(crate) use shape::shape_of;
pub(crate) use show::shown;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::BoxError;

/// Nesting that decoding follows at most, so that no input can exhaust the stack.
const MAX_DEPTH: usize = 128;

/// Appends `value` to `out` as one MessagePack object.
///
/// # Errors
/// Where the value's own `Serialize` refuses. `out` may then end in a half-written object.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), BoxError> {
    let mut serializer = rmp_serde::Serializer::new(out).with_struct_map();
    value.serialize(write::Encoder(&mut serializer))?;
    Ok(())
}

/// Reads exactly one object from `bytes`.
///
/// # Errors
/// Where the bytes are no such object, or more follows it.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BoxError> {
    let mut reader = Reader::new(bytes);
    let value = reader.next()?;
    if reader.is_empty() {
        return Ok(value);
    }
    Err(format!("{} bytes follow the object", reader.remaining()).into())
}

/// Reads objects one after another.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the beginning of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// Reads the next object.
    ///
    /// # Errors
    /// Where the bytes end early, or are no such object. The reader then stands where it stood.
    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> Result<T, BoxError> {
        let mut rest = self.rest;
        let value = T::deserialize(&mut read::Decoder::new(&mut rest))?;
        self.rest = rest;
        Ok(value)
    }

    /// The bytes that are left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// True when every byte was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fmt;

    use serde::de::{self, DeserializeSeed, SeqAccess, Visitor};

    use super::*;

    /// Reads lists in lists, and adds up what room serde would give ahead.
    struct Hints<'a>(&'a Cell<usize>);

    impl<'de> DeserializeSeed<'de> for Hints<'_> {
        type Value = ();

        fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_any(self)
        }
    }

    impl<'de> Visitor<'de> for Hints<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list or a number")
        }

        fn visit_u64<E>(self, _: u64) -> Result<(), E> {
            Ok(())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
            self.0.set(self.0.get() + list.size_hint().unwrap_or(0));
            while list.next_element_seed(Hints(self.0))?.is_some() {}
            Ok(())
        }
    }

    #[test]
    fn objects_are_read_in_the_order_they_were_written() {
        let mut bytes = Vec::new();
        encode(&7u64, &mut bytes).unwrap();
        encode(&("a", 1.5f64), &mut bytes).unwrap();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.next::<u64>().unwrap(), 7);
        assert_eq!(reader.next::<(String, f64)>().unwrap(), ("a".to_string(), 1.5));
        assert!(reader.is_empty());
        assert!(reader.next::<u64>().is_err());
    }

    #[test]
    fn what_follows_a_single_object_is_an_error() {
        let mut bytes = Vec::new();
        encode(&7u64, &mut bytes).unwrap();
        bytes.push(0);
        assert!(decode::<u64>(&bytes).is_err());
    }

    #[test]
    fn a_length_beyond_the_input_is_an_error_and_not_an_allocation() {
        let claims_four_gigabytes = [0xdd, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert!(decode::<Vec<u64>>(&claims_four_gigabytes).is_err());
        let inside_of_others = [0x91, 0x92, 0x01, 0xdd, 0x00, 0x01, 0x00, 0x00, 0x01, 0x02];
        let error = decode::<Vec<(u64, Vec<u64>)>>(&inside_of_others).unwrap_err();
        assert_eq!(error.to_string(), "the bytes end within an object", "before anything is allocated");
        // On each level no more than the bytes that are left, and on all levels together far more.
        let claims_too_much_together = [0x00, 0xdc, 0x03, 0x00].repeat(256).split_off(1);
        let hinted = Cell::new(0);
        let mut rest = claims_too_much_together.as_slice();
        assert!(Hints(&hinted).deserialize(&mut read::Decoder::new(&mut rest)).is_err());
        assert!((768..=1024).contains(&hinted.get()), "room is given ahead for {} of 1,023 bytes", hinted.get());
        let claims_a_long_string = [0xdb, 0xff, 0xff, 0xff, 0xff, b'a'];
        assert!(decode::<String>(&claims_a_long_string).is_err());
    }
}
