//! What writes a sink's rows into parts, and what it cuts off at a barrier.
//!
//! Always: a part is begun with the first row that goes into it, so where nothing is written there is no file and no handle; what
//! was cut off is never touched again. Lives on the sink task's thread.

use std::fmt;
use std::path::{Path, PathBuf};

use super::BUFFER_BYTES;
use super::format::Format;
use super::name::Names;
use super::part::{Part, PartHandle, Piece};
use crate::error::BoxError;
use crate::ids::{Attempt, CheckpointId};
use crate::sink::{SinkContext, SinkWriter};

/// Writes rows into parts.
#[derive(Debug)]
pub struct PartsWriter<F: Format> {
    root: PathBuf,
    names: Names,
    attempt: Attempt,
    index: u32,
    counter: u64,
    format: F,
    roll_at_bytes: Option<u64>,
    open: Option<Part<F::Rows>>,
    rolled: Vec<Piece<F::Rows>>,
    finished: bool,
}

impl<F: Format> PartsWriter<F> {
    /// A writer that has begun no part yet.
    pub(crate) fn new(root: &Path, format: F, roll_at_bytes: Option<u64>, ctx: &SinkContext) -> Self {
        PartsWriter {
            root: root.to_owned(),
            names: Names::new(ctx, F::EXTENSION),
            attempt: ctx.attempt,
            index: ctx.index,
            counter: 0,
            format,
            roll_at_bytes,
            open: None,
            rolled: Vec::new(),
            finished: false,
        }
    }

    fn begin(&mut self) -> Result<Part<F::Rows>, BoxError> {
        let name = self.names.committed(self.attempt, self.index, self.counter);
        self.counter += 1;
        // A buffer no larger than a part, so that a part's length is known in time.
        let limit = self.roll_at_bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
        Part::begin(&self.root, name, &self.format, BUFFER_BYTES.min(limit))
    }

    fn roll_if_full(&mut self) -> Result<(), BoxError> {
        let full = |part: &mut Part<F::Rows>| self.roll_at_bytes.is_some_and(|limit| part.len() >= limit);
        if let Some(part) = self.open.take_if(full) {
            self.rolled.push(part.roll()?);
        }
        Ok(())
    }
}

impl<F: Format> SinkWriter for PartsWriter<F> {
    type Item = F::Item;
    type Cut = PartsCut<F>;

    fn write(&mut self, records: &mut Vec<F::Item>) -> Result<(), BoxError> {
        if records.is_empty() {
            return Ok(());
        }
        if self.finished {
            return Err("rows came after the end of data; this is a fault of the engine, please report it".into());
        }
        let mut part = match self.open.take() {
            Some(part) => part,
            None => self.begin()?,
        };
        let written = records.drain(..).try_for_each(|record| part.push(&record));
        self.open = Some(part);
        written.and_then(|()| self.roll_if_full())
    }

    fn cut(&mut self, _checkpoint: CheckpointId) -> Result<PartsCut<F>, BoxError> {
        let mut pieces = std::mem::take(&mut self.rolled);
        let stays_open = self.roll_at_bytes.is_some() && !self.finished;
        match &mut self.open {
            Some(part) if stays_open => pieces.push(part.cut()?),
            open => pieces.extend(open.take().map(Part::end)),
        }
        Ok(PartsCut { pieces })
    }

    fn finish(&mut self) -> Result<(), BoxError> {
        self.finished = true;
        Ok(())
    }

    fn close(&mut self) {
        if let Some(part) = self.open.take() {
            part.give_up();
        }
        for piece in self.rolled.drain(..) {
            piece.give_up(&self.root);
        }
    }
}

/// What a barrier cut off: parts that were closed, and how far the open one reaches.
pub struct PartsCut<F: Format> {
    pieces: Vec<Piece<F::Rows>>,
}

impl<F: Format> PartsCut<F> {
    /// Makes the bytes durable; the directory is still to be synced.
    pub(crate) fn make_durable(self, root: &Path) -> Result<Vec<PartHandle>, BoxError> {
        self.pieces.into_iter().map(|piece| piece.make_durable(root)).collect()
    }
}

impl<F: Format> fmt::Debug for PartsCut<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartsCut").field("pieces", &self.pieces).finish()
    }
}
