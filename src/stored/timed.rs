//! States that expire, as they are written: each value with its time.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::keyed::Form;
use super::writer::StateWriter;
use crate::error::Result;
use crate::key::Key;
use crate::state::StateKind;
use crate::time::Timestamp;

/// Writes states that expire: what [`StateWriter::with_times`] gives. Each value, each element of a list and each value of a map comes
/// with the wall time at which it was written, from which on it lives.
///
/// A state that the operator registers with a time to live may be written without times too: then all that is in it lives from the
/// job's start on.
pub struct TimedWriter<'a> {
    writer: &'a mut StateWriter,
}

impl<'a> TimedWriter<'a> {
    pub(super) fn new(writer: &'a mut StateWriter) -> Self {
        TimedWriter { writer }
    }

    /// As [`StateWriter::values`], with times.
    ///
    /// # Errors
    /// Those of [`StateWriter::values`].
    pub fn values<K: Key, V: Serialize>(
        self,
        operator: &str,
        state: &str,
        entries: impl IntoIterator<Item = (K, (Timestamp, V))>,
    ) -> Result<u64> {
        self.writer.singles(operator, state, Form { kind: StateKind::Value, stamped: true }, entries)
    }

    /// As [`StateWriter::lists`], with times.
    ///
    /// # Errors
    /// Those of [`StateWriter::values`].
    pub fn lists<K: Key, T: Serialize, L: IntoIterator<Item = (Timestamp, T)>>(
        self,
        operator: &str,
        state: &str,
        entries: impl IntoIterator<Item = (K, L)>,
    ) -> Result<u64> {
        self.writer.lists_of(operator, state, true, entries)
    }

    /// As [`StateWriter::maps`], with times.
    ///
    /// # Errors
    /// Those of [`StateWriter::maps`].
    pub fn maps<K: Key, UK: Key, UV: Serialize, M: IntoIterator<Item = (UK, (Timestamp, UV))>>(
        self,
        operator: &str,
        state: &str,
        entries: impl IntoIterator<Item = (K, M)>,
    ) -> Result<u64> {
        self.writer.maps_of(operator, state, true, entries)
    }

    /// As [`StateWriter::reduced`], with times.
    ///
    /// # Errors
    /// Those of [`StateWriter::values`].
    pub fn reduced<K: Key, V: Serialize>(
        self,
        operator: &str,
        state: &str,
        entries: impl IntoIterator<Item = (K, (Timestamp, V))>,
    ) -> Result<u64> {
        self.writer.singles(operator, state, Form { kind: StateKind::Reducing, stamped: true }, entries)
    }

    /// As [`StateWriter::accumulators`], with times.
    ///
    /// # Errors
    /// Those of [`StateWriter::values`].
    pub fn accumulators<K: Key, A: Serialize>(
        self,
        operator: &str,
        state: &str,
        entries: impl IntoIterator<Item = (K, (Timestamp, A))>,
    ) -> Result<u64> {
        self.writer.singles(operator, state, Form { kind: StateKind::Aggregating, stamped: true }, entries)
    }

    /// As [`StateWriter::put`], with times: `(time, value)`, a `Vec` of `(time, element)`, or a map to `(time, value)`.
    ///
    /// # Errors
    /// Those of [`StateWriter::put`], but where the state is kept without times.
    pub fn put<K: Key, V: Serialize + DeserializeOwned>(self, operator: &str, state: &str, key: &K, value: &V) -> Result<()> {
        self.writer.put_as(operator, state, true, key, value)
    }
}

impl fmt::Debug for TimedWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TimedWriter").field(&self.writer).finish()
    }
}
