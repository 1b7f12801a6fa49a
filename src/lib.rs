//! Exactly-once stream processing inside a service.
#![forbid(unsafe_code)]
#![deny(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::todo,
    clippy::dbg_macro,
    clippy::print_stdout,
    clippy::print_stderr
)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing))]

// Floor 0: words.
mod config;
mod error;
#[cfg_attr(not(feature = "testing"), allow(dead_code, unreachable_pub, reason = "what the test kit names is public with it"))]
mod hook;
mod ids;
mod metrics;
mod time;
// Floor 1: things.
mod codec;
mod frame;
mod key;
// Floor 2: pipes and stores.
mod channel;
mod state;
mod timer;
// Floor 3: contracts.
mod gate;
mod operator;
mod output;
mod sink;
mod snapshot;
mod source;
// Floor 4: composition and decisions.
mod chain;
mod checkpoint;
mod supervision;
mod window;
// Floor 5: execution.
mod task;
// Floor 6: the plan.
mod plan;
// Floor 7: actors.
mod actor;
mod executor;
// Floor 8: the job.
mod job;
// Floor 9: the front.
mod api;
mod connector;
pub mod stored;
#[cfg(feature = "testing")]
pub mod testing;

pub use api::{
    ConnectedStream, Job, KeyedStream, OnError, Record, Restore, SinkRef, SourceStream, Store, Stream, WindowedStream,
};
pub use chain::{DeadLetter, Summand};
pub use config::{Checkpoints, ExponentialDelay, Failure, Restart, Watchdog};
#[cfg(feature = "files")]
pub use connector::{CsvFile, CsvFiles, FilePosition, LineFile, LineFiles, PartFiles};
pub use connector::{Input, Receipt};
pub use error::{BoxError, Error, Fatal, Result};
pub use frame::Keyed;
pub use ids::{Attempt, CheckpointId, KeyGroup, RegionId, TaskId, Uid};
pub use job::{
    Askable, CheckpointFailure, Events, JobEvent, JobHandle, JobSummary, JobTree, OperatorSummary, PairNode, Probe, Queryable,
    RegionFailure, RegionNode, RegionState, RestoredFrom, Scan, Shutdown, TaskNode, TaskState,
};
pub use key::Key;
pub use metrics::{Counter, TimesSummary};
pub use operator::{
    Aggregate, AllKeys, Answers, AskContext, BroadcastContext, BroadcastOpenContext, BroadcastOperator, Context, Emitter,
    ExpiringStates, FinishContext, KeyedOperator, KeyedSideContext, OpenContext, Operator, OperatorContext, OperatorOpenContext,
    Side, SideEmitter, SideOutput,
};
pub use sink::{Sink, SinkContext, SinkWriter};
pub use snapshot::{Place, Put, Savepoint, StoreBackend, StoreLock, WriteFn};
pub use source::{Bounded, Poll, Records, Rejected, Source, SplitReader, Watermarks};
pub use state::{
    Adding, AggregatingState, AskedState, BroadcastMap, BroadcastReader, BroadcastState, BroadcastWriter, KeyList, KeyMap,
    KeyState, KeyTimers, ListItems, ListIter, ListState, MapState, OperatorList, OperatorState, Readable, ReducingState, Stored,
    Ttl, ValueState, Versions,
};
pub use time::{Clock, Moment, SystemClock, Timestamp, hours, millis, minutes, secs};
pub use timer::{TimeDomain, Timer};
pub use window::{
    Assigner, Count, EventTime, Purging, Sliding, SlidingWindows, Trigger, TriggerContext, TriggerResult, Tumbling, Window,
    Windowed,
};

/// The README's flow is compiled.
#[cfg(all(doctest, feature = "files"))]
#[doc = include_str!("../README.md")]
struct Readme;
