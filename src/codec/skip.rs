//! Walking over MessagePack objects without knowing their types, so that lists of items can be divided between tasks, and values
//! changed within what surrounds them.
//!
//! Always: no recursion, no allocation, and no step beyond the input, whatever the bytes.

use super::Reader;
use crate::error::BoxError;

/// The header of an array or a map, without the objects that it contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    /// Its bytes.
    pub(crate) bytes: &'a [u8],
    /// Whether it is a map's.
    pub(crate) is_map: bool,
    /// How many items an array contains, or entries a map.
    pub(crate) len: u64,
}

impl<'a> Reader<'a> {
    /// Passes over the header of the next object, an array or a map, so that the objects within are the next ones.
    ///
    /// # Errors
    /// Where the next object is neither, or the bytes end early. The reader then stands where it stood.
    pub(crate) fn enter(&mut self) -> Result<Head<'a>, BoxError> {
        let (size, children) = measure(self.rest)?;
        let is_map = match self.rest.first() {
            Some(0x80..=0x8f | 0xde | 0xdf) => true,
            Some(0x90..=0x9f | 0xdc | 0xdd) => false,
            _ => return Err("it is neither an array nor a map".into()),
        };
        let (bytes, rest) = self.rest.split_at_checked(size).ok_or_else(ends_early)?;
        if children > rest.len() as u64 {
            return Err(ends_early());
        }
        self.rest = rest;
        Ok(Head { bytes, is_map, len: if is_map { children / 2 } else { children } })
    }

    /// Passes over the next object, and returns its bytes.
    ///
    /// # Errors
    /// Where the bytes end early, or begin no object. The reader then stands where it stood.
    pub(crate) fn skip(&mut self) -> Result<&'a [u8], BoxError> {
        let mut rest = self.rest;
        let mut pending = 1u64;
        while pending > 0 {
            let (size, children) = measure(rest)?;
            rest = rest.get(size..).ok_or_else(ends_early)?;
            pending += children;
            pending -= 1;
            if pending > rest.len() as u64 {
                return Err(ends_early());
            }
        }
        let object = self.rest.get(..self.rest.len() - rest.len()).ok_or_else(ends_early)?;
        self.rest = rest;
        Ok(object)
    }
}

fn ends_early() -> BoxError {
    "the bytes end within an object".into()
}

/// The size of the next object without the objects it contains, and how many of those follow.
fn measure(bytes: &[u8]) -> Result<(usize, u64), BoxError> {
    let (&marker, rest) = bytes.split_first().ok_or_else(ends_early)?;
    let small = usize::from(marker & 0x0f);
    Ok(match marker {
        0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => (1, 0),
        0x80..=0x8f => (1, 2 * small as u64),
        0x90..=0x9f => (1, small as u64),
        0xa0..=0xbf => (1 + usize::from(marker & 0x1f), 0),
        0xc1 => return Err("the bytes begin no object".into()),
        0xc4 | 0xd9 => sized(2, number(rest, 1)?),
        0xc5 | 0xda => sized(3, number(rest, 2)?),
        0xc6 | 0xdb => sized(5, number(rest, 4)?),
        0xc7 => sized(3, number(rest, 1)?),
        0xc8 => sized(4, number(rest, 2)?),
        0xc9 => sized(6, number(rest, 4)?),
        0xcc | 0xd0 => (2, 0),
        0xcd | 0xd1 => (3, 0),
        0xca | 0xce | 0xd2 => (5, 0),
        0xcb | 0xcf | 0xd3 => (9, 0),
        0xd4..=0xd8 => (2 + (1 << (marker - 0xd4)), 0),
        0xdc => (3, number(rest, 2)?),
        0xdd => (5, number(rest, 4)?),
        0xde => (3, 2 * number(rest, 2)?),
        0xdf => (5, 2 * number(rest, 4)?),
    })
}

fn sized(header: usize, length: u64) -> (usize, u64) {
    (header.saturating_add(length as usize), 0)
}

/// The big-endian number in the first `width` bytes.
fn number(bytes: &[u8], width: usize) -> Result<u64, BoxError> {
    let digits = bytes.get(..width).ok_or_else(ends_early)?;
    Ok(digits.iter().fold(0, |number, &digit| number << 8 | u64::from(digit)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::encode;
    use super::*;

    #[test]
    fn every_kind_of_object_is_passed_over_whole() {
        let mut bytes = Vec::new();
        let long = "x".repeat(70_000);
        for text in ["", "ab", &long[..40], &long[..300], &long] {
            encode(text, &mut bytes).unwrap();
        }
        for number in [0i64, -1, 100, -100, 1000, -1000, 1 << 20, -(1 << 20), 1 << 40, -(1 << 40)] {
            encode(&number, &mut bytes).unwrap();
        }
        encode(&(1.5f32, 1.5f64, true, None::<u8>), &mut bytes).unwrap();
        encode(&vec![vec![1u8; 20]; 70_000], &mut bytes).unwrap();
        encode(&BTreeMap::from([("a", BTreeMap::from([(1, 2)]))]), &mut bytes).unwrap();
        let objects = 18;
        bytes.extend([0xc4, 2, 1, 2, 0xc5, 0, 1, 9, 0xc6, 0, 0, 0, 1, 9, 0xd4, 1, 1, 0xd6, 1, 1, 2, 3, 4, 0xc7, 1, 5, 5]);
        let mut reader = Reader::new(&bytes);
        let mut walked = Vec::new();
        for _ in 0..objects + 6 {
            walked.extend_from_slice(reader.skip().unwrap());
        }
        assert!(reader.is_empty());
        assert_eq!(walked, bytes);
    }

    #[test]
    fn an_object_cut_short_is_an_error_and_the_reader_stays() {
        let mut bytes = Vec::new();
        encode(&(vec!["abc", "def"], BTreeMap::from([(1, 2)])), &mut bytes).unwrap();
        for length in 0..bytes.len() {
            let mut reader = Reader::new(&bytes[..length]);
            assert!(reader.skip().is_err());
            assert_eq!(reader.remaining(), length);
        }
    }

    #[test]
    fn a_list_or_a_map_is_entered_whatever_its_size_and_nothing_else_is() {
        for len in [0, 3, 15, 16, 70_000usize] {
            let (mut list, mut map) = (Vec::new(), Vec::new());
            encode(&vec![7u8; len], &mut list).unwrap();
            encode(&(0..len).map(|n| (n.to_string(), n)).collect::<BTreeMap<_, _>>(), &mut map).unwrap();
            for (bytes, is_map) in [(list, false), (map, true)] {
                let mut reader = Reader::new(&bytes);
                let head = reader.enter().unwrap();
                assert_eq!((head.is_map, head.len), (is_map, len as u64));
                assert_eq!([head.bytes, reader.rest()].concat(), bytes);
                for _ in 0..len * (1 + usize::from(is_map)) {
                    reader.skip().unwrap();
                }
                assert!(reader.is_empty());
            }
        }
        for bytes in [&[][..], &[7], &[0xa1, b'x'], &[0xc4, 1, 1], &[0xdc, 0], &[0xdd, 255, 255, 255, 255, 1], &[0x82, 1, 1]] {
            let mut reader = Reader::new(bytes);
            assert!(reader.enter().is_err(), "{bytes:?}");
            assert_eq!(reader.rest(), bytes);
        }
    }

    #[test]
    fn deep_nesting_does_not_exhaust_the_stack() {
        let mut bytes = vec![0x91; 5_000_000];
        bytes.push(0);
        assert_eq!(Reader::new(&bytes).skip().unwrap().len(), bytes.len());
        assert!(Reader::new(&[0xdf, 0xff, 0xff, 0xff, 0xff]).skip().is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_object_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Reader::new(&bytes).skip();
        }
    }
}
