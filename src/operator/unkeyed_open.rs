//! What the factories of operators with state beside that of keys are handed.
//!
//! Always: a name is one state of the operator, of one kind, keyed or not. Made when a task is opened, on a thread that may block.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::open::{Instance, OpenContext};
use super::side::{Side, SideOutput, Sides};
use crate::error::{BoxError, Result};
use crate::ids::Attempt;
use crate::key::Key;
use crate::state::{BroadcastState, OperatorList, OperatorState, StateKind, Stored, UnkeyedStates, Versions};

/// What the factory of an [`Operator`](crate::Operator) is handed: it registers the operator's lists, and opens its side outputs.
///
/// What was registered in an earlier run and is not now stays in the checkpoints.
pub struct OperatorOpenContext<'a> {
    states: &'a mut UnkeyedStates,
    sides: &'a mut Sides,
    instance: Instance,
}

impl<'a> OperatorOpenContext<'a> {
    /// For one instance.
    pub(crate) fn new(states: &'a mut UnkeyedStates, sides: &'a mut Sides, instance: Instance) -> Self {
        OperatorOpenContext { states, sides, instance }
    }

    /// Registers the list `name` of items of type `T`, and reads what the last checkpoint kept of it. The same name with the same type
    /// is the same list.
    ///
    /// Each instance has its own items, and gets them back. When the parallelism changes, the items of all instances are pooled in
    /// order and dealt out in contiguous shares, whose sizes differ by one at most: each item reaches exactly one instance.
    ///
    /// # Errors
    /// [`Error::StateMismatch`](crate::Error::StateMismatch) where the name is in use for another kind or type, or what was stored
    /// cannot be read as this one.
    pub fn list_state<T: Stored>(&mut self, name: &str) -> Result<OperatorList<T>> {
        self.states.list(name, StateKind::List, None)
    }

    /// Registers the list `name`, whose items were of other types in earlier versions, and makes those that the last checkpoint kept of
    /// the earlier ones, one by one. See [`Versions`].
    ///
    /// # Errors
    /// Those of [`list_state`](OperatorOpenContext::list_state), and where what was stored is in a version that is not known, or cannot
    /// be made into the newest.
    pub fn list_state_versioned<T: Stored>(&mut self, name: &str, versions: Versions<T>) -> Result<OperatorList<T>> {
        self.states.list(name, StateKind::List, Some(&versions))
    }

    /// Registers the union list `name` of items of type `T`, and reads what the last checkpoint kept of it. The same name with the
    /// same type is the same list.
    ///
    /// After every restart, also with the parallelism that it had, each instance gets the items of **all** instances, in their order.
    /// It must drop at once those that are not its own, or there are as many times more of them after each restart as there are
    /// instances. An instance that has ended is not opened again and keeps its own items, though the others see them: so an item
    /// should name the instance that has added it.
    ///
    /// ```
    /// use tidegate::{BoxError, Operator, OperatorContext, OperatorList, OperatorOpenContext, Stream};
    ///
    /// /// What each instance has counted: its index, and how much.
    /// struct Counter {
    ///     counted: OperatorList<(u32, u64)>,
    /// }
    /// # impl Operator for Counter {
    /// #     type In = u64;
    /// #     type Out = u64;
    /// #     fn on_record(&mut self, _: u64, _: &mut OperatorContext<'_, Self>) -> Result<(), BoxError> { Ok(()) }
    /// # }
    ///
    /// fn counter(sales: &Stream<u64>) -> Stream<u64> {
    ///     sales.process("counter", |ctx: &mut OperatorOpenContext<'_>| {
    ///         let counted = ctx.union_list_state("counted")?;
    ///         let (index, parallelism) = (ctx.index(), ctx.parallelism());
    ///         // With the same parallelism its own, with another one a share.
    ///         ctx.state().list_mut(counted).retain(|(owner, _): &(u32, u64)| owner % parallelism == index);
    ///         Ok(Counter { counted })
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of [`list_state`](OperatorOpenContext::list_state).
    pub fn union_list_state<T: Stored>(&mut self, name: &str) -> Result<OperatorList<T>> {
        self.states.list(name, StateKind::UnionList, None)
    }

    /// Registers the union list `name`, whose items were of other types in earlier versions, and makes those that the last checkpoint
    /// kept of the earlier ones, one by one. See [`Versions`].
    ///
    /// # Errors
    /// Those of [`list_state_versioned`](OperatorOpenContext::list_state_versioned).
    pub fn union_list_state_versioned<T: Stored>(&mut self, name: &str, versions: Versions<T>) -> Result<OperatorList<T>> {
        self.states.list(name, StateKind::UnionList, Some(&versions))
    }

    /// The lists that were registered, with what the last checkpoint kept of them.
    pub fn state(&mut self) -> OperatorState<'_> {
        OperatorState::new(self.states)
    }

    /// The right to emit to a side output.
    ///
    /// # Errors
    /// Where nothing consumes it.
    pub fn side<T: Send + 'static>(&mut self, output: &SideOutput<T>) -> Result<Side<T>, BoxError> {
        self.sides.open(output)
    }

    /// Whether the operator goes on from a checkpoint; else it begins.
    pub fn is_restored(&self) -> bool {
        self.instance.restored
    }

    /// Which attempt of the job this is.
    pub fn attempt(&self) -> Attempt {
        self.instance.attempt
    }

    /// Which of the operator's instances this is, counted from 0.
    pub fn index(&self) -> u32 {
        self.instance.index
    }

    /// How many instances of the operator run side by side.
    pub fn parallelism(&self) -> u32 {
        self.instance.parallelism
    }
}

impl fmt::Debug for OperatorOpenContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorOpenContext")
            .field("instance", &self.instance)
            .field("states", &self.states)
            .finish_non_exhaustive()
    }
}

/// What the factory of a [`BroadcastOperator`](crate::BroadcastOperator) is handed: it registers broadcast states, and by what it
/// shares with [`OpenContext`] the states of keys; and it opens side outputs.
///
/// It sees no key, and no entry of a broadcast state either, which nobody may change alone.
pub struct BroadcastOpenContext<'a, K: 'static> {
    keyed: OpenContext<'a, K>,
    states: &'a mut UnkeyedStates,
}

impl<'a, K: Key> BroadcastOpenContext<'a, K> {
    /// For one instance.
    pub(crate) fn new(keyed: OpenContext<'a, K>, states: &'a mut UnkeyedStates) -> Self {
        BroadcastOpenContext { keyed, states }
    }

    /// Registers the broadcast state `name`, a map from `UK` to `UV`, and reads what the last checkpoint kept of it. The same name
    /// with the same types is the same state.
    ///
    /// Every instance writes its copy into each checkpoint and gets one back. All are the same, so that it does not matter which one:
    /// when the parallelism grows, new instances get the copy of an old one.
    ///
    /// # Errors
    /// [`Error::StateMismatch`](crate::Error::StateMismatch) where the name is in use for another kind or type, or what was stored
    /// cannot be read as this one.
    pub fn broadcast_state<UK: Ord + Stored, UV: Stored>(&mut self, name: &str) -> Result<BroadcastState<UK, UV>> {
        self.keyed.refuse_registered(name)?;
        self.states.broadcast(name, None)
    }

    /// Registers the broadcast state `name`, whose values were of other types in earlier versions, and makes those that the last
    /// checkpoint kept of the earlier ones, one by one. See [`Versions`]. Its keys are of the same type in all versions.
    ///
    /// # Errors
    /// Those of [`broadcast_state`](BroadcastOpenContext::broadcast_state), and where what was stored is in a version that is not known,
    /// or cannot be made into the newest.
    pub fn broadcast_state_versioned<UK: Ord + Stored, UV: Stored>(
        &mut self,
        name: &str,
        versions: Versions<UV>,
    ) -> Result<BroadcastState<UK, UV>> {
        self.keyed.refuse_registered(name)?;
        self.states.broadcast(name, Some(&versions))
    }

    /// Checks that no name is both the state of keys and a broadcast state.
    ///
    /// # Errors
    /// [`Error::StateMismatch`](crate::Error::StateMismatch) where one is.
    pub(crate) fn check(&self) -> Result<()> {
        self.keyed.registered().try_for_each(|name| self.states.refuse_keyed(name))
    }
}

impl<'a, K: 'static> Deref for BroadcastOpenContext<'a, K> {
    type Target = OpenContext<'a, K>;

    fn deref(&self) -> &OpenContext<'a, K> {
        &self.keyed
    }
}

impl<'a, K: 'static> DerefMut for BroadcastOpenContext<'a, K> {
    fn deref_mut(&mut self) -> &mut OpenContext<'a, K> {
        &mut self.keyed
    }
}

impl<K: 'static> fmt::Debug for BroadcastOpenContext<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastOpenContext").field("keyed", &self.keyed).field("states", &self.states).finish()
    }
}
