//! The sum of a key's records, and what can be summed.
//!
//! Always: a sum is right or an error; it never wraps.

use std::any::type_name;
use std::marker::PhantomData;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::running::{Failure, Running};

/// An amount that can be summed: see [`KeyedStream::sum`](crate::KeyedStream::sum).
///
/// The numbers of the language and [`Duration`] are. Floating-point numbers are added as they always are: a sum that is too large is
/// infinite. An amount of your own may be as well:
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tidegate::Summand;
///
/// #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
/// struct Cents(i64);
///
/// impl Summand for Cents {
///     fn plus(&self, other: Cents) -> Option<Cents> {
///         self.0.checked_add(other.0).map(Cents)
///     }
/// }
///
/// assert_eq!(Cents(120).plus(Cents(-20)), Some(Cents(100)));
/// assert_eq!(Cents(i64::MAX).plus(Cents(1)), None);
/// ```
pub trait Summand: Clone + Send + Sync + Serialize + DeserializeOwned + 'static {
    /// Both together; none where that is more than the type can hold.
    fn plus(&self, other: Self) -> Option<Self>;
}

macro_rules! whole {
    ($($number:ty)*) => {
        $(impl Summand for $number {
            #[inline]
            fn plus(&self, other: Self) -> Option<Self> {
                self.checked_add(other)
            }
        })*
    };
}

whole!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize Duration);

macro_rules! floating {
    ($($number:ty)*) => {
        $(impl Summand for $number {
            #[inline]
            fn plus(&self, other: Self) -> Option<Self> {
                Some(self + other)
            }
        })*
    };
}

floating!(f32 f64);

/// Sums what a function says of each record.
pub(crate) struct Summing<T, F> {
    amount: F,
    record: PhantomData<fn(T)>,
}

impl<T, F> Summing<T, F> {
    /// Of these amounts.
    pub(crate) fn of(amount: F) -> Self {
        Summing { amount, record: PhantomData }
    }
}

impl<T, N, F> Running for Summing<T, F>
where
    T: Send + 'static,
    N: Summand,
    F: Fn(&T) -> N + Send + Sync + 'static,
{
    type In = T;
    type Acc = N;
    type Out = N;

    #[inline]
    fn begin(&self, value: T) -> (N, N) {
        let amount = (self.amount)(&value);
        (amount.clone(), amount)
    }

    #[inline]
    fn go_on(&self, acc: &mut N, value: T, failure: &mut Failure) -> N {
        match acc.plus((self.amount)(&value)) {
            Some(sum) => *acc = sum,
            None => too_large::<N>(failure),
        }
        acc.clone()
    }
}

#[cold]
fn too_large<N>(failure: &mut Failure) {
    let number = type_name::<N>();
    *failure = Some(format!("the sum of a key is more than {number} can hold: sum the amounts as a wider type").into());
}
