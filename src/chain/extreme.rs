//! The lowest or highest record of each key.

use std::cmp::Ordering;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fold::Folding;

/// Keeps the record of which a function says the lowest, or the highest. Of those that are equal in this the first is kept.
pub(crate) struct Extreme<T, F> {
    rank: F,
    /// What a record's rank is to the one's that it takes the place of.
    wanted: Ordering,
    record: PhantomData<fn(T)>,
}

impl<T, F> Extreme<T, F> {
    /// The lowest record.
    pub(crate) fn lowest(rank: F) -> Self {
        Extreme { rank, wanted: Ordering::Less, record: PhantomData }
    }

    /// The highest record.
    pub(crate) fn highest(rank: F) -> Self {
        Extreme { rank, wanted: Ordering::Greater, record: PhantomData }
    }
}

impl<T, O, F> Folding for Extreme<T, F>
where
    T: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
    O: PartialOrd,
    F: Fn(&T) -> O + Send + Sync + 'static,
{
    type In = T;
    type Acc = T;
    type Out = T;

    #[inline]
    fn first(&self, value: T) -> T {
        value
    }

    #[inline]
    fn add(&self, kept: &mut T, value: T) {
        if takes_over(&(self.rank)(&value), &(self.rank)(kept), self.wanted) {
            *kept = value;
        }
    }

    #[inline]
    fn out(&self, kept: &T) -> T {
        kept.clone()
    }
}

/// Whether a rank is the wanted side of another. One that has no rank, as a number that is none, gives way to any that has one.
#[inline]
fn takes_over<O: PartialOrd>(rank: &O, kept: &O, wanted: Ordering) -> bool {
    let ranked = |rank: &O| rank.partial_cmp(rank).is_some();
    rank.partial_cmp(kept).map_or_else(|| !ranked(kept) && ranked(rank), |found| found == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(
        extreme: &Extreme<(f64, char), impl Fn(&(f64, char)) -> f64 + Send + Sync + 'static>,
        records: &[(f64, char)],
    ) -> char {
        let mut kept = extreme.first(records[0]);
        records[1..].iter().for_each(|record| extreme.add(&mut kept, *record));
        extreme.out(&kept).1
    }

    #[test]
    fn of_equal_records_the_first_is_kept() {
        let records = [(2.0, 'a'), (1.0, 'b'), (2.0, 'c'), (1.0, 'd')];
        assert_eq!(kept(&Extreme::lowest(|record: &(f64, char)| record.0), &records), 'b');
        assert_eq!(kept(&Extreme::highest(|record: &(f64, char)| record.0), &records), 'a');
    }

    #[test]
    fn what_is_no_number_gives_way_and_takes_no_place() {
        let records = [(f64::NAN, 'a'), (f64::NAN, 'b'), (2.0, 'c'), (f64::NAN, 'd'), (3.0, 'e')];
        assert_eq!(kept(&Extreme::lowest(|record: &(f64, char)| record.0), &records[..2]), 'a');
        assert_eq!(kept(&Extreme::lowest(|record: &(f64, char)| record.0), &records), 'c');
        assert_eq!(kept(&Extreme::highest(|record: &(f64, char)| record.0), &records), 'e');
    }
}
