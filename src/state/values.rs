//! Where the values of a state's entries are, by its kind: so that they can be made anew, and everything around them stays.
//!
//! Always: keys, times, lengths and the order of what a list or a map holds are copied as the bytes that they are. Plain functions,
//! used where states are registered and where they are written by hand.

use crate::codec::Reader;
use crate::error::BoxError;

use super::view::{StateDescriptor, StateKind};

/// Reads a value, and writes what stands in its place.
pub(super) type Remake<'a> = dyn FnMut(&mut Reader<'_>, &mut Vec<u8>) -> Result<(), BoxError> + 'a;

/// Writes the next entry of a state anew, with each of its values as `remake` makes it: the value of a key, each element of a key's
/// list, each value of a key's map, each item of a list.
///
/// # Errors
/// Where the entry is not formed as those of the state are, or `remake` fails.
pub(super) fn remade(
    state: &StateDescriptor,
    reader: &mut Reader<'_>,
    out: &mut Vec<u8>,
    remake: &mut Remake<'_>,
) -> Result<(), BoxError> {
    let mut value = |reader: &mut Reader<'_>, out: &mut Vec<u8>| {
        if state.stamped {
            out.extend_from_slice(time(reader)?);
        }
        remake(reader, out)
    };
    match state.kind {
        StateKind::List | StateKind::UnionList => value(reader, out),
        StateKind::Value | StateKind::Reducing | StateKind::Aggregating | StateKind::Broadcast => {
            out.extend_from_slice(reader.skip()?);
            value(reader, out)
        }
        StateKind::KeyedList => {
            out.extend_from_slice(reader.skip()?);
            let head = reader.enter()?;
            out.extend_from_slice(head.bytes);
            (0..head.len).try_for_each(|_| value(reader, out))
        }
        StateKind::Map => {
            out.extend_from_slice(reader.skip()?);
            let head = reader.enter()?;
            out.extend_from_slice(head.bytes);
            (0..head.len).try_for_each(|_| {
                // A map whose keys are no strings is an array of pairs.
                if !head.is_map {
                    out.extend_from_slice(reader.enter()?.bytes);
                }
                out.extend_from_slice(reader.skip()?);
                value(reader, out)
            })
        }
        StateKind::Timers | StateKind::Window => Err("it holds no values of the program".into()),
    }
}

/// Passes over what stands before a value that has a time: the head of an array of two, and the time.
fn time<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], BoxError> {
    let rest = reader.rest();
    let mut within = Reader::new(rest);
    let head = within.enter().ok().filter(|head| !head.is_map && head.len == 2);
    head.ok_or("it has no time, and should have one")?;
    within.skip()?;
    let length = rest.len() - within.remaining();
    *reader = within;
    rest.get(..length).ok_or_else(|| "its time ends early".into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::*;
    use crate::codec::encode;

    /// Two objects: a key and its value.
    fn pair(key: impl Serialize, value: impl Serialize) -> Vec<u8> {
        [object(key), object(value)].concat()
    }

    fn object(value: impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(&value, &mut bytes).unwrap();
        bytes
    }

    /// An entry in which each number is made into a text.
    fn texts(kind: StateKind, stamped: bool, entry: &[u8]) -> Result<Vec<u8>, BoxError> {
        let state = StateDescriptor { stamped, ..StateDescriptor::new("x", kind, 1) };
        let (mut reader, mut out) = (Reader::new(entry), Vec::new());
        remade(&state, &mut reader, &mut out, &mut |reader, out| encode(&reader.next::<u64>()?.to_string(), out))?;
        assert!(reader.is_empty());
        Ok(out)
    }

    #[test]
    fn values_are_found_in_entries_of_each_kind() {
        for kind in [StateKind::Value, StateKind::Reducing, StateKind::Aggregating, StateKind::Broadcast] {
            assert_eq!(texts(kind, false, &pair(1, 2)).unwrap(), pair(1, "2"));
        }
        for kind in [StateKind::List, StateKind::UnionList] {
            assert_eq!(texts(kind, false, &object(2)).unwrap(), object("2"));
        }
        let lists = [pair(1, [2, 3]), pair(1, ["2", "3"])];
        assert_eq!(texts(StateKind::KeyedList, false, &lists[0]).unwrap(), lists[1]);
        let maps = [pair(1, BTreeMap::from([("a", 2), ("b", 3)])), pair(1, BTreeMap::from([("a", "2"), ("b", "3")]))];
        assert_eq!(texts(StateKind::Map, false, &maps[0]).unwrap(), maps[1]);
        let pairs = [pair(1, BTreeMap::from([(7, 2), (8, 3)])), pair(1, BTreeMap::from([(7, "2"), (8, "3")]))];
        assert_eq!(texts(StateKind::Map, false, &pairs[0]).unwrap(), pairs[1]);
    }

    #[test]
    fn times_stay_beside_their_values() {
        let lists = [pair(1, [(10, 2), (20, 3)]), pair(1, [(10, "2"), (20, "3")])];
        assert_eq!(texts(StateKind::KeyedList, true, &lists[0]).unwrap(), lists[1]);
        let maps = [pair(1, BTreeMap::from([(7, (10, 2))])), pair(1, BTreeMap::from([(7, (10, "2"))]))];
        assert_eq!(texts(StateKind::Map, true, &maps[0]).unwrap(), maps[1]);
        let error = texts(StateKind::Value, true, &pair(1, 2)).unwrap_err().to_string();
        assert!(error.contains("it has no time"), "{error}");
    }

    #[test]
    fn what_is_not_formed_so_is_an_error() {
        for kind in [StateKind::KeyedList, StateKind::Map, StateKind::Timers, StateKind::Window] {
            assert!(texts(kind, false, &pair(1, 2)).is_err(), "{kind:?}");
        }
        assert!(texts(StateKind::KeyedList, false, &[1, 0x92, 1]).is_err(), "it ends early");
        assert!(texts(StateKind::Map, false, &[1, 0x91, 1]).is_err(), "no pair");
    }
}
