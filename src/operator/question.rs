//! A question from outside on its way to an operator, and an operator as a question finds it.
//!
//! Always: a question is answered, refused or dropped, and whoever asks hears of each. It is put between two calls of the operator's
//! link, on the task's thread.

use std::any::Any;
use std::fmt;

use super::link::OpId;
use crate::state::OpenState;

/// An operator instance, as a question finds it.
pub(crate) trait Asked {
    /// Its keyed states.
    fn states(&self) -> Vec<OpenState<'_>>;

    /// What it is, for people: the name of its type.
    fn kind(&self) -> &'static str;

    /// Itself, for a question that knows its type.
    fn as_any(&self) -> &dyn Any;
}

/// What is asked, and the way back to whoever asks.
pub(crate) trait Ask: Send {
    /// The callback on which a panic is blamed.
    fn callback(&self) -> &'static str;

    /// Finds the answer and sends it.
    fn put(self: Box<Self>, asked: &dyn Asked);

    /// Says why there is no answer.
    fn refuse(self: Box<Self>, reason: String);
}

/// A question to an operator of a task.
pub(crate) struct Question {
    pub(crate) operator: OpId,
    ask: Box<dyn Ask>,
}

impl Question {
    /// To the operator with this place in its task.
    pub(crate) fn new(operator: OpId, ask: impl Ask + 'static) -> Self {
        Question { operator, ask: Box::new(ask) }
    }

    /// The callback on which a panic is blamed.
    pub(crate) fn callback(&self) -> &'static str {
        self.ask.callback()
    }

    /// Has it answered.
    pub(crate) fn put(self, asked: &dyn Asked) {
        self.ask.put(asked);
    }

    /// Says why there is no answer: a sentence without its subject, the operator.
    pub(crate) fn refuse(self, reason: impl Into<String>) {
        self.ask.refuse(reason.into());
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("operator", &self.operator).finish_non_exhaustive()
    }
}
