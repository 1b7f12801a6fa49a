//! A record on its way to a broadcast operator, whose two inputs come over the same edges.

use super::Keyed;

/// A record for the owner of its key, or one for all instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Routed<K, T, R> {
    /// For the owner of its key.
    Keyed(Keyed<K, T>),
    /// For all instances.
    Broadcast(R),
}
