//! The names of parts: whose they are, and what keeps any two from being the same.
//!
//! Always: a name carries job, uid, epoch, attempt, index and counter, so no two parts ever have the same; names of different
//! jobs and uids differ whatever those contain; and where one writer writes, the order of the names is the order of the rows.

use std::fmt::Write;

use crate::ids::Attempt;
use crate::sink::SinkContext;

/// What hides a part that is not committed, together with the dot before its name.
const UNCOMMITTED: &str = ".inprogress";

/// What the parts of one sink of one job have in common.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    stem: String,
    extension: &'static str,
}

impl Names {
    /// The names of the sink's parts.
    pub(crate) fn new(ctx: &SinkContext, extension: &'static str) -> Self {
        // Dots separate: escaping leaves none in a job or a uid, so neither can run into the other.
        Names { stem: format!("part-{}.{}.", escape(&ctx.job), escape(ctx.uid.as_str())), extension }
    }

    /// The committed name of a part.
    pub(crate) fn committed(&self, attempt: Attempt, index: u32, counter: u64) -> String {
        let Attempt { epoch, n } = attempt;
        format!("{}{epoch:06}-{n:04}-{index:04}-{counter:06}.{}", self.stem, self.extension)
    }

    /// Whether a file is a part of this sink that was not committed.
    pub(crate) fn is_uncommitted(&self, file: &str) -> bool {
        let committed = file.strip_prefix('.').and_then(|name| name.strip_suffix(UNCOMMITTED));
        committed.is_some_and(|name| self.is_committed(name))
    }

    /// Whether a name is one that this sink gives to committed parts.
    pub(crate) fn is_committed(&self, name: &str) -> bool {
        let numbers = name.strip_prefix(&self.stem).and_then(|rest| rest.strip_suffix(self.extension)?.strip_suffix('.'));
        numbers.is_some_and(|numbers| {
            numbers.split('-').count() == 4
                && numbers.split('-').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
        })
    }
}

/// The hidden name of a part that is not committed.
pub(crate) fn uncommitted(committed: &str) -> String {
    format!(".{committed}{UNCOMMITTED}")
}

/// Letters, digits, `_` and `-` as they are, every other byte as `%` and two hex digits: no two texts become the same.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Uid;

    fn names(job: &str, uid: &str) -> Names {
        let attempt = Attempt { epoch: 1, n: 0 };
        Names::new(&SinkContext { job: job.into(), uid: Uid::new(uid), attempt, index: 0, parallelism: 1 }, "csv")
    }

    #[test]
    fn f33_names_of_different_jobs_and_uids_never_meet() {
        let attempt = Attempt { epoch: 3, n: 1 };
        let pairs =
            [("a", "b-c"), ("a-b", "c"), ("a.b", "c"), ("a", "b.c"), ("a%2Eb", "c"), ("a/b", "c"), ("", "a-b-c"), ("ä", "c")];
        for (i, (job, uid)) in pairs.iter().enumerate() {
            let name = names(job, uid).committed(attempt, 0, 7);
            assert!(!name.contains('/'));
            for (j, (job, uid)) in pairs.iter().enumerate() {
                assert_eq!(names(job, uid).is_committed(&name), i == j, "{name} for {job} and {uid}");
            }
        }
    }

    #[test]
    fn names_sort_as_they_were_written() {
        let names = names("job", "sink");
        let at = |epoch, n, counter| names.committed(Attempt { epoch, n }, 0, counter);
        let written = [at(1, 0, 9), at(1, 0, 10), at(1, 2, 0), at(1, 10, 0), at(2, 0, 0), at(10, 0, 0)];
        assert!(written.is_sorted());
    }

    #[test]
    fn only_hidden_parts_of_the_same_sink_are_its_own() {
        let names = names("job", "sink");
        let own = names.committed(Attempt { epoch: 1, n: 0 }, 0, 0);
        assert!(names.is_uncommitted(&uncommitted(&own)));
        for other in [
            own.as_str(),
            ".part-job.sink.inprogress",
            ".part-job.sink.1-2-3.csv.inprogress",
            ".part-job.sink.1-2-3-x.csv.inprogress",
        ] {
            assert!(!names.is_uncommitted(other), "{other}");
        }
    }
}
