//! The value of a map state: its entries in pieces of bounded size.
//!
//! Always: a clone shares everything, and a change to a map that is shared copies one piece and the way to it, whatever the map's
//! size. Entries lie in the order of their hashes, so the order in which they are visited depends on nothing else: not on the process,
//! nor on what was there before. A full piece becomes a branch of sixteen, by the hash's next four bits. Used by the accesses to a
//! key's map on the task's thread; views read it on another.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::slice;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::chunks::{own, shrink};

/// Entries of a piece at most, but for those whose hashes are the same.
pub(super) const PIECE: usize = 256;
/// The bits of a hash by which a branch decides.
const BITS: u32 = 4;
/// Children of a branch.
const CHILDREN: u64 = 1 << BITS;
/// Branches on the way to an entry at most: then the hash is used up.
const DEPTH_MAX: u32 = 64 / BITS;

/// A map.
pub(crate) struct Pieces<UK, UV>(Arc<Body<UK, UV>>);

#[derive(Clone)]
struct Body<UK, UV> {
    len: usize,
    root: Node<UK, UV>,
}

enum Node<UK, UV> {
    /// Entries, by their hashes.
    Piece(Vec<Entry<UK, UV>>),
    /// Sixteen children, by the next bits of the hash.
    Branch(Vec<Arc<Node<UK, UV>>>),
}

#[derive(Clone)]
pub(crate) struct Entry<UK, UV> {
    pub(super) hash: u64,
    pub(super) key: UK,
    pub(super) value: UV,
}

/// A hash on its way down: its next bits are the top ones.
#[derive(Clone, Copy)]
struct Way {
    bits: u64,
    depth: u32,
}

impl Way {
    fn of(hash: u64) -> Self {
        Way { bits: hash, depth: 0 }
    }

    fn turn(&mut self) -> usize {
        let child = self.bits >> (u64::BITS - BITS);
        (self.bits, self.depth) = (self.bits << BITS, self.depth + 1);
        child as usize
    }
}

impl<UK, UV> Clone for Pieces<UK, UV> {
    fn clone(&self) -> Self {
        Pieces(Arc::clone(&self.0))
    }
}

impl<UK: Clone, UV: Clone> Clone for Node<UK, UV> {
    fn clone(&self) -> Self {
        match self {
            Node::Piece(entries) => Node::Piece(entries.clone()),
            Node::Branch(children) => Node::Branch(children.clone()),
        }
    }
}

impl<UK, UV> Pieces<UK, UV> {
    pub(super) fn new() -> Self {
        Pieces(Arc::new(Body { len: 0, root: Node::Piece(Vec::new()) }))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// The entries, in the order of their hashes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&UK, &UV)> {
        self.entries().map(|entry| (&entry.key, &entry.value))
    }

    /// The same, with their hashes.
    pub(super) fn entries(&self) -> Iter<'_, UK, UV> {
        let mut iter = Iter { left: self.0.len, ways: Vec::new(), piece: [].iter() };
        iter.enter(&self.0.root);
        iter
    }

    /// The piece of a hash, and the last hash that would be in it.
    pub(super) fn piece(&self, hash: u64) -> (&[Entry<UK, UV>], u64) {
        let (mut node, mut way) = (&self.0.root, Way::of(hash));
        loop {
            match node {
                Node::Piece(entries) => return (entries, hash | u64::MAX.checked_shr(way.depth * BITS).unwrap_or(0)),
                Node::Branch(children) => match children.get(way.turn()) {
                    Some(child) => node = child,
                    None => return (&[], u64::MAX),
                },
            }
        }
    }
}

/// Where a key is in its piece, or where it belongs.
fn place<UK: Borrow<Q>, UV, Q: Eq + ?Sized>(entries: &[Entry<UK, UV>], hash: u64, key: &Q) -> Result<usize, usize> {
    let first = entries.partition_point(|entry| entry.hash < hash);
    let same = entries.iter().skip(first).take_while(|entry| entry.hash == hash);
    let mut after = first;
    for entry in same {
        if entry.key.borrow() == key {
            return Ok(after);
        }
        after += 1;
    }
    Err(after)
}

impl<UK, UV> Pieces<UK, UV> {
    /// The value of a key.
    pub(super) fn get<Q: Eq + ?Sized>(&self, hash: u64, key: &Q) -> Option<&UV>
    where
        UK: Borrow<Q>,
    {
        let (piece, _) = self.piece(hash);
        let at = place(piece, hash, key).ok()?;
        piece.get(at).map(|entry| &entry.value)
    }
}

impl<UK: Clone, UV: Clone> Pieces<UK, UV> {
    /// The value of a key, to be changed. A key that is not there may copy its piece.
    pub(super) fn get_mut<Q: Eq + ?Sized>(&mut self, hash: u64, key: &Q, copies: &mut u64) -> Option<&mut UV>
    where
        UK: Borrow<Q>,
    {
        let piece = self.piece_mut(hash, copies);
        let at = place(piece, hash, key).ok()?;
        piece.get_mut(at).map(|entry| &mut entry.value)
    }

    /// The value of a key, made first where there is none. The key is cloned only then.
    pub(super) fn get_or_insert_with(&mut self, hash: u64, key: &UK, make: impl FnOnce() -> UV, copies: &mut u64) -> &mut UV
    where
        UK: Eq,
    {
        let Body { len, root } = own(&mut self.0, copies);
        let piece = root.piece_with_room(Way::of(hash), copies);
        let at = match place(piece, hash, key) {
            Ok(found) => found,
            Err(free) => {
                piece.insert(free, Entry { hash, key: key.clone(), value: make() });
                *len += 1;
                free
            }
        };
        &mut piece.get_mut(at).expect("it is there now").value
    }

    /// Sets the value of a key, and returns the one it had.
    pub(super) fn insert(&mut self, hash: u64, key: &UK, value: UV, copies: &mut u64) -> Option<UV>
    where
        UK: Eq,
    {
        let mut new = Some(value);
        let place = self.get_or_insert_with(hash, key, || new.take().expect("made once"), copies);
        new.map(|value| std::mem::replace(place, value))
    }

    /// Removes a key, and returns its value. A key that is not there copies nothing.
    pub(super) fn remove<Q: Eq + ?Sized>(&mut self, hash: u64, key: &Q, copies: &mut u64) -> Option<UV>
    where
        UK: Borrow<Q>,
    {
        self.get(hash, key)?;
        let piece = self.piece_mut(hash, copies);
        let at = place(piece, hash, key).ok()?;
        let Entry { value, .. } = piece.remove(at);
        shrink(piece);
        let emptied = piece.is_empty();
        let Body { len, root } = own(&mut self.0, copies);
        *len -= 1;
        if emptied {
            root.gather(Way::of(hash), copies);
        }
        Some(value)
    }

    /// Keeps the entries for which `keep` says so. Only the pieces are copied, of those that are shared, of which some are not kept.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&UK, &UV) -> bool, copies: &mut u64) {
        let Body { len, root } = own(&mut self.0, copies);
        *len -= root.retain(&mut keep, copies);
    }

    /// As [`Pieces::retain`], of the piece of a hash only.
    pub(super) fn retain_piece(&mut self, hash: u64, mut keep: impl FnMut(&UK, &UV) -> bool, copies: &mut u64) {
        let piece = self.piece_mut(hash, copies);
        let before = piece.len();
        piece.retain(|entry| keep(&entry.key, &entry.value));
        shrink(piece);
        let removed = before - piece.len();
        let Body { len, root } = own(&mut self.0, copies);
        *len -= removed;
        root.gather(Way::of(hash), copies);
    }

    /// Changes values in place: those for which `change` gives a new one.
    pub(super) fn replace(&mut self, change: impl Fn(&UV) -> Option<UV>, copies: &mut u64) {
        own(&mut self.0, copies).root.replace(&change, copies);
    }

    /// Changes the values under a hash in place.
    pub(super) fn each_of(&mut self, hash: u64, mut change: impl FnMut(&mut UV), copies: &mut u64) {
        let piece = self.piece_mut(hash, copies);
        piece.iter_mut().filter(|entry| entry.hash == hash).for_each(|entry| change(&mut entry.value));
    }

    fn piece_mut(&mut self, hash: u64, copies: &mut u64) -> &mut Vec<Entry<UK, UV>> {
        own(&mut self.0, copies).root.piece_mut(Way::of(hash), copies)
    }
}

impl<UK: Clone, UV: Clone> Node<UK, UV> {
    fn piece_mut(&mut self, mut way: Way, copies: &mut u64) -> &mut Vec<Entry<UK, UV>> {
        let mut node = self;
        loop {
            match node {
                Node::Piece(entries) => return entries,
                Node::Branch(children) => node = own(children.get_mut(way.turn()).expect("a branch has sixteen"), copies),
            }
        }
    }

    /// The same, and the piece is not full: where it is, it becomes a branch.
    fn piece_with_room(&mut self, mut way: Way, copies: &mut u64) -> &mut Vec<Entry<UK, UV>> {
        let mut node = self;
        loop {
            if let Node::Piece(entries) = node
                && entries.len() >= PIECE
                && way.depth < DEPTH_MAX
            {
                *node = Node::branch(std::mem::take(entries), way.depth);
            }
            match node {
                Node::Piece(entries) => return entries,
                Node::Branch(children) => node = own(children.get_mut(way.turn()).expect("a branch has sixteen"), copies),
            }
        }
    }

    /// A branch with these entries, whose hashes are the same down to this depth.
    fn branch(entries: Vec<Entry<UK, UV>>, depth: u32) -> Self {
        let mut rest = entries.into_iter().peekable();
        let of = |hash: u64| (hash << (depth * BITS)) >> (u64::BITS - BITS);
        let child = |at| Arc::new(Node::Piece(std::iter::from_fn(|| rest.next_if(|entry| of(entry.hash) == at)).collect()));
        Node::Branch((0..CHILDREN).map(child).collect())
    }

    /// Makes branches on the way pieces again that have become so small that they would not become branches soon.
    fn gather(&mut self, mut way: Way, copies: &mut u64) {
        let Node::Branch(children) = self else { return };
        if let Some(child) = children.get_mut(way.turn())
            && let Node::Branch(_) = **child
        {
            own(child, copies).gather(way, copies);
        }
        self.gather_here();
    }

    fn gather_here(&mut self) {
        let Node::Branch(children) = self else { return };
        let sizes = children.iter().map(|child| match &**child {
            Node::Piece(entries) => entries.len(),
            Node::Branch(_) => PIECE,
        });
        if sizes.sum::<usize>() <= PIECE / 4 {
            let all = std::mem::take(children).into_iter().flat_map(|child| match Arc::unwrap_or_clone(child) {
                Node::Piece(entries) => entries,
                Node::Branch(_) => Vec::new(),
            });
            *self = Node::Piece(all.collect());
        }
    }

    /// Returns how many were not kept.
    fn retain(&mut self, keep: &mut impl FnMut(&UK, &UV) -> bool, copies: &mut u64) -> usize {
        let removed = match self {
            Node::Piece(entries) => {
                let before = entries.len();
                entries.retain(|entry| keep(&entry.key, &entry.value));
                shrink(entries);
                before - entries.len()
            }
            Node::Branch(children) => children.iter_mut().map(|child| Node::retain_shared(child, keep, copies)).sum(),
        };
        self.gather_here();
        removed
    }

    /// The same for a child, which is copied only if something goes.
    fn retain_shared(child: &mut Arc<Self>, keep: &mut impl FnMut(&UK, &UV) -> bool, copies: &mut u64) -> usize {
        let Node::Piece(entries) = &**child else { return own(child, copies).retain(keep, copies) };
        let Some(first) = entries.iter().position(|entry| !keep(&entry.key, &entry.value)) else { return 0 };
        let mut at = 0;
        let mut rest = |key: &UK, value: &UV| {
            at += 1;
            at <= first || (at > first + 1 && keep(key, value))
        };
        own(child, copies).retain_piece(&mut rest)
    }

    fn retain_piece(&mut self, keep: &mut dyn FnMut(&UK, &UV) -> bool) -> usize {
        let Node::Piece(entries) = self else { return 0 };
        let before = entries.len();
        entries.retain(|entry| keep(&entry.key, &entry.value));
        shrink(entries);
        before - entries.len()
    }

    fn replace(&mut self, change: &impl Fn(&UV) -> Option<UV>, copies: &mut u64) {
        match self {
            Node::Piece(entries) => {
                for entry in entries {
                    if let Some(new) = change(&entry.value) {
                        entry.value = new;
                    }
                }
            }
            Node::Branch(children) => children.iter_mut().for_each(|child| own(child, copies).replace(change, copies)),
        }
    }
}

impl<UK: Serialize, UV: Serialize> Serialize for Pieces<UK, UV> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<UK: fmt::Debug, UV: fmt::Debug> fmt::Debug for Pieces<UK, UV> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The entries of a map, in the order of their hashes.
pub(crate) struct Iter<'a, UK, UV> {
    left: usize,
    /// The way to the piece: the children after it of each branch.
    ways: Vec<slice::Iter<'a, Arc<Node<UK, UV>>>>,
    piece: slice::Iter<'a, Entry<UK, UV>>,
}

impl<'a, UK, UV> Iter<'a, UK, UV> {
    fn enter(&mut self, node: &'a Node<UK, UV>) {
        match node {
            Node::Piece(entries) => self.piece = entries.iter(),
            Node::Branch(children) => self.ways.push(children.iter()),
        }
    }
}

impl<'a, UK, UV> Iterator for Iter<'a, UK, UV> {
    type Item = &'a Entry<UK, UV>;

    fn next(&mut self) -> Option<&'a Entry<UK, UV>> {
        loop {
            if let Some(entry) = self.piece.next() {
                self.left -= 1;
                return Some(entry);
            }
            match self.ways.last_mut()?.next() {
                Some(child) => self.enter(child),
                None => drop(self.ways.pop()),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// A map as it is read: its entries, in the order in which they come.
pub(super) struct Pairs<UK, UV>(pub(super) Vec<(UK, UV)>);

/// Room for entries that is given ahead at most; what comes beyond shows that it is there.
const PAIRS_AHEAD: usize = 4096;

impl<'de, UK: Deserialize<'de>, UV: Deserialize<'de>> Deserialize<'de> for Pairs<UK, UV> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading<UK, UV>(PhantomData<(UK, UV)>);

        impl<'de, UK: Deserialize<'de>, UV: Deserialize<'de>> Visitor<'de> for Reading<UK, UV> {
            type Value = Pairs<UK, UV>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(0).min(PAIRS_AHEAD));
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Reading(PhantomData))
    }
}
