//! The outline of an object: which fields it has and of what kinds, and nothing of what is in it.
//!
//! Always: whatever the bytes, there is an outline, of bounded length. For messages that say what was stored.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Reader;

/// Fields of a map, and items of a list, that are told.
const TOLD: usize = 16;
/// Characters that are told of a field's name.
const NAME: usize = 40;
/// Characters that are told altogether.
const LENGTH: usize = 400;

/// The outline of the first object in these bytes.
pub(crate) fn outline(bytes: &[u8]) -> String {
    match Reader::new(bytes).next::<Outline>() {
        Ok(Outline(text)) => cut(&text, LENGTH),
        Err(_) => "bytes that are no object".into(),
    }
}

/// The first characters of a text.
fn cut(text: &str, length: usize) -> String {
    let mut cut: String = text.chars().take(length).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

struct Outline(String);

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Outlines).map(|text| Outline(cut(&text, LENGTH)))
    }
}

/// A field's name, or the outline of a key that is none.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Names).map(Name)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any object")
    }

    fn visit_str<E>(self, name: &str) -> Result<String, E> {
        Ok(cut(name, NAME))
    }

    fn visit_i64<E>(self, _: i64) -> Result<String, E> {
        Ok("integer".into())
    }

    fn visit_u64<E>(self, _: u64) -> Result<String, E> {
        Ok("integer".into())
    }

    fn visit_bool<E>(self, _: bool) -> Result<String, E> {
        Ok("bool".into())
    }
}

struct Outlines;

impl<'de> Visitor<'de> for Outlines {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any object")
    }

    fn visit_bool<E>(self, _: bool) -> Result<String, E> {
        Ok("bool".into())
    }

    fn visit_i64<E>(self, _: i64) -> Result<String, E> {
        Ok("integer".into())
    }

    fn visit_u64<E>(self, _: u64) -> Result<String, E> {
        Ok("integer".into())
    }

    fn visit_f64<E>(self, _: f64) -> Result<String, E> {
        Ok("float".into())
    }

    fn visit_str<E>(self, _: &str) -> Result<String, E> {
        Ok("string".into())
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<String, E> {
        Ok("bytes".into())
    }

    fn visit_unit<E>(self) -> Result<String, E> {
        Ok("nothing".into())
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, _: D) -> Result<String, D::Error> {
        Ok("extension".into())
    }

    /// Items that are all of one kind are told once.
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<String, A::Error> {
        let (mut told, mut more) = (Vec::new(), false);
        while told.len() < TOLD
            && let Some(Outline(item)) = items.next_element()?
        {
            told.push(item);
        }
        while items.next_element::<IgnoredAny>()?.is_some() {
            more = true;
        }
        let alike = told.len() > 2 && told.iter().all(|item| told.first() == Some(item));
        if alike {
            told.truncate(1);
        }
        Ok(format!("[{}{}]", told.join(", "), if alike || more { ", …" } else { "" }))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<String, A::Error> {
        let (mut told, mut more) = (Vec::new(), false);
        while told.len() < TOLD
            && let Some((Name(name), Outline(value))) = fields.next_entry()?
        {
            told.push(format!("{name}: {value}"));
        }
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            more = true;
        }
        Ok(format!("{{{}{}}}", told.join(", "), if more { ", …" } else { "" }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Serialize;

    use super::super::encode;
    use super::*;

    fn of<T: Serialize>(value: &T) -> String {
        let mut bytes = Vec::new();
        encode(value, &mut bytes).unwrap();
        outline(&bytes)
    }

    #[derive(Serialize)]
    struct Order {
        user: String,
        amount: i64,
        tags: Vec<String>,
        note: Option<(bool, f64)>,
    }

    #[test]
    fn fields_and_their_kinds_are_told_and_nothing_of_what_is_in_them() {
        let tags = vec!["secret".into(); 5];
        let order = Order { user: "secret".into(), amount: 7, tags, note: Some((true, 1.5)) };
        assert_eq!(of(&order), "{user: string, amount: integer, tags: [string, …], note: [bool, float]}");
        assert_eq!(of(&Order { note: None, tags: vec![], ..order }), "{user: string, amount: integer, tags: [], note: nothing}");
        assert_eq!(of(&(1u8, "a")), "[integer, string]");
    }

    #[test]
    fn an_outline_is_of_bounded_length() {
        let wide: BTreeMap<String, u64> = (0..1000).map(|n| (format!("field {n} {}", "x".repeat(100)), n)).collect();
        assert!(of(&wide).chars().count() <= LENGTH + 1);
        assert!(of(&vec![wide; 3]).chars().count() <= LENGTH + 10);
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_outline(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(!outline(&bytes).is_empty());
        }
    }
}
