//! What a fold does with the records of a key, one by one: what it keeps, and what it emits at each.
//!
//! Every [`Folding`] is one that emits what its accumulator says. Others emit something beside it, or cannot add every record. Called by
//! the loop of [`super::fold`], into which it is inlined, on the task's thread.

use crate::error::BoxError;

use super::fold::Folding;

/// Why a record could not be added. The loop looks at it once a batch, and hands on nothing of a batch in which something failed.
pub(crate) type Failure = Option<BoxError>;

/// How a record becomes or changes what is kept for its key, and what is emitted then.
pub(crate) trait Running: Send + Sync + 'static {
    /// What comes in.
    type In: Send + 'static;
    /// What is kept for a key.
    type Acc: Clone + Send + Sync + serde::Serialize + serde::de::DeserializeOwned + 'static;
    /// What goes out with the key.
    type Out: Send + 'static;

    /// What a key's first record makes, and what is emitted.
    fn begin(&self, value: Self::In) -> (Self::Acc, Self::Out);

    /// Adds a record to what is there, and says what is emitted. Where it cannot be added, the failure is set, and nothing changes.
    fn go_on(&self, acc: &mut Self::Acc, value: Self::In, failure: &mut Failure) -> Self::Out;
}

impl<F: Folding> Running for F {
    type In = F::In;
    type Acc = F::Acc;
    type Out = F::Out;

    #[inline]
    fn begin(&self, value: F::In) -> (F::Acc, F::Out) {
        let acc = self.first(value);
        let out = self.out(&acc);
        (acc, out)
    }

    #[inline]
    fn go_on(&self, acc: &mut F::Acc, value: F::In, _: &mut Failure) -> F::Out {
        self.add(acc, value);
        self.out(acc)
    }
}
