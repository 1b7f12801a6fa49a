//! The value of a list state: its elements in chunks of bounded size.
//!
//! Always: a clone shares everything, and a change to a list that is shared copies one chunk and the way to it, whatever the list's
//! length. The newest elements are in the tail; full chunks are stacked behind one another by powers, as digits of a number are, so
//! that the way to any chunk is short. Used by the accesses to a key's list on the task's thread; views read it on another.

use std::fmt;
use std::slice;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Elements of a chunk.
pub(super) const CHUNK: usize = 256;
/// Chunks, or runs of them, that are stacked together.
const RUNS: usize = 32;

/// A list.
pub(crate) struct Chunks<T>(Arc<Body<T>>);

struct Body<T> {
    len: usize,
    /// Full chunks: at `older[n]` fewer than [`RUNS`] runs, each of RUNS^n chunks. The oldest elements are in the last of them.
    older: Vec<Vec<Run<T>>>,
    /// The newest elements.
    tail: Vec<T>,
}

enum Run<T> {
    Chunk(Arc<Vec<T>>),
    Runs(Arc<Vec<Run<T>>>),
}

/// What is in an `Arc`, to be changed: a clone of it where someone else holds it too, which `copies` counts.
pub(super) fn own<'a, T: Clone>(shared: &'a mut Arc<T>, copies: &mut u64) -> &'a mut T {
    if Arc::strong_count(shared) > 1 {
        *copies += 1;
    }
    Arc::make_mut(shared)
}

impl<T> Clone for Chunks<T> {
    fn clone(&self) -> Self {
        Chunks(Arc::clone(&self.0))
    }
}

impl<T: Clone> Clone for Body<T> {
    fn clone(&self) -> Self {
        Body { len: self.len, older: self.older.clone(), tail: self.tail.clone() }
    }
}

impl<T> Clone for Run<T> {
    fn clone(&self) -> Self {
        match self {
            Run::Chunk(chunk) => Run::Chunk(Arc::clone(chunk)),
            Run::Runs(runs) => Run::Runs(Arc::clone(runs)),
        }
    }
}

impl<T> Body<T> {
    fn push(&mut self, value: T) {
        if self.tail.len() >= CHUNK {
            let full = std::mem::replace(&mut self.tail, Vec::with_capacity(CHUNK));
            self.stack(Run::Chunk(Arc::new(full)));
        }
        self.tail.push(value);
        self.len += 1;
    }

    /// Puts a chunk behind the older ones: what gets full goes up as one.
    fn stack(&mut self, mut run: Run<T>) {
        for level in &mut self.older {
            level.push(run);
            if level.len() < RUNS {
                return;
            }
            run = Run::Runs(Arc::new(std::mem::take(level)));
        }
        self.older.push(vec![run]);
    }
}

impl<T> FromIterator<T> for Chunks<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut body = Body { len: 0, older: Vec::new(), tail: Vec::new() };
        values.into_iter().for_each(|value| body.push(value));
        Chunks(Arc::new(body))
    }
}

impl<T> Chunks<T> {
    pub(super) fn new() -> Self {
        Chunks::from_iter([])
    }

    pub(super) fn len(&self) -> usize {
        self.0.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// The elements, the oldest first.
    pub(super) fn iter(&self) -> Iter<'_, T> {
        let (levels, tail) = (self.0.older.as_slice(), &self.0.tail);
        Iter { left: self.0.len, levels, ways: Vec::new(), chunk: [].iter(), tail: Some(tail) }
    }

    /// The oldest chunk: what [`Chunks::remove_first`] removes of.
    pub(super) fn first_chunk(&self) -> &[T] {
        self.iter().next_chunk().unwrap_or_default()
    }
}

impl<T: Clone> Chunks<T> {
    /// Adds an element at the end.
    pub(super) fn push(&mut self, value: T, copies: &mut u64) {
        own(&mut self.0, copies).push(value);
    }

    /// Adds elements at the end.
    pub(super) fn extend(&mut self, values: impl IntoIterator<Item = T>, copies: &mut u64) {
        let body = own(&mut self.0, copies);
        values.into_iter().for_each(|value| body.push(value));
    }

    /// All elements. They are cloned only where the list is long, or a view still holds it.
    pub(super) fn into_vec(self) -> Vec<T> {
        match Arc::try_unwrap(self.0) {
            Ok(body) if body.older.is_empty() => body.tail,
            Ok(body) => Chunks(Arc::new(body)).iter().cloned().collect(),
            Err(shared) => Chunks(shared).iter().cloned().collect(),
        }
    }

    /// Keeps the elements for which `keep` says so. Only the chunks are copied, of those that are shared, of which some are not kept.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool, copies: &mut u64) {
        let before = self.0.len;
        let mut removed = 0;
        self.each_chunk(copies, &mut |chunk, copies| {
            let Some(first) = chunk.iter().position(|value| !keep(value)) else { return };
            let (chunk, mut at) = (own(chunk, copies), 0);
            let len = chunk.len();
            chunk.retain(|value| {
                at += 1;
                at <= first || (at > first + 1 && keep(value))
            });
            removed += len - chunk.len();
        });
        own(&mut self.0, copies).len -= removed;
        if removed > before / 2 {
            *self = self.iter().cloned().collect();
        }
    }

    /// Changes elements in place: those for which `change` gives a new one.
    pub(super) fn replace(&mut self, change: impl Fn(&T) -> Option<T>, copies: &mut u64) {
        self.each_chunk(copies, &mut |chunk, copies| {
            if chunk.iter().any(|value| change(value).is_some()) {
                for value in own(chunk, copies) {
                    *value = change(value).unwrap_or_else(|| value.clone());
                }
            }
        });
    }

    fn each_chunk(&mut self, copies: &mut u64, visit: &mut impl FnMut(&mut Arc<Vec<T>>, &mut u64)) {
        let body = own(&mut self.0, copies);
        body.older.iter_mut().rev().for_each(|level| each_chunk(level, copies, visit));
        let mut tail = Arc::new(std::mem::take(&mut body.tail));
        visit(&mut tail, copies);
        body.tail = Arc::unwrap_or_clone(tail);
    }

    /// Removes the first `n` elements, all of the oldest chunk.
    pub(super) fn remove_first(&mut self, n: usize, copies: &mut u64) {
        let body = own(&mut self.0, copies);
        body.len -= n.min(body.len);
        match body.older.last_mut() {
            Some(level) => remove_first(level, n, copies),
            None => {
                body.tail.drain(..n.min(body.tail.len()));
                shrink(&mut body.tail);
            }
        }
        while body.older.last().is_some_and(Vec::is_empty) {
            body.older.pop();
        }
    }
}

fn each_chunk<T: Clone>(runs: &mut Vec<Run<T>>, copies: &mut u64, visit: &mut impl FnMut(&mut Arc<Vec<T>>, &mut u64)) {
    runs.retain_mut(|run| match run {
        Run::Chunk(chunk) => {
            visit(chunk, copies);
            !chunk.is_empty()
        }
        Run::Runs(runs) => {
            let runs = own(runs, copies);
            each_chunk(runs, copies, visit);
            !runs.is_empty()
        }
    });
}

fn remove_first<T: Clone>(runs: &mut Vec<Run<T>>, n: usize, copies: &mut u64) {
    let emptied = match runs.first_mut() {
        Some(Run::Chunk(chunk)) if chunk.len() <= n => true,
        Some(Run::Chunk(chunk)) => {
            own(chunk, copies).drain(..n);
            false
        }
        Some(Run::Runs(inner)) => {
            let inner = own(inner, copies);
            remove_first(inner, n, copies);
            inner.is_empty()
        }
        None => false,
    };
    if emptied {
        runs.remove(0);
    }
}

/// Gives memory back where most of it is not used any more.
pub(super) fn shrink<T>(values: &mut Vec<T>) {
    if values.capacity() >= 16 && values.len() * 4 < values.capacity() {
        values.shrink_to(values.len() * 2);
    }
}

impl<T: Serialize> Serialize for Chunks<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<T: fmt::Debug> fmt::Debug for Chunks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The elements of a list, the oldest first.
pub(crate) struct Iter<'a, T> {
    left: usize,
    /// Levels that are still to come, the last of them first.
    levels: &'a [Vec<Run<T>>],
    /// The way to the chunk: what comes after it on each level.
    ways: Vec<slice::Iter<'a, Run<T>>>,
    chunk: slice::Iter<'a, T>,
    /// The last chunk.
    tail: Option<&'a [T]>,
}

impl<'a, T> Iter<'a, T> {
    pub(super) fn next_chunk(&mut self) -> Option<&'a [T]> {
        loop {
            match self.ways.last_mut().map(Iterator::next) {
                Some(Some(Run::Chunk(chunk))) => return Some(chunk),
                Some(Some(Run::Runs(runs))) => self.ways.push(runs.iter()),
                Some(None) => drop(self.ways.pop()),
                None => match self.levels.split_last() {
                    Some((level, lower)) => {
                        self.levels = lower;
                        self.ways.push(level.iter());
                    }
                    None => return self.tail.take(),
                },
            }
        }
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        loop {
            if let Some(value) = self.chunk.next() {
                self.left -= 1;
                return Some(value);
            }
            self.chunk = self.next_chunk()?.iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}
