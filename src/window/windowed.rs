//! What a window operator puts out.

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use super::assign::Window;
use crate::time::Timestamp;

/// A window's result for one key.
///
/// It is written flat, as the fields `key`, `window_start`, `window_end` (in milliseconds since 1970-01-01T00:00:00Z) and `value`,
/// so that it is a row of four columns where key and value are one each.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(from = "Row<K, V>")]
pub struct Windowed<K, V> {
    /// The key.
    pub key: K,
    /// The window.
    pub window: Window,
    /// The result.
    pub value: V,
}

#[derive(Deserialize)]
struct Row<K, V> {
    key: K,
    window_start: Timestamp,
    window_end: Timestamp,
    value: V,
}

impl<K, V> From<Row<K, V>> for Windowed<K, V> {
    fn from(row: Row<K, V>) -> Self {
        Windowed { key: row.key, window: Window { start: row.window_start, end: row.window_end }, value: row.value }
    }
}

impl<K: Serialize, V: Serialize> Serialize for Windowed<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Windowed", 4)?;
        row.serialize_field("key", &self.key)?;
        row.serialize_field("window_start", &self.window.start)?;
        row.serialize_field("window_end", &self.window.end)?;
        row.serialize_field("value", &self.value)?;
        row.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_read_as_it_was_written() {
        let window = Window { start: Timestamp::from_millis(0), end: Timestamp::from_millis(10) };
        let result = Windowed { key: "a".to_owned(), window, value: 7u64 };
        let mut bytes = Vec::new();
        crate::codec::encode(&result, &mut bytes).unwrap();
        assert_eq!(crate::codec::decode::<Windowed<String, u64>>(&bytes).unwrap(), result);
    }
}
