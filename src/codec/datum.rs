//! A MessagePack object whose type nobody knows: what inspection shows of keys and values.
//!
//! Always: whatever the bytes, reading is a value or an error, and holds no more than some tens of bytes for each byte of the input.

use std::fmt::{self, Write};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::encode;

/// What was stored, without its type: the structs and enums of the program are maps, lists and texts here.
///
/// It serializes as plain JSON wherever JSON has a form for it. Integers are exact, all 64 bits of them. What JSON has no form for:
///
/// - a map with other than text keys is a list of pairs, `[[key, value], …]`;
/// - bytes are `{"$bytes": "00ff"}`, two hex digits for each; a number of 128 bits is stored as 16 bytes, the highest first;
/// - a float that is no finite number is `{"$float": "NaN"}`, `"inf"` or `"-inf"`.
///
/// ```
/// use tidegate::stored::Datum;
///
/// let key = Datum::List(vec![Datum::Text("JFK".into()), Datum::Unsigned(u64::MAX)]);
/// assert_eq!(serde_json::to_string(&key).unwrap(), r#"["JFK",18446744073709551615]"#);
/// assert_eq!(serde_json::to_string(&Datum::Bytes(vec![0, 255])).unwrap(), r#"{"$bytes":"00ff"}"#);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Datum {
    /// Nothing: `None`, or a unit.
    Nil,
    /// Yes or no.
    Bool(bool),
    /// An integer from zero on.
    Unsigned(u64),
    /// An integer below zero.
    Negative(i64),
    /// A float of 32 bits.
    F32(f32),
    /// A float of 64 bits.
    F64(f64),
    /// A string, a char, or the name of a variant without fields.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A sequence, a tuple or a tuple struct.
    List(Vec<Datum>),
    /// A map, a struct, or a variant with what it holds; in the order in which it was written.
    Map(Vec<(Datum, Datum)>),
}

impl Datum {
    /// Its bytes with the entries of all maps in one order: equal for values that differ only in the order of maps' entries.
    pub(crate) fn in_order(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Nothing in it refuses to be written.
        let _ = encode(&self.sorted(), &mut bytes);
        bytes
    }

    fn sorted(self) -> Datum {
        match self {
            Datum::List(items) => Datum::List(items.into_iter().map(Datum::sorted).collect()),
            Datum::Map(entries) => {
                let mut entries: Vec<(Datum, Datum)> =
                    entries.into_iter().map(|(key, value)| (key.sorted(), value.sorted())).collect();
                entries.sort_by_cached_key(|(key, _)| key.clone().in_order());
                Datum::Map(entries)
            }
            other => other,
        }
    }
}

impl Serialize for Datum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Datum::Nil => serializer.serialize_unit(),
            Datum::Bool(value) => serializer.serialize_bool(*value),
            Datum::Unsigned(value) => serializer.serialize_u64(*value),
            Datum::Negative(value) => serializer.serialize_i64(*value),
            Datum::F32(value) if value.is_finite() => serializer.serialize_f32(*value),
            Datum::F64(value) if value.is_finite() => serializer.serialize_f64(*value),
            Datum::F32(value) => marked(serializer, "$float", &value.to_string()),
            Datum::F64(value) => marked(serializer, "$float", &value.to_string()),
            Datum::Text(text) => serializer.serialize_str(text),
            Datum::Bytes(bytes) => marked(serializer, "$bytes", &hex(bytes)),
            Datum::List(items) => serializer.collect_seq(items),
            Datum::Map(entries) if entries.iter().all(|(key, _)| matches!(key, Datum::Text(_))) => {
                serializer.collect_map(entries.iter().map(|(key, value)| (key, value)))
            }
            Datum::Map(entries) => serializer.collect_seq(entries),
        }
    }
}

/// What JSON has no form for, as a map of one entry that says what it is.
fn marked<S: Serializer>(serializer: S, what: &str, text: &str) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(what, text)?;
    map.end()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl<'de> Deserialize<'de> for Datum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reads)
    }
}

struct Reads;

impl<'de> Visitor<'de> for Reads {
    type Value = Datum;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any object")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Datum, E> {
        Ok(Datum::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Datum, E> {
        Ok(u64::try_from(value).map_or(Datum::Negative(value), Datum::Unsigned))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Datum, E> {
        Ok(Datum::Unsigned(value))
    }

    fn visit_f32<E>(self, value: f32) -> Result<Datum, E> {
        Ok(Datum::F32(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Datum, E> {
        Ok(Datum::F64(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Datum, E> {
        Ok(Datum::Text(value.into()))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Datum, E> {
        Ok(Datum::Bytes(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Datum, E> {
        Ok(Datum::Nil)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Datum, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Datum::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Datum, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Datum::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::super::decode;
    use super::*;

    fn json<T: Serialize>(value: &T) -> String {
        let mut bytes = Vec::new();
        encode(value, &mut bytes).unwrap();
        serde_json::to_string(&decode::<Datum>(&bytes).unwrap()).unwrap()
    }

    #[derive(serde::Serialize)]
    enum Shape {
        Point,
        Circle { radius: f32 },
    }

    #[test]
    fn every_kind_of_object_has_its_json() {
        assert_eq!(json(&(u64::MAX, i64::MIN, -1i8, 0u8)), "[18446744073709551615,-9223372036854775808,-1,0]");
        assert_eq!(json(&(1.5f64, 0.1f32, f64::NAN, f32::NEG_INFINITY)), r#"[1.5,0.1,{"$float":"NaN"},{"$float":"-inf"}]"#);
        assert_eq!(json(&(true, None::<u8>, "a\"b", 'ä')), r#"[true,null,"a\"b","ä"]"#);
        assert_eq!(json(&(Shape::Point, Shape::Circle { radius: 2.0 })), r#"["Point",{"Circle":{"radius":2.0}}]"#);
        assert_eq!(json(&BTreeMap::from([("x", vec![1, 2]), ("y", vec![])])), r#"{"x":[1,2],"y":[]}"#);
        assert_eq!(json(&BTreeMap::from([(1, "one"), (2, "two")])), r#"[[1,"one"],[2,"two"]]"#);
        assert_eq!(json(&u128::MAX), format!(r#"{{"$bytes":"{}"}}"#, "ff".repeat(16)));
    }

    #[test]
    fn the_order_of_a_maps_entries_is_no_difference() {
        let maps: Vec<HashMap<u32, HashMap<String, u8>>> =
            (0..2).map(|_| (0..40).map(|n| (n, (0..9).map(|m| (format!("{m}"), m)).collect())).collect()).collect();
        let [one, other] = [0, 1].map(|at| {
            let mut bytes = Vec::new();
            encode(&maps[at], &mut bytes).unwrap();
            bytes
        });
        assert_ne!(one, other, "two hash maps have two orders");
        let in_order = |bytes: &[u8]| decode::<Datum>(bytes).unwrap().in_order();
        assert_eq!(in_order(&one), in_order(&other));
        assert_ne!(in_order(&[0x92, 1, 2]), in_order(&[0x92, 2, 1]), "that of a list is");
    }
}
