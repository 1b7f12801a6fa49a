//! What an aggregate is: how records become an accumulator, and an accumulator a result.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// An incremental aggregate: records are added to an accumulator one by one and not kept.
///
/// ```
/// use tidegate::Aggregate;
///
/// struct Mean;
///
/// impl Aggregate for Mean {
///     type In = f64;
///     type Acc = (f64, u64);
///     type Out = f64;
///
///     fn create(&self) -> (f64, u64) {
///         (0.0, 0)
///     }
///
///     fn add(&self, (sum, n): &mut (f64, u64), value: f64) {
///         *sum += value;
///         *n += 1;
///     }
///
///     fn merge(&self, (sum, n): &mut (f64, u64), other: (f64, u64)) {
///         *sum += other.0;
///         *n += other.1;
///     }
///
///     fn result(&self, (sum, n): &(f64, u64)) -> f64 {
///         sum / *n as f64
///     }
/// }
/// ```
pub trait Aggregate: Send + Sync + 'static {
    /// The records.
    type In: Send + 'static;
    /// What is kept of them. A change of its fields is read under serde's defaults.
    type Acc: Clone + Send + Sync + Serialize + DeserializeOwned + 'static;
    /// The result.
    type Out: Clone + Send + 'static;

    /// The accumulator of no record.
    fn create(&self) -> Self::Acc;

    /// Adds a record.
    fn add(&self, acc: &mut Self::Acc, record: Self::In);

    /// Adds what another accumulator has gathered.
    fn merge(&self, acc: &mut Self::Acc, other: Self::Acc);

    /// What the accumulator says.
    fn result(&self, acc: &Self::Acc) -> Self::Out;
}
