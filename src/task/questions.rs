//! The questions that have come to a task and are not answered.
//!
//! Always: in a step, answering takes a share that leaves most of it to records, and at least one question is answered; so a flood of
//! questions slows records down and does not stop them, and the other way round. Those that are left when the task goes are dropped,
//! and their askers hear it.

use std::collections::VecDeque;

use super::head::Head;
use crate::config::ANSWERING;
use crate::operator::{Cx, Halt, Question, Signal};
use crate::time::{Clock, Moment};

/// Questions, the oldest first. There are as many at most as may be under way.
#[derive(Debug, Default)]
pub(super) struct Questions(VecDeque<Question>);

impl Questions {
    pub(super) fn add(&mut self, question: Question) {
        self.0.push_back(question);
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Has the oldest ones answered, in the step that began then.
    #[inline]
    pub(super) fn answer(&mut self, began: Moment, clock: &dyn Clock, head: &mut dyn Head, cx: &mut Cx) -> Result<(), Halt> {
        if self.is_empty() { Ok(()) } else { self.answer_some(began, clock, head, cx) }
    }

    #[cold]
    #[inline(never)]
    fn answer_some(&mut self, began: Moment, clock: &dyn Clock, head: &mut dyn Head, cx: &mut Cx) -> Result<(), Halt> {
        while let Some(question) = self.0.pop_front() {
            let signal = Signal::Ask(question.operator);
            cx.question = Some(question);
            let _unaffected = head.signal(signal, cx)?;
            if let Some(question) = cx.question.take() {
                question.refuse(
                    "it has no state by key that is open: windows cannot be asked, nor can an operator that had ended before the \
                     checkpoint from which it was restored",
                );
            }
            if clock.now().since(began) >= ANSWERING {
                break;
            }
        }
        Ok(())
    }
}
