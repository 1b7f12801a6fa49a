//! A number as three builds of a program keep it, each in a version of its own.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};
use tidegate::{Aggregate, BoxError, Stored, Versions};

/// A number, as one of the builds keeps it.
pub trait Kept: Stored {
    /// The versions up to this one.
    fn versions() -> Versions<Self>;
    fn of(n: u64) -> Self;
    fn number(&self) -> u64;
}

pub type First = u64;
pub type Second = String;

/// The last version, and whether it was made of an older one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Third {
    pub number: u64,
    pub made_of: Option<String>,
}

impl Kept for First {
    fn versions() -> Versions<First> {
        Versions::first()
    }

    fn of(n: u64) -> First {
        n
    }

    fn number(&self) -> u64 {
        *self
    }
}

impl Kept for Second {
    fn versions() -> Versions<Second> {
        First::versions().then(|number| number.to_string())
    }

    fn of(n: u64) -> Second {
        n.to_string()
    }

    fn number(&self) -> u64 {
        self.parse().unwrap()
    }
}

impl Kept for Third {
    fn versions() -> Versions<Third> {
        let third = |text: String| Ok::<_, BoxError>(Third { number: text.parse()?, made_of: Some(text) });
        Second::versions().try_then(third)
    }

    fn of(number: u64) -> Third {
        Third { number, made_of: None }
    }

    fn number(&self) -> u64 {
        self.number
    }
}

/// The latest number.
pub struct Latest<E>(PhantomData<fn(E)>);

impl<E> Latest<E> {
    pub fn new() -> Self {
        Latest(PhantomData)
    }
}

impl<E: Kept> Aggregate for Latest<E> {
    type In = u64;
    type Acc = E;
    type Out = u64;

    fn create(&self) -> E {
        E::of(0)
    }

    fn add(&self, latest: &mut E, n: u64) {
        *latest = E::of(n);
    }

    fn merge(&self, latest: &mut E, other: E) {
        *latest = other;
    }

    fn result(&self, latest: &E) -> u64 {
        latest.number()
    }
}
