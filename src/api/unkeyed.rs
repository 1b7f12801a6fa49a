//! A user's operator on a stream without keys.

use super::keyed::instance;
use super::stream::{Record, Stream, stepwise};
use super::wire::plain_port;
use crate::chain::{Ended, Operate};
use crate::error::BoxError;
use crate::operator::{Operator, OperatorOpenContext};
use crate::plan::{Opening, Routing};
use crate::state::UnkeyedStates;

impl<T: Record> Stream<T> {
    /// Runs an operator of the user's: see [`Operator`], which has an example.
    ///
    /// `name` is the operator's uid as well, unless one is given. The factory is called for each task and attempt; it registers the
    /// operator's lists and opens its side outputs. It is not called for an instance that had ended before its last checkpoint.
    pub fn process<O>(
        &self,
        name: &str,
        factory: impl Fn(&mut OperatorOpenContext<'_>) -> Result<O, BoxError> + Send + Sync + 'static,
    ) -> Stream<O::Out>
    where
        O: Operator<In = T>,
        O::Out: Record,
    {
        let inputs = vec![self.input(Routing::Forward)];
        let node = self.flow.operator("process", true, inputs, plain_port::<O::Out>(), move |mut opening| {
            let next = opening.take_next()?;
            if opening.restored.ended {
                let states = std::mem::take(&mut opening.restored.states);
                return Ok(stepwise(Ended::<T, O::Out>::new(opening.uid.clone(), states), true, next, opening));
            }
            let operate = open_operate(&mut opening, &factory)?;
            Ok(stepwise(operate, false, next, opening))
        });
        if let Some(node) = self.flow.lock().node_mut(node) {
            node.name = Some(name.to_owned());
        }
        Stream::new(self.flow.clone(), node, 0)
    }
}

fn open_operate<O: Operator>(
    opening: &mut Opening,
    factory: impl Fn(&mut OperatorOpenContext<'_>) -> Result<O, BoxError>,
) -> Result<Operate<O>, BoxError> {
    let instance = instance(opening);
    let mut states = UnkeyedStates::new(std::mem::take(&mut opening.restored.states));
    let operator = factory(&mut OperatorOpenContext::new(&mut states, &mut opening.sides, instance))?;
    Ok(Operate::new((opening.operator, opening.uid.clone()), operator, states, opening.restored.watermark))
}
