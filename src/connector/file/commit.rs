//! Committing a part, once or again, and cleaning up after a restart.
//!
//! Always: nothing that exists is replaced; a part becomes visible only with exactly the bytes of its handle; removed is only what
//! carries the name of this sink, is not committed, and is in no handle. Called on threads for blocking work.

use std::collections::BTreeMap;
use std::path::Path;

use super::durable::{failed, file_len, remove, rename_new, sync_dir, truncate};
use super::name::{Names, uncommitted};
use super::part::PartHandle;
use crate::error::{BoxError, Fatal};

/// When a commit happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// After the checkpoint, by the attempt that wrote the part.
    Complete,
    /// After a restart: what was written behind the checkpoint is still in the files.
    Recovery,
}

/// What there is to do for a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Rename,
    TruncateAndRename,
    Nothing,
    Refuse(&'static str),
}

/// Decides by the lengths of the uncommitted and the committed file.
fn decide(handle: &PartHandle, when: When, hidden: Option<u64>, visible: Option<u64>) -> Step {
    match (hidden, visible) {
        (Some(_), Some(_)) => {
            Step::Refuse("a file of that name is already there, and is not overwritten; check whose it is, and move it away")
        }
        (Some(found), None) if found == handle.len => Step::Rename,
        (Some(found), None) if found < handle.len => Step::Refuse(
            "it is shorter than when the checkpoint was taken, so rows are lost; restore the volume, or start from another savepoint",
        ),
        (Some(_), None) if when == When::Recovery => Step::TruncateAndRename,
        (Some(_), None) => Step::Refuse("it is longer than when it was closed; keep other writers out of the directory"),
        (None, Some(found)) if found == handle.len => Step::Nothing,
        // Going back to an older checkpoint, which the part has outgrown and has been committed since.
        (None, Some(found)) if found > handle.len && !handle.closed => Step::Nothing,
        (None, Some(_)) => {
            Step::Refuse("the committed file has another length; something has changed it since; put the old one back")
        }
        (None, None) => Step::Refuse(
            "it is gone, so its rows are lost; put the file back, or, if a consumer took it, allow that with `parts_may_be_taken(true)`",
        ),
    }
}

/// Makes a part visible. The directory is still to be synced.
pub(crate) fn publish(root: &Path, handle: &PartHandle, when: When, may_be_taken: bool) -> Result<(), BoxError> {
    let (hidden, visible) = (root.join(uncommitted(&handle.name)), root.join(&handle.name));
    let (hidden_len, visible_len) = (file_len(&hidden)?, file_len(&visible)?);
    if may_be_taken && hidden_len.is_none() && visible_len.is_none() {
        return Ok(());
    }
    match decide(handle, when, hidden_len, visible_len) {
        Step::Nothing => Ok(()),
        Step::Rename => rename_new(&hidden, &visible),
        Step::TruncateAndRename => {
            truncate(&hidden, handle.len)?;
            rename_new(&hidden, &visible)
        }
        Step::Refuse(why) => Err(refused(&visible, handle, hidden_len, visible_len, why)),
    }
}

fn refused(visible: &Path, handle: &PartHandle, hidden_len: Option<u64>, visible_len: Option<u64>, why: &str) -> BoxError {
    let found = |len: Option<u64>| len.map_or_else(|| "missing".into(), |len| format!("{len} bytes"));
    format!(
        "cannot commit '{}' ({} bytes; uncommitted file: {}, committed file: {}): {why}",
        visible.display(),
        handle.len,
        found(hidden_len),
        found(visible_len)
    )
    .into()
}

/// Refuses handles of another directory or another sink.
pub(crate) fn check(root: &Path, names: &Names, handle: &PartHandle) -> Result<(), BoxError> {
    if !same_dir(root, Path::new(&handle.root)) {
        return Err(format!(
            "the checkpoint's parts are in '{}', but the sink now writes to '{}': set the old directory again, or move the files and start \
             from a savepoint in which all parts are committed",
            handle.root,
            root.display()
        )
        .into());
    }
    if names.is_committed(&handle.name) {
        return Ok(());
    }
    Err(format!("the checkpoint's part '{}' is not of this job and sink; give job and sink the names that they had", handle.name)
        .into())
}

fn same_dir(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

/// Commits all handles, each one [`check`]ed, of a restored checkpoint, then removes what none of them knows.
///
/// Several handles of one part come from several checkpoints: the one that reaches furthest counts.
pub(crate) fn recover(root: &Path, names: &Names, handles: Vec<PartHandle>, may_be_taken: bool) -> Result<(), BoxError> {
    let mut furthest: BTreeMap<String, PartHandle> = BTreeMap::new();
    for handle in handles {
        match furthest.get(&handle.name) {
            Some(known) if (known.len, known.closed) >= (handle.len, handle.closed) => {}
            _ => drop(furthest.insert(handle.name.clone(), handle)),
        }
    }
    for handle in furthest.values() {
        publish(root, handle, When::Recovery, may_be_taken)?;
    }
    remove_leftovers(root, names)?;
    sync_dir(root)
}

/// Removes what was never committed, where no checkpoint knows of anything. Refused where committed parts are there: they are of an
/// earlier life of the job, which this one would write once more.
pub(crate) fn begin(root: &Path, names: &Names) -> Result<(), BoxError> {
    if let Some(part) = list(root)?.into_iter().find(|name| names.is_committed(name)) {
        return Err(Fatal::new(format!(
            "'{}' is already there, and no checkpoint knows of it: it is of an earlier life of the job whose state is gone, and its \
             rows would come once more; bring that state back, or write to an empty directory, or give the job or the sink's uid \
             another name",
            root.join(part).display()
        ))
        .into());
    }
    remove_leftovers(root, names)?;
    sync_dir(root)
}

/// The names in a directory, as far as they can be this sink's.
fn list(root: &Path) -> Result<Vec<String>, BoxError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root).map_err(|error| failed("list", root, &error))? {
        names.extend(entry.map_err(|error| failed("list", root, &error))?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

/// Removes this sink's uncommitted parts; called when those that a handle knows have been committed.
fn remove_leftovers(root: &Path, names: &Names) -> Result<(), BoxError> {
    let left = list(root)?;
    left.iter().filter(|name| names.is_uncommitted(name)).try_for_each(|name| remove(&root.join(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f32_every_case_of_a_commit_is_decided() {
        let closed = PartHandle { root: String::new(), name: String::new(), len: 5, closed: true };
        let open = PartHandle { closed: false, ..closed.clone() };
        let (now, later) = (When::Complete, When::Recovery);
        assert_eq!(decide(&closed, now, Some(5), None), Step::Rename);
        assert_eq!(decide(&closed, later, Some(5), None), Step::Rename);
        assert_eq!(decide(&closed, later, Some(6), None), Step::TruncateAndRename);
        assert_eq!(decide(&closed, now, None, Some(5)), Step::Nothing);
        assert_eq!(decide(&open, later, None, Some(6)), Step::Nothing);
        let refused = [
            (&closed, now, Some(6), None),
            (&closed, now, Some(4), None),
            (&closed, later, Some(4), None),
            (&closed, later, None, None),
            (&closed, later, None, Some(6)),
            (&open, later, None, Some(4)),
            (&closed, later, Some(5), Some(5)),
        ];
        for (handle, when, hidden, visible) in refused {
            assert!(
                matches!(decide(handle, when, hidden, visible), Step::Refuse(_)),
                "{handle:?} {when:?} {hidden:?} {visible:?}"
            );
        }
    }
}
