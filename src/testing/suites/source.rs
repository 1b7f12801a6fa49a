//! What every source must do.

use std::collections::BTreeSet;
use std::fmt::Debug;

use super::split::{Desk, NEVER_WAITS, Reading, bytes_of};
use super::watch::{Doing, watched};
use super::{broken, holds};
use crate::source::Source;

const STABLE: &str = "the splits are the same at each call";
const NAMES: &str = "each split has a name of its own";
const UNKNOWN: &str = "a split that is not there does not open";
const REPLAYS: &str = "a split gives the same records each time it is read";
const GOES_ON: &str = "a reader opened at a position goes on exactly there";

/// With room for so many records at a time.
const ROOMS: [usize; 4] = [1024, 1, 7, 100];
/// Positions of a split at which it is opened again; of more, some are left out.
const POSITIONS: usize = 40;
/// The same for a split that never ends: to see that costs time.
const POSITIONS_WITHOUT_END: usize = 2;

/// Checks a source: the splits are stable, a poll never waits and respects its room, positions survive being stored, and a
/// reader opened at any of them goes on exactly behind the last record handed out.
///
/// `make` makes the source anew, each time over the same data, of which there must be some. A split that never ends counts as
/// read once it has nothing for a quarter of a second; meanwhile its data must not change.
///
/// ```
/// use tidegate::testing::{Scripted, suites};
///
/// suites::source(|| Scripted::new([vec!["a", "b", "c"], vec!["d"]]).batches(2));
/// ```
///
/// # Panics
/// Where a rule is broken: with the rule, and how.
pub fn source<S>(make: impl Fn() -> S + Send + 'static)
where
    S: Source,
    S::Item: PartialEq + Debug,
{
    let stuck = |doing| broken(NEVER_WAITS, format!("it has not come back from {doing}"));
    watched(move |doing| check(&make, doing), stuck);
}

fn check<S>(make: &dyn Fn() -> S, doing: &Doing)
where
    S: Source,
    S::Item: PartialEq + Debug,
{
    doing.now("finding the splits");
    let source = make();
    let splits = splits_of(&source);
    check_splits(&source, &splits, make);
    let mut desk = Desk::new(doing);
    let mut total = 0;
    for (split, start) in &splits {
        let whole = desk.read(&source, split, start, ROOMS[0]);
        total += whole.values.len();
        for room in ROOMS {
            let again = desk.read(&make(), split, start, room);
            check_same::<S>(REPLAYS, split, &whole, (0, 0), &again, || format!("with room for {room} at a time"));
            check_positions(&mut desk, make, split, &whole, &again);
        }
    }
    holds("the suite has some data to read", total > 0, || format!("{} splits gave no record", splits.len()));
}

fn splits_of<S: Source>(source: &S) -> Vec<(String, S::Position)> {
    source.splits().unwrap_or_else(|error| broken(STABLE, format!("finding them failed: {error}")))
}

fn check_splits<S: Source>(source: &S, splits: &[(String, S::Position)], make: &dyn Fn() -> S) {
    let written = |splits: &[(String, S::Position)]| -> Vec<(String, Vec<u8>)> {
        splits.iter().map(|(split, position)| (split.clone(), bytes_of(split, position))).collect()
    };
    for (again, which) in [(splits_of(source), "at the second call"), (splits_of(&make()), "of a new instance")] {
        holds(STABLE, written(&again) == written(splits), || format!("first {splits:?}, and {which} {again:?}"));
    }
    let names: BTreeSet<&String> = splits.iter().map(|(split, _)| split).collect();
    holds(NAMES, names.len() == splits.len(), || format!("{splits:?}"));
    if let Some((_, position)) = splits.first() {
        let unknown = "a split that no source has, 5d2f";
        let opened = source.open(unknown, position.clone()).is_ok();
        holds(UNKNOWN, !opened, || format!("open(\"{unknown}\", …) is a success: a split that is lost would count as empty"));
    }
}

/// Opens the split again where the reader stood, and compares with what was left then.
fn check_positions<S>(desk: &mut Desk<'_>, make: &dyn Fn() -> S, split: &str, whole: &Reading<S>, read: &Reading<S>)
where
    S: Source,
    S::Item: PartialEq + Debug,
{
    let positions = if read.ended { POSITIONS } else { POSITIONS_WITHOUT_END };
    let step = read.stops.len().div_ceil(positions).max(1);
    let last = read.stops.last();
    for (values, rejected, position) in read.stops.iter().step_by(step).chain(last) {
        let rest = desk.read(&make(), split, position, ROOMS[0]);
        let told = || format!("opened at {position:?}, after {values} records");
        check_same::<S>(GOES_ON, split, whole, (*values, *rejected), &rest, told);
    }
}

/// What was read is what `whole` has behind a number of records.
fn check_same<S>(
    rule: &str,
    split: &str,
    whole: &Reading<S>,
    (values, rejected): (usize, usize),
    read: &Reading<S>,
    how: impl Fn() -> String,
) where
    S: Source,
    S::Item: PartialEq + Debug,
{
    let expected = whole.values.get(values..).unwrap_or_default();
    let differs = expected.iter().zip(&read.values).position(|(expected, found)| expected != found);
    if let Some(at) = differs {
        let (expected, found) = (expected.get(at), read.values.get(at));
        broken(rule, format!("the split '{split}', {}: record {at} from there is {found:?}, and was {expected:?}", how()));
    }
    let (found, expected) = (read.values.len(), expected.len());
    holds(rule, found == expected, || format!("the split '{split}', {}: {found} records from there, not {expected}", how()));
    let expected = whole.rejected.get(rejected..).unwrap_or_default();
    holds(rule, read.rejected == expected, || {
        format!("the split '{split}', {}: rejected {:?}, and before {expected:?}", how(), read.rejected)
    });
    holds(rule, read.ended == whole.ended, || format!("the split '{split}', {}: it ends once, and once it does not", how()));
}
