//! The stream that a source gives, and the options of the source.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use super::stream::{Record, Stream};
use super::wire::{FlowRef, plain_port, side_of};

use crate::error::BoxError;
use crate::operator::SideOutput;
use crate::plan::{Node, NodeKind, Opening};
use crate::source::{Rejected, Source, SplitClock, Watermarks};
use crate::state::{ListView, StateView, read_list};
use crate::task::{Head, Rate, RejectPolicy, SPLITS_STATE, Sourced, SourcedParts, Split, SplitState};

/// What becomes of records that the source cannot decode.
#[derive(Clone, Debug)]
enum OnReject {
    Fail,
    Skip,
    Side(SideOutput<Rejected>),
}

/// The options of a source.
struct Options<T> {
    watermarks: Option<Watermarks<T>>,
    rate: Option<Rate>,
    on_reject: OnReject,
}

/// The stream of a source's records; a [`Stream`] with options for the source itself.
pub struct SourceStream<T> {
    stream: Stream<T>,
    options: Arc<Mutex<Options<T>>>,
}

impl<T> Clone for SourceStream<T> {
    fn clone(&self) -> Self {
        SourceStream { stream: self.stream.clone(), options: self.options.clone() }
    }
}

impl<T> fmt::Debug for SourceStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}

impl<T> Deref for SourceStream<T> {
    type Target = Stream<T>;

    fn deref(&self) -> &Stream<T> {
        &self.stream
    }
}

impl<T: Record> SourceStream<T> {
    /// Adds a source to the flow.
    pub(crate) fn add<S: Source<Item = T>>(flow: &FlowRef, name: &str, source: S) -> Self {
        let options = Arc::new(Mutex::new(Options { watermarks: None, rate: None, on_reject: OnReject::Fail }));
        let source = Arc::new(source);
        let (at_discovery, at_opening) = (source.clone(), options.clone());
        let kind = NodeKind::Source {
            make: Box::new(move |opening| open_source(&source, &at_opening, opening)),
            discover: Box::new(move || first_state(&*at_discovery)),
        };
        let node = Node {
            verb: "source",
            name: Some(name.to_owned()),
            uid: None,
            parallelism: None,
            stateful: true,
            kind,
            inputs: Vec::new(),
            ports: vec![plain_port::<T>()],
        };
        let node = flow.lock().add(node);
        SourceStream { stream: Stream::new(flow.clone(), node, 0), options }
    }

    fn change(&self, change: impl FnOnce(&mut Options<T>)) -> Self {
        change(&mut self.options.lock().unwrap_or_else(PoisonError::into_inner));
        self.clone()
    }

    /// Gives the records event time: where their timestamps are, and when watermarks go out.
    pub fn watermarks(&self, watermarks: Watermarks<T>) -> Self {
        self.change(|options| options.watermarks = Some(watermarks))
    }

    /// Reads at most this many records a second, over all instances of the source: those that have something to read share it evenly.
    ///
    /// A rate that is zero, negative, infinite or no number is refused when the flow is planned.
    pub fn max_rate(&self, records_per_second: f64) -> Self {
        if !(records_per_second.is_finite() && records_per_second > 0.0) {
            let problem = format!("a source is to read at most {records_per_second} records a second");
            self.stream.flow.fault(problem, "use a rate above zero, or none");
        }
        self.change(|options| options.rate = Some(Rate::new(records_per_second)))
    }

    /// Drops records that cannot be decoded, and counts them. Otherwise such a record fails the region.
    pub fn skip_rejected(&self) -> Self {
        self.change(|options| options.on_reject = OnReject::Skip)
    }

    /// Sends records that cannot be decoded to a side output. Otherwise such a record fails the region.
    pub fn rejected_to(&self, side: &SideOutput<Rejected>) -> Self {
        side_of::<Rejected>(&self.stream.flow, self.stream.node, side.name());
        self.change(|options| options.on_reject = OnReject::Side(side.clone()))
    }

    /// Gives the source a uid other than its name.
    pub fn uid(&self, uid: &str) -> Self {
        self.stream.uid(uid);
        self.clone()
    }

    /// Sets how many instances of the source run side by side; the splits are dealt to them.
    pub fn parallelism(&self, parallelism: u32) -> Self {
        self.stream.parallelism(parallelism);
        self.clone()
    }
}

/// The state of a source that has read nothing.
fn first_state<S: Source>(source: &S) -> Result<(crate::state::StateDescriptor, Vec<crate::state::Block>), BoxError> {
    let first =
        |(split, position)| SplitState { split, position, clock: SplitClock::START, records: 0, ended: false, rejected: 0 };
    let view = ListView::new(SPLITS_STATE, source.splits()?.into_iter().map(first).collect::<Vec<_>>());
    let mut blocks = Vec::new();
    view.write(&mut |block| {
        blocks.push(block.clone());
        Ok(())
    })?;
    Ok((view.descriptor().clone(), blocks))
}

fn open_source<S: Source>(
    source: &Arc<S>,
    options: &Mutex<Options<S::Item>>,
    mut opening: Opening,
) -> Result<Box<dyn Head>, BoxError> {
    let options = options.lock().unwrap_or_else(PoisonError::into_inner);
    let states: Vec<SplitState<S::Position>> = read_list(SPLITS_STATE, opening.restored.states.take(SPLITS_STATE))?;
    let mut splits: Vec<Split<S>> = Vec::new();
    for state in states {
        source.on_checkpoint_complete(&state.split, &state.position)?;
        let reader = if state.ended { None } else { Some(source.open(&state.split, state.position.clone())?) };
        splits.push(Split { state, reader });
    }
    let reject = match &options.on_reject {
        OnReject::Fail => RejectPolicy::Fail,
        OnReject::Skip => RejectPolicy::Skip,
        OnReject::Side(side) => RejectPolicy::Side(opening.sides.open(side)?),
    };
    let chain = opening.take_next()?;
    Ok(Box::new(Sourced::new(SourcedParts {
        source: Arc::downgrade(source),
        operator: opening.operator,
        uid: opening.uid,
        splits,
        watermarks: options.watermarks.clone(),
        rate: options.rate.clone(),
        reject,
        records: opening.metrics.records,
        rejected: opening.metrics.skipped,
        floor: opening.restored.watermark,
        chain,
        sides: opening.sides,
    })))
}
