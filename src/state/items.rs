//! The items of an operator's list while the operator works: in chunks, so that freezing them copies next to nothing.
//!
//! Always: a chunk is written to in place where no view holds it, and copied first where one does; what was pushed since the last
//! view is in no chunk yet. Owned by the operator's state, on its task's thread.

use std::fmt;
use std::iter::{Chain, FlatMap};
use std::slice;
use std::sync::Arc;

/// Items of a chunk at most: what a write after a barrier copies at most, for each chunk that it touches.
pub(super) const CHUNK_ITEMS: usize = 256;

/// The items of an [`OperatorList`](crate::OperatorList), in their order.
///
/// What it costs: pushing is a push to a `Vec`. A barrier freezes the list by cloning one `Arc` for each 256 items, and copies 255
/// items at most. Changing or removing an item that a checkpoint still holds copies the 256 items around it; so does
/// [`take`](ListItems::take) with all of them. `get` steps over chunks to the index, `len` does not.
pub struct ListItems<T> {
    /// None of them is empty.
    chunks: Vec<Arc<Vec<T>>>,
    /// Behind the chunks: what no view has seen.
    tail: Vec<T>,
    len: usize,
}

impl<T> Default for ListItems<T> {
    fn default() -> Self {
        ListItems { chunks: Vec::new(), tail: Vec::new(), len: 0 }
    }
}

impl<T> ListItems<T> {
    /// The number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All items in their order.
    pub fn iter<'a>(&'a self) -> ListIter<'a, T> {
        let chunks = self.chunks.iter().flat_map(items as fn(&'a Arc<Vec<T>>) -> slice::Iter<'a, T>);
        ListIter(chunks.chain(self.tail.iter()))
    }

    /// The item at an index, counted from 0.
    pub fn get(&self, index: usize) -> Option<&T> {
        let mut index = index;
        for chunk in &self.chunks {
            match index.checked_sub(chunk.len()) {
                None => return chunk.get(index),
                Some(behind) => index = behind,
            }
        }
        self.tail.get(index)
    }

    /// Adds an item behind all others.
    #[inline]
    pub fn push(&mut self, item: T) {
        self.tail.push(item);
        self.len += 1;
        if self.tail.len() >= CHUNK_ITEMS {
            self.close_tail();
        }
    }

    /// Removes all items.
    pub fn clear(&mut self) {
        *self = ListItems::default();
    }

    fn close_tail(&mut self) {
        self.chunks.push(Arc::new(std::mem::take(&mut self.tail)));
    }

    /// The list of these chunks.
    pub(super) fn of_chunks(chunks: Vec<Arc<Vec<T>>>) -> Self {
        let len = chunks.iter().map(|chunk| chunk.len()).sum();
        ListItems { chunks, tail: Vec::new(), len }
    }
}

impl<T: Clone> ListItems<T> {
    /// The item at an index, to be changed in place.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let mut index = index;
        for chunk in &mut self.chunks {
            match index.checked_sub(chunk.len()) {
                None => return Arc::make_mut(chunk).get_mut(index),
                Some(behind) => index = behind,
            }
        }
        self.tail.get_mut(index)
    }

    /// Keeps the items for which `keep` says so. A chunk that loses none is not copied.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        for chunk in &mut self.chunks {
            let Some(first) = chunk.iter().position(|item| !keep(item)) else { continue };
            let mut at = 0;
            Arc::make_mut(chunk).retain(|item| {
                at += 1;
                // Those up to the first one that goes have been asked about.
                if at <= first + 1 { at <= first } else { keep(item) }
            });
        }
        self.tail.retain(keep);
        self.pack();
        self.len = self.chunks.iter().map(|chunk| chunk.len()).sum::<usize>() + self.tail.len();
    }

    /// Takes all items out.
    pub fn take(&mut self) -> Vec<T> {
        let ListItems { chunks, tail, len } = std::mem::take(self);
        let mut all = Vec::with_capacity(len);
        all.extend(chunks.into_iter().flat_map(Arc::unwrap_or_clone));
        all.extend(tail);
        all
    }

    /// Joins neighbours that have become small.
    fn pack(&mut self) {
        let chunks = std::mem::take(&mut self.chunks);
        for chunk in chunks.into_iter().filter(|chunk| !chunk.is_empty()) {
            match self.chunks.last_mut() {
                Some(last) if last.len() + chunk.len() <= CHUNK_ITEMS => {
                    Arc::make_mut(last).extend(Arc::unwrap_or_clone(chunk));
                }
                _ => self.chunks.push(chunk),
            }
        }
    }

    /// All items, frozen. The last chunk is made fuller where what is new fits in it, so that frequent barriers make no small ones.
    pub(super) fn freeze(&mut self) -> Vec<Arc<Vec<T>>> {
        if self.tail.is_empty() {
            return self.chunks.clone();
        }
        let joins = |last: &mut Arc<Vec<T>>| last.len() + self.tail.len() <= CHUNK_ITEMS;
        if let Some(last) = self.chunks.pop_if(joins) {
            let mut joined = Arc::unwrap_or_clone(last);
            joined.append(&mut self.tail);
            self.tail = joined;
        }
        self.close_tail();
        self.chunks.clone()
    }
}

impl<T> Extend<T> for ListItems<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        items.into_iter().for_each(|item| self.push(item));
    }
}

impl<T: fmt::Debug> fmt::Debug for ListItems<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'a, T> IntoIterator for &'a ListItems<T> {
    type Item = &'a T;
    type IntoIter = ListIter<'a, T>;

    fn into_iter(self) -> ListIter<'a, T> {
        self.iter()
    }
}

fn items<T>(chunk: &Arc<Vec<T>>) -> slice::Iter<'_, T> {
    chunk.iter()
}

/// The items of one chunk after another.
type Chunks<'a, T> = FlatMap<slice::Iter<'a, Arc<Vec<T>>>, slice::Iter<'a, T>, fn(&'a Arc<Vec<T>>) -> slice::Iter<'a, T>>;

/// The items of an operator's list, in their order.
pub struct ListIter<'a, T>(Chain<Chunks<'a, T>, slice::Iter<'a, T>>);

impl<'a, T> Iterator for ListIter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        self.0.next()
    }
}

impl<T> fmt::Debug for ListIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListIter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contents(chunks: &[Arc<Vec<u32>>]) -> Vec<u32> {
        chunks.iter().flat_map(|chunk| chunk.iter().copied()).collect()
    }

    proptest! {
        #[test]
        fn a_list_is_as_a_vec_and_its_views_stay_as_they_were(steps in proptest::collection::vec((0..8u8, 0..700u32), 1..60)) {
            let (mut list, mut model, mut views) = (ListItems::default(), Vec::new(), Vec::new());
            for (step, n) in steps {
                match step {
                    0..3 => {
                        list.extend(0..n);
                        model.extend(0..n);
                    }
                    3 => {
                        list.retain(|item| item % 7 != n % 7);
                        model.retain(|item| item % 7 != n % 7);
                    }
                    4 => {
                        let at = n as usize * 3;
                        list.get_mut(at).into_iter().for_each(|item| *item += 1);
                        model.get_mut(at).into_iter().for_each(|item| *item += 1);
                    }
                    5 if n < 50 => prop_assert_eq!(list.take(), std::mem::take(&mut model)),
                    6 if n < 50 => {
                        list.clear();
                        model.clear();
                    }
                    _ => views.push((list.freeze(), model.clone())),
                }
                prop_assert_eq!((list.len(), list.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(list.get(n as usize), model.get(n as usize));
            }
            prop_assert_eq!(list.iter().copied().collect::<Vec<_>>(), model);
            for (view, then) in views {
                prop_assert_eq!(contents(&view), then);
            }
        }
    }

    #[test]
    fn frequent_views_make_no_small_chunks_and_share_the_full_ones() {
        let mut list = ListItems::default();
        let mut before = list.freeze();
        for n in 0..10 * CHUNK_ITEMS as u32 {
            list.push(n);
            let view = list.freeze();
            assert!(view.len() <= 1 + view.iter().map(|chunk| chunk.len()).sum::<usize>() / (CHUNK_ITEMS / 2));
            let kept = before.iter().zip(&view).filter(|(before, now)| Arc::ptr_eq(before, now)).count();
            assert!(kept + 1 >= before.len(), "all but the last are the same memory");
            before = view;
        }
    }

    #[test]
    fn what_no_view_holds_is_not_copied() {
        let mut list = ListItems::default();
        list.extend((0..1000u32).map(Arc::new));
        let items: Vec<Arc<u32>> = list.iter().cloned().collect();
        drop(list.freeze());
        list.retain(|item| **item % 3 == 0);
        list.get_mut(5).into_iter().for_each(|item| *item = Arc::new(0));
        let left = list.take().len();
        assert_eq!(left, 334);
        assert!(items.iter().all(|item| Arc::strong_count(item) == 1), "neither kept nor copied anywhere");
    }
}
