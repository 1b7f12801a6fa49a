//! MessagePack as text, for people: what a state holds, in a message or a timeline.
//!
//! Always: whatever the bytes, there is a text; what cannot be read is said to be so. Not meant to be read back.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Reader;

/// The objects in these bytes, one text for each.
pub(crate) fn shown(bytes: &[u8]) -> Vec<String> {
    let (mut reader, mut texts) = (Reader::new(bytes), Vec::new());
    while !reader.is_empty() {
        match reader.next::<Shown>() {
            Ok(Shown(text)) => texts.push(text),
            Err(_) => {
                texts.push(format!("{} bytes that cannot be read", reader.remaining()));
                break;
            }
        }
    }
    texts
}

/// One object as text.
struct Shown(String);

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shows).map(Shown)
    }
}

struct Shows;

impl<'de> Visitor<'de> for Shows {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any object")
    }

    fn visit_bool<E>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }

    /// The lowest number stands for a time that there is not.
    fn visit_i64<E>(self, value: i64) -> Result<String, E> {
        Ok(if value == i64::MIN { "none".into() } else { value.to_string() })
    }

    fn visit_u64<E>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_f64<E>(self, value: f64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_str<E>(self, value: &str) -> Result<String, E> {
        Ok(format!("{value:?}"))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<String, E> {
        Ok(format!("({} bytes)", value.len()))
    }

    fn visit_unit<E>(self) -> Result<String, E> {
        Ok("nil".into())
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, _: D) -> Result<String, D::Error> {
        Ok("(an extension)".into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<String, A::Error> {
        let mut texts = Vec::new();
        while let Some(Shown(item)) = items.next_element()? {
            texts.push(item);
        }
        Ok(format!("[{}]", texts.join(", ")))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<String, A::Error> {
        let mut texts = Vec::new();
        while let Some((Shown(key), Shown(value))) = entries.next_entry()? {
            texts.push(format!("{key}: {value}"));
        }
        Ok(format!("{{{}}}", texts.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::encode;
    use super::*;

    #[test]
    fn every_kind_of_object_has_a_text() {
        let mut bytes = Vec::new();
        encode(&(7u8, -1i64, 1.5f64, "a\"b", true, None::<u8>), &mut bytes).unwrap();
        encode(&BTreeMap::from([("x", vec![1, 2]), ("y", vec![])]), &mut bytes).unwrap();
        bytes.extend([0xc4, 2, 1, 2]);
        let expected = ["[7, -1, 1.5, \"a\\\"b\", true, nil]", "{\"x\": [1, 2], \"y\": []}", "(2 bytes)"];
        assert_eq!(shown(&bytes), expected);
        assert_eq!(shown(&[7, 0x92, 1]), ["7", "2 bytes that cannot be read"]);
    }
}
