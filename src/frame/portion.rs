//! How many records go together, so that handling them takes no longer than it should.
//!
//! Always: at least one, and no more than the bound; it is halved or less at once where they took too long, and doubled where they
//! took less than half. Used for frames, by the gate that takes them, and for what a task reads at a time.

use std::time::Duration;

/// What is begun with: little enough for a sink that takes a millisecond for each, and soon doubled where that is too little.
const FIRST: usize = 64;

/// A number of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Portion {
    records: usize,
    most: usize,
}

impl Portion {
    /// What is begun with, of at most so many.
    pub(crate) fn up_to(most: usize) -> Self {
        Portion { records: FIRST.min(most).max(1), most: most.max(1) }
    }

    /// How many records it is.
    pub(crate) fn records(self) -> usize {
        self.records
    }

    /// So many took so long, where they should take `target` at most.
    pub(crate) fn took(&mut self, records: usize, took: Duration, target: Duration) {
        if took > target {
            let fits = records.max(1) as f64 * target.as_secs_f64() / took.as_secs_f64();
            self.records = self.records.min(fits as usize).max(1);
        } else if took < target / 2 {
            self.records = (self.records * 2).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(100);

    /// What a portion comes to where each record takes so long.
    fn settled(each: Duration, mut portion: Portion) -> usize {
        for _ in 0..20 {
            portion.took(portion.records(), each * portion.records() as u32, TARGET);
        }
        portion.records()
    }

    #[test]
    fn it_comes_to_what_takes_as_long_as_it_should() {
        let full = Portion { records: 1024, most: 1024 };
        for begun in [Portion::up_to(1024), full] {
            let slow = settled(Duration::from_millis(1), begun);
            assert!((50..=100).contains(&slow), "{slow}");
            assert_eq!(settled(Duration::from_secs(1), begun), 1);
            assert_eq!(settled(Duration::from_nanos(100), begun), 1024);
        }
    }

    #[test]
    fn it_stays_within_its_bounds() {
        assert_eq!(Portion::up_to(3).records(), 3);
        assert_eq!(settled(Duration::ZERO, Portion::up_to(3)), 3);
        assert_eq!(Portion::up_to(0).records(), 1);
    }

    #[test]
    fn a_few_that_are_quick_do_not_make_it_small() {
        let mut portion = Portion { records: 512, most: 1024 };
        portion.took(1, Duration::from_millis(60), TARGET);
        assert_eq!(portion.records(), 512);
        portion.took(1, Duration::from_millis(200), TARGET);
        assert_eq!(portion.records(), 1, "one alone takes too long");
    }
}
