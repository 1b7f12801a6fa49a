//! What the factory of a keyed operator is handed.
//!
//! Always: a state is registered once, by a name of its own, and the factory sees no key, so it can touch no value. Made when a task
//! is opened, on a thread that may block.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::side::{Side, SideOutput, Sides};
use crate::error::{BoxError, Error, Result};
use crate::ids::Attempt;
use crate::key::Key;
use crate::state::{KeyedState, ValueState};

/// Which instance of an operator it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instance {
    pub(crate) attempt: Attempt,
    pub(crate) index: u32,
    pub(crate) parallelism: u32,
    /// Whether a checkpoint knows the operator.
    pub(crate) restored: bool,
}

/// What the factory of a keyed operator is handed: it registers the operator's states, and opens its side outputs.
///
/// What was registered in an earlier run and is not now stays in the checkpoints.
pub struct OpenContext<'a, K> {
    states: &'a mut KeyedState<K>,
    sides: &'a mut Sides,
    instance: Instance,
    registered: Vec<String>,
}

impl<'a, K: Key> OpenContext<'a, K> {
    /// For one instance.
    pub(crate) fn new(states: &'a mut KeyedState<K>, sides: &'a mut Sides, instance: Instance) -> Self {
        OpenContext { states, sides, instance, registered: Vec::new() }
    }

    /// Registers the state `name`, a value of type `V` for each key, and reads what the last checkpoint kept of it.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] where the name is in use, or what was stored cannot be read as this one.
    pub fn value<V>(&mut self, name: &str) -> Result<ValueState<V>>
    where
        V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
    {
        self.refuse_registered(name)?;
        let state = self.states.value(name)?;
        self.registered.push(name.to_owned());
        Ok(state)
    }

    /// Refuses to register a state under a name that is in use.
    pub(super) fn refuse_registered(&self, name: &str) -> Result<()> {
        if !self.registered.iter().any(|registered| registered == name) {
            return Ok(());
        }
        Err(Error::StateMismatch {
            problem: format!("the operator registers the state '{name}' twice"),
            advice: "give each of its states its own name, or copy the handle".into(),
        })
    }

    /// The names of the states that were registered.
    pub(super) fn registered(&self) -> &[String] {
        &self.registered
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

impl<K> fmt::Debug for OpenContext<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenContext")
            .field("instance", &self.instance)
            .field("registered", &self.registered)
            .finish_non_exhaustive()
    }
}
