//! The sink of files: rows go to hidden parts, and a checkpoint makes them visible.
//!
//! Always: under the names that `ls` shows there are rows of complete checkpoints only, each row once. A part is in progress
//! while it is written, pending once it was cut off, committed by a rename. Called on threads for blocking work; what writes the
//! rows is in `writer`.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use super::commit::{self, When};
use super::durable::{create_dir, sync_dir};
use super::format::{Csv, Format, Lines};
use super::name::Names;
use super::part::PartHandle;
use super::writer::{PartsCut, PartsWriter};
use crate::error::BoxError;
use crate::sink::{Sink, SinkContext};

/// Writes rows as CSV into part files in a directory: each row of a complete checkpoint is visible exactly once, no other row is.
///
/// Parts are named `part-<job>.<uid>.<epoch>-<attempt>-<index>-<counter>.csv`; what is not committed is hidden
/// (`.part-….csv.inprogress`), so that `cat out/*.csv` shows committed rows, where one task writes in the order in which it wrote
/// them. A visible part never changes.
///
/// ```
/// #[derive(serde::Serialize)]
/// struct Delay {
///     origin: String,
///     minutes: f64,
/// }
/// let delays = tidegate::CsvFile::<Delay>::exactly_once("out/delays").headers(true);
/// ```
pub type CsvFile<T> = PartFiles<Csv<T>>;

/// Writes what `Display` says of each record as a line into part files in a directory: each line of a complete checkpoint is
/// visible exactly once, no other line is.
///
/// Files and names are as with [`CsvFile`], and end in `.txt`. Line breaks within a record are written as they are.
///
/// ```
/// let lines = tidegate::LineFile::<String>::exactly_once("out/lines").roll_at_bytes(64 * 1024 * 1024);
/// ```
pub type LineFile<T> = PartFiles<Lines<T>>;

/// Writes part files of one format into a directory.
#[derive(Debug)]
pub struct PartFiles<F> {
    root: PathBuf,
    format: F,
    roll_at_bytes: Option<u64>,
    may_be_taken: bool,
}

impl<T> PartFiles<Csv<T>> {
    /// Parts in a directory, which is made where it is missing. A relative path is taken from where the process is now.
    pub fn exactly_once(dir: impl AsRef<Path>) -> Self {
        Self::new(dir.as_ref(), Csv { headers: false, rows: PhantomData })
    }

    /// Whether each part begins with a row that names the columns (not so unless said).
    pub fn headers(mut self, headers: bool) -> Self {
        self.format.headers = headers;
        self
    }
}

impl<T> PartFiles<Lines<T>> {
    /// Parts in a directory, which is made where it is missing. A relative path is taken from where the process is now.
    pub fn exactly_once(dir: impl AsRef<Path>) -> Self {
        Self::new(dir.as_ref(), Lines { rows: PhantomData })
    }
}

impl<F> PartFiles<F> {
    fn new(dir: &Path, format: F) -> Self {
        let root = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        PartFiles { root, format, roll_at_bytes: None, may_be_taken: false }
    }

    /// Keeps a part open over checkpoints until it has this many bytes (or a batch more), and rolls it then: fewer files, whose
    /// rows become visible later, with the first checkpoint after the part was rolled. Unless said, each checkpoint rolls.
    ///
    /// At the end of data, and after a restart, a part is rolled whatever its length.
    pub fn roll_at_bytes(mut self, bytes: u64) -> Self {
        self.roll_at_bytes = Some(bytes.max(1));
        self
    }

    /// Whether consumers take committed parts out of the directory (not so unless said).
    ///
    /// If so, a part that is missing when it is committed again after a restart counts as taken; else it counts as lost, and the
    /// job fails.
    pub fn parts_may_be_taken(mut self, allowed: bool) -> Self {
        self.may_be_taken = allowed;
        self
    }
}

impl<F: Format> PartFiles<F> {
    fn check_root(&self) -> Result<(), BoxError> {
        match self.root.to_str() {
            Some("") => Err("the output directory has an empty name; name one".into()),
            Some(_) => Ok(()),
            None => {
                Err(format!("the name '{}' is not UTF-8, so no checkpoint can hold it; rename it", self.root.display()).into())
            }
        }
    }

    /// A directory that handles speak of is not made anew: it may be on a volume that is not mounted.
    fn make_root(&self, handles: &[PartHandle]) -> Result<(), BoxError> {
        if handles.is_empty() || self.may_be_taken || self.root.exists() {
            return create_dir(&self.root);
        }
        Err(format!(
            "the output directory '{}' is gone, with parts of the checkpoint in it; is its volume mounted? Bring it back",
            self.root.display()
        )
        .into())
    }
}

impl<F: Format> Sink for PartFiles<F> {
    type Item = F::Item;
    type Cut = PartsCut<F>;
    type Handle = PartHandle;
    type Writer = PartsWriter<F>;

    fn recover(&self, ctx: &SinkContext, handles: Vec<PartHandle>) -> Result<(), BoxError> {
        self.check_root()?;
        let names = Names::new(ctx, F::EXTENSION);
        for handle in &handles {
            commit::check(&self.root, &names, handle)?;
        }
        self.make_root(&handles)?;
        commit::recover(&self.root, &names, handles, self.may_be_taken)
    }

    fn begin(&self, ctx: &SinkContext) -> Result<(), BoxError> {
        self.check_root()?;
        create_dir(&self.root)?;
        commit::begin(&self.root, &Names::new(ctx, F::EXTENSION))
    }

    fn open(&self, ctx: &SinkContext) -> Result<PartsWriter<F>, BoxError> {
        Ok(PartsWriter::new(&self.root, self.format.clone(), self.roll_at_bytes, ctx))
    }

    fn make_durable(&self, cut: PartsCut<F>) -> Result<Vec<PartHandle>, BoxError> {
        let handles = cut.make_durable(&self.root)?;
        if !handles.is_empty() {
            sync_dir(&self.root)?;
        }
        Ok(handles)
    }

    /// A part that is still open is committed by a later handle of it; until then the state knows how much of it counts.
    fn commit(&self, handle: &PartHandle) -> Result<(), BoxError> {
        if !handle.closed {
            return Ok(());
        }
        commit::publish(&self.root, handle, When::Complete, self.may_be_taken)?;
        sync_dir(&self.root)
    }
}
