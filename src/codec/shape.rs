//! The shape of a type: what it asks for when it is read, as a text.
//!
//! A type is read from a source that has anything it asks for, and the questions are written down. A type that refuses what it is given,
//! such as a date that is read from a text, has the shape of what it had asked for until then; so has one that contains itself.
//!
//! Always: the same type has the same shape, in every process; the names of types are no part of it, those of fields are. Two types with
//! one shape are written in the same way, as far as it is told. Of an enum it says no more than that it is one, so that variants may be
//! added. The shapes of keys are stored with the state, so nothing of this may change.

use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

/// Types within types that are followed.
const DEPTH: usize = 16;

/// The shape of `T`.
pub(crate) fn shape_of<T: DeserializeOwned>() -> String {
    let mut told = String::new();
    if T::deserialize(Asked { told: &mut told, depth: 0 }).is_err() {
        told.push('…');
    }
    told
}

/// The type does not go on with what it was given, or goes on for ever.
#[derive(Debug)]
struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the shape is not followed any further")
    }
}

impl std::error::Error for Stopped {}

impl de::Error for Stopped {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Stopped
    }
}

/// Writes down what it is asked for, and gives some value of it.
struct Asked<'a> {
    told: &'a mut String,
    depth: usize,
}

impl<'a> Asked<'a> {
    /// Of a type within the one that was asked for.
    fn deeper(self) -> Result<Asked<'a>, Stopped> {
        if self.depth < DEPTH { Ok(Asked { told: self.told, depth: self.depth + 1 }) } else { Err(Stopped) }
    }

    fn within(&mut self) -> Result<Asked<'_>, Stopped> {
        Asked { told: self.told, depth: self.depth }.deeper()
    }

    fn items<'de, V: Visitor<'de>>(self, visitor: V, items: usize, (open, close): (&str, &str)) -> Result<V::Value, Stopped> {
        self.told.push_str(open);
        let mut given = Given { asked: self, left: items, all: items, fields: &[] };
        let value = visitor.visit_seq(&mut given)?;
        given.asked.told.push_str(close);
        Ok(value)
    }
}

macro_rules! plain {
    ($($asked:ident $visit:ident $value:expr, $name:literal;)*) => {
        $(fn $asked<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
            self.told.push_str($name);
            visitor.$visit($value)
        })*
    };
}

impl<'de> de::Deserializer<'de> for Asked<'_> {
    type Error = Stopped;

    plain! {
        deserialize_bool visit_bool false, "bool";
        deserialize_i8 visit_i8 1, "i8";
        deserialize_i16 visit_i16 1, "i16";
        deserialize_i32 visit_i32 1, "i32";
        deserialize_i64 visit_i64 1, "i64";
        deserialize_i128 visit_i128 1, "i128";
        deserialize_u8 visit_u8 1, "u8";
        deserialize_u16 visit_u16 1, "u16";
        deserialize_u32 visit_u32 1, "u32";
        deserialize_u64 visit_u64 1, "u64";
        deserialize_u128 visit_u128 1, "u128";
        deserialize_f32 visit_f32 1.0, "f32";
        deserialize_f64 visit_f64 1.0, "f64";
        deserialize_char visit_char 'a', "char";
        deserialize_str visit_str "", "string";
        deserialize_string visit_str "", "string";
        deserialize_bytes visit_bytes &[], "bytes";
        deserialize_byte_buf visit_bytes &[], "bytes";
        deserialize_identifier visit_str "", "name";
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
        self.told.push_str("anything");
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
        self.deserialize_any(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
        self.told.push_str("nothing");
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Stopped> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Stopped> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stopped> {
        self.told.push_str("optional ");
        visitor.visit_some(self.within()?)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
        self.items(visitor, 1, ("[", ", …]"))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, items: usize, visitor: V) -> Result<V::Value, Stopped> {
        self.items(visitor, items, ("(", ")"))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, items: usize, visitor: V) -> Result<V::Value, Stopped> {
        self.items(visitor, items, ("(", ")"))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stopped> {
        self.told.push('{');
        let mut given = Given { asked: self, left: 1, all: 1, fields: &[] };
        let value = visitor.visit_map(&mut given)?;
        given.asked.told.push_str(", …}");
        Ok(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stopped> {
        self.told.push('{');
        let mut given = Given { asked: self, left: fields.len(), all: fields.len(), fields };
        let value = visitor.visit_map(&mut given)?;
        given.asked.told.push('}');
        Ok(value)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stopped> {
        self.told.push_str("one of several");
        let variant = variants.first().ok_or(Stopped)?;
        visitor.visit_enum(Variant { variant, told: &mut String::new(), depth: self.depth })
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The items of a list or tuple, the entries of a map, or the fields of a struct, one after the other.
struct Given<'a> {
    asked: Asked<'a>,
    left: usize,
    all: usize,
    /// Of a struct.
    fields: &'static [&'static str],
}

impl Given<'_> {
    /// False where there is nothing more.
    fn next(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        if self.left < self.all {
            self.asked.told.push_str(", ");
        }
        self.left -= 1;
        true
    }
}

impl<'de> SeqAccess<'de> for &mut Given<'_> {
    type Error = Stopped;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Stopped> {
        if !self.next() {
            return Ok(None);
        }
        seed.deserialize(self.asked.within()?).map(Some)
    }
}

impl<'de> MapAccess<'de> for &mut Given<'_> {
    type Error = Stopped;

    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Stopped> {
        let at = self.all - self.left;
        if !self.next() {
            return Ok(None);
        }
        let key = match self.fields.get(at) {
            Some(field) => {
                self.asked.told.push_str(field);
                seed.deserialize(de::value::StrDeserializer::new(field))?
            }
            None => seed.deserialize(self.asked.within()?)?,
        };
        self.asked.told.push_str(": ");
        Ok(Some(key))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Stopped> {
        seed.deserialize(self.asked.within()?)
    }
}

/// The first variant of an enum, of which nothing is told.
struct Variant<'a> {
    variant: &'static str,
    told: &'a mut String,
    depth: usize,
}

impl Variant<'_> {
    fn asked(&mut self) -> Result<Asked<'_>, Stopped> {
        Asked { told: self.told, depth: self.depth }.deeper()
    }
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Stopped;
    type Variant = Variant<'a>;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Variant<'a>), Stopped> {
        Ok((seed.deserialize(de::value::StrDeserializer::new(self.variant))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Stopped;

    fn unit_variant(self) -> Result<(), Stopped> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(mut self, seed: T) -> Result<T::Value, Stopped> {
        seed.deserialize(self.asked()?)
    }

    fn tuple_variant<V: Visitor<'de>>(mut self, items: usize, visitor: V) -> Result<V::Value, Stopped> {
        self.asked()?.items(visitor, items, ("", ""))
    }

    fn struct_variant<V: Visitor<'de>>(mut self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Stopped> {
        de::Deserializer::deserialize_struct(self.asked()?, "", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde::de::Error as _;

    use super::*;

    #[derive(Deserialize)]
    struct Account(#[expect(dead_code)] u64);

    #[derive(Deserialize)]
    #[expect(dead_code)]
    struct Order {
        user: String,
        account: Account,
        lines: Vec<(u32, f64)>,
        note: Option<String>,
        by_name: BTreeMap<String, i8>,
        state: State,
    }

    #[derive(Deserialize)]
    #[expect(dead_code)]
    enum State {
        Open { since: i64 },
        Closed,
    }

    #[derive(Deserialize)]
    #[expect(dead_code)]
    struct Tree {
        name: String,
        children: Vec<Tree>,
    }

    /// Is read from a text, as a date is.
    struct Day;

    impl<'de> Deserialize<'de> for Day {
        fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            if text.is_empty() { Err(D::Error::custom("no day")) } else { Ok(Day) }
        }
    }

    #[test]
    fn a_shape_is_what_a_type_asks_for() {
        assert_eq!(shape_of::<i32>(), "i32");
        assert_eq!(shape_of::<Account>(), "u64", "what is wrapped is what is written");
        assert_eq!(shape_of::<(String, (u8, bool))>(), "(string, (u8, bool))");
        assert_eq!(shape_of::<()>(), "nothing");
        assert_eq!(
            shape_of::<Order>(),
            "{user: string, account: u64, lines: [(u32, f64), …], note: optional string, by_name: {string: i8, …}, \
             state: one of several}"
        );
    }

    #[test]
    fn what_cannot_be_followed_is_told_as_far_as_it_goes() {
        assert_eq!(shape_of::<(u8, Day, u8)>(), "(u8, string…");
        let tree = shape_of::<Tree>();
        assert!(tree.starts_with("{name: string, children: [{name: string, children: [") && tree.ends_with('…'), "{tree}");
        assert!(tree.len() < 1000);
    }
}
