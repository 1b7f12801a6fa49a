//! Reads an operator's state back from a checkpoint, for the parallelism that it has now.
//!
//! Keyed state goes by key group: each instance gets the groups that it owns, from whatever instances wrote them. The items of a
//! list go back to the instance that wrote them where the parallelism is the same, else all are pooled in order and dealt out in
//! contiguous shares whose sizes differ by one at most. Always: each entry of these reaches exactly one instance. What is not divided,
//! union lists and broadcast states, is in [`super::copies`].
//!
//! Called by restoring tasks, on threads that may block.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::copies::{copy_of, union_of_blocks};
use super::file::{FileEntry, Section};
use super::folder::Folder;
use super::job_files::JobStore;
use super::manifest::{Manifest, OperatorManifest};
use super::reader::SnapshotReader;
use super::sealed::corrupt;
use super::store::StoreBackend;
use crate::codec::Reader;
use crate::error::{BoxError, Error, Result};
use crate::ids::{CheckpointId, Uid};
use crate::state::{Block, Kept, RestoredStates, StateDescriptor, StateKind, is_count};
use crate::time::Timestamp;

/// Blocks, each with the instance that wrote it.
pub(super) type PartBlocks = Vec<(u32, Block)>;

/// One instance among those of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// Its index.
    pub(crate) index: u32,
    /// How many instances there are.
    pub(crate) parallelism: u32,
}

/// What a checkpoint holds for one instance of an operator.
#[derive(Clone, Debug)]
pub(crate) struct RestoredOperator {
    /// True when this instance had ended; after a change of the parallelism, when all had.
    pub(crate) ended: bool,
    /// The watermark that this instance had reached; after a change of the parallelism, the lowest of all.
    pub(crate) watermark: Timestamp,
    /// The states.
    pub(crate) states: RestoredStates,
}

impl RestoredOperator {
    /// What an instance has that no checkpoint knows of.
    pub(crate) fn nothing() -> Self {
        RestoredOperator { ended: false, watermark: Timestamp::NONE, states: RestoredStates::default() }
    }
}

impl Manifest {
    /// Compares the checkpoint with the operators of the flow. Returns the uids whose state will be lost, which are none but those
    /// that `may_be_lost` names. Operators without an entry in any state do not count.
    ///
    /// # Errors
    /// [`Error::StateMismatch`], naming the other uids whose state would be lost.
    pub(crate) fn check_operators(&self, flow: &BTreeSet<Uid>, may_be_lost: &BTreeSet<Uid>) -> Result<Vec<Uid>> {
        let sections = self.files.iter().flat_map(|file| &file.sections);
        let with_state: BTreeSet<&Uid> =
            sections.filter(|section| !is_count(&section.state)).map(|section| &section.operator).collect();
        let lost = with_state.into_iter().filter(|uid| !flow.contains(uid)).cloned();
        let (allowed, refused): (Vec<Uid>, Vec<Uid>) = lost.partition(|uid| may_be_lost.contains(uid));
        if refused.is_empty() { Ok(allowed) } else { Err(lost_without_leave(self.id(), &refused)) }
    }
}

fn lost_without_leave(id: CheckpointId, uids: &[Uid]) -> Error {
    let quoted = |mark: &str| uids.iter().map(|uid| format!("{mark}{uid}{mark}")).collect::<Vec<_>>().join(", ");
    let (its, operator) = if uids.len() == 1 { ("its", "operator") } else { ("their", "operators") };
    Error::StateMismatch {
        problem: format!("checkpoint {id} has state of {}, and the flow has no {operator} with {its} uid", quoted("'")),
        advice: format!(
            "give the {operator} {its} former uid with .uid(…), or give {its} state up with Job::allow_lost_state([{}])",
            quoted("\"")
        ),
    }
}

impl JobStore {
    /// Reads what a checkpoint holds for one instance of an operator; `None` where the operator was not part of it.
    ///
    /// # Errors
    /// [`Error::Corrupt`], naming the file, the operator and the section; [`Error::StateMismatch`] where the parallelism is above
    /// the number of key groups.
    pub(crate) fn load_operator(&self, manifest: &Manifest, uid: &Uid, share: Share) -> Result<Option<RestoredOperator>> {
        let loaded = self.folder(manifest.id()).load_operator(manifest, uid, share);
        loaded.map_err(|error| self.with_usable(error, manifest.id()))
    }
}

impl Folder {
    /// Reads what the manifest's checkpoint holds for one instance of an operator; `None` where the operator was not part of it.
    ///
    /// # Errors
    /// Those of [`JobStore::load_operator`].
    pub(super) fn load_operator(&self, manifest: &Manifest, uid: &Uid, share: Share) -> Result<Option<RestoredOperator>> {
        manifest.job.check_parallelism(uid.as_str(), share.parallelism)?;
        let Some(operator) = manifest.operators.get(uid) else { return Ok(None) };
        let states = self.load_states(manifest, operator, uid, share)?;
        let own = operator.parts.get(share.index as usize).filter(|_| operator.parallelism == share.parallelism);
        Ok(Some(RestoredOperator {
            ended: own.map_or_else(|| operator.parts.iter().all(|part| part.ended), |part| part.ended),
            watermark: own.map_or(operator.watermark, |part| part.watermark),
            states,
        }))
    }

    fn load_states(&self, manifest: &Manifest, operator: &OperatorManifest, uid: &Uid, share: Share) -> Result<RestoredStates> {
        let mut states: BTreeMap<&str, (&StateDescriptor, PartBlocks)> = BTreeMap::new();
        for state in &operator.states {
            states.insert(&state.name, (state, Vec::new()));
        }
        let mut open: Option<(&FileEntry, SnapshotReader<'_>)> = None;
        for pick in picks(manifest, operator, uid, share) {
            let reader = match open.take() {
                Some((file, reader)) if std::ptr::eq(file, pick.file) => reader,
                _ => self.open_file(manifest, pick.file)?,
            };
            let block = pick.read(&reader)?;
            open = Some((pick.file, reader));
            let state = states.get_mut(&*pick.section.state);
            let state = state.ok_or_else(|| Error::Engine(format!("operator '{uid}' has no state '{}'", pick.section.state)))?;
            state.1.push((pick.section.part, block));
        }
        let kept = |(name, (state, blocks)): (&str, (&StateDescriptor, PartBlocks))| {
            let kept = match state.kind {
                StateKind::UnionList => union_of_blocks(blocks, operator.parallelism, share),
                _ => Kept::Blocks(blocks.into_iter().map(|(_, block)| block).collect()),
            };
            (name.to_owned(), (state.clone(), kept))
        };
        Ok(RestoredStates { states: states.into_iter().map(kept).collect() })
    }

    fn open_file(&self, manifest: &Manifest, file: &FileEntry) -> Result<SnapshotReader<'_>> {
        open_file(self.store(), file.path(self.dir()), manifest, file)
    }
}

/// Opens a snapshot file, and checks that it is the one that the manifest means.
pub(super) fn open_file<'a>(
    store: &'a dyn StoreBackend,
    path: String,
    manifest: &Manifest,
    file: &FileEntry,
) -> Result<SnapshotReader<'a>> {
    let located = store.locate(&path);
    let reader = SnapshotReader::open(store, path)?;
    let header = reader.header();
    // The manifest may name some of the file's sections only, where it is that of an older checkpoint.
    let sections = match file.checkpoint {
        None => reader.sections() == file.sections,
        Some(_) => file.sections.iter().all(|section| reader.sections().contains(section)),
    };
    let same = reader.size() == file.bytes
        && reader.index_crc32c() == file.index_crc32c
        && sections
        && header.checkpoint == file.checkpoint.unwrap_or(manifest.id())
        && header.job == manifest.job.job;
    if same { Ok(reader) } else { Err(corrupt(&located, "it is not the file that the manifest means".into())) }
}

/// The part of a section that an instance gets.
struct Pick<'a> {
    file: &'a FileEntry,
    section: &'a Section,
    entries: Range<u64>,
}

impl Pick<'_> {
    fn read(&self, reader: &SnapshotReader<'_>) -> Result<Block> {
        let block = reader.read(self.section)?;
        if self.entries == (0..self.section.entries) {
            return Ok(block);
        }
        cut(&block, &self.entries).map_err(|error| reader.damaged(self.section, &*error))
    }
}

/// What an instance gets, in the order in which it was written.
fn picks<'a>(manifest: &'a Manifest, operator: &OperatorManifest, uid: &'a Uid, share: Share) -> Vec<Pick<'a>> {
    let groups = manifest.job.groups().range(share.index, share.parallelism);
    let whole = |(file, section): (&'a FileEntry, &'a Section)| Pick { file, section, entries: 0..section.entries };
    let keyed = |section: &Section| section.group.is_some_and(|group| groups.contains(&group.0));
    let mut picks: Vec<Pick<'a>> = manifest.sections(uid).filter(|(_, section)| keyed(section)).map(whole).collect();
    for state in &operator.states {
        let lists = manifest.sections(uid).filter(|(_, section)| section.group.is_none() && section.state == state.name);
        match state.kind {
            StateKind::UnionList => picks.extend(lists.map(whole)),
            StateKind::Broadcast => {
                let having = lists.clone().map(|(_, section)| section.part).collect();
                let from = copy_of(&having, operator.parallelism, share);
                picks.extend(lists.filter(|(_, section)| Some(section.part) == from).map(whole));
            }
            _ if operator.parallelism == share.parallelism => {
                picks.extend(lists.filter(|(_, section)| section.part == share.index).map(whole));
            }
            _ => picks.extend(deal(lists.map(whole).collect(), share)),
        }
    }
    picks
}

/// The share of an instance in the pooled items of one list.
fn deal(pool: Vec<Pick<'_>>, share: Share) -> impl Iterator<Item = Pick<'_>> {
    let total = pool.iter().map(|pick| pick.entries.end).fold(0, u64::saturating_add);
    let wanted = contiguous(total, share);
    let mut at = 0u64;
    pool.into_iter().filter_map(move |mut pick| {
        let (start, end) = (at, at.saturating_add(pick.entries.end));
        at = end;
        pick.entries = wanted.start.clamp(start, end) - start..wanted.end.clamp(start, end) - start;
        (!pick.entries.is_empty()).then_some(pick)
    })
}

/// The share of an instance in a list that no checkpoint knows of yet.
///
/// # Errors
/// Where a block holds fewer items than it says.
pub(crate) fn deal_blocks(blocks: &[Block], share: Share) -> Result<Vec<Block>, BoxError> {
    let wanted = contiguous(blocks.iter().map(|block| block.entries).sum(), share);
    let mut at = 0;
    let mut dealt = Vec::new();
    for block in blocks {
        let (start, end) = (at, at + block.entries);
        at = end;
        let entries = wanted.start.clamp(start, end) - start..wanted.end.clamp(start, end) - start;
        if !entries.is_empty() {
            dealt.push(cut(block, &entries)?);
        }
    }
    Ok(dealt)
}

/// The items of an instance among `total`; the first instances get one more where they cannot be divided evenly.
pub(super) fn contiguous(total: u64, share: Share) -> Range<u64> {
    let (index, parallelism) = (u64::from(share.index), u64::from(share.parallelism.max(1)));
    let start = |index: u64| index * (total / parallelism) + index.min(total % parallelism);
    start(index)..start(index + 1)
}

/// The entries of a list's block in this range.
fn cut(block: &Block, entries: &Range<u64>) -> Result<Block, BoxError> {
    let mut reader = Reader::new(&block.bytes);
    for _ in 0..entries.start {
        reader.skip()?;
    }
    let mut bytes = Vec::new();
    for _ in entries.clone() {
        bytes.extend_from_slice(reader.skip()?);
    }
    Ok(Block { group: None, entries: entries.end - entries.start, bytes })
}
