//! A scan over a state: a page of one task after the other, by rising hash of the keys.
//!
//! Always: where the scan is is a hash and nothing else, so it goes on after an error, and after a restart.

use std::fmt;
use std::ops::RangeInclusive;

use super::JobHandle;
use super::question::Queryable;
use crate::error::Result;
use crate::key::Key;

/// The entries of a state, page by page. Made by [`JobHandle::scan`], which has an example.
#[must_use = "a scan asks for nothing before its first page is awaited"]
pub struct Scan<'a, K, V> {
    job: &'a JobHandle,
    state: Queryable<K, V>,
    /// The hashes that are left; none at the end.
    left: Option<RangeInclusive<u64>>,
}

impl<'a, K: Key, V: Send + 'static> Scan<'a, K, V> {
    /// Of the keys with these hashes.
    pub(super) fn new(job: &'a JobHandle, state: Queryable<K, V>, left: Option<RangeInclusive<u64>>) -> Self {
        Scan { job, state, left }
    }

    /// The next page, which has at least one entry; none where there are no more. After an error the same page may be asked for
    /// again.
    ///
    /// # Errors
    /// Those of [`JobHandle::query`].
    pub async fn next_page(&mut self) -> Result<Option<Vec<(K, V)>>> {
        while let Some(left) = self.left.clone() {
            let (posed, last) = match self.job.desk.page(&self.state, left.clone()) {
                Ok((posed, last)) => (Ok(posed), last),
                Err(error) => (Err(error), 0),
            };
            let page = self.job.answer(posed).await?;
            let next = page.next.or_else(|| last.checked_add(1));
            self.left = next.map(|next| next..=*left.end()).filter(|left| !left.is_empty());
            if !page.entries.is_empty() {
                return Ok(Some(page.entries));
            }
        }
        Ok(None)
    }
}

impl<K, V> fmt::Debug for Scan<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("state", &self.state).field("left", &self.left).finish_non_exhaustive()
    }
}
