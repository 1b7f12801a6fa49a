//! The fluent API: it wires operators together and does nothing else.
//!
//! Streams are handles on a flow that is being described; cloning one makes a second consumer. Nothing runs and nothing is refused
//! before the job is planned or started.

mod connected;
mod input;
mod job;
mod keyed;
mod on_error;
#[cfg(test)]
mod process_script;
#[cfg(test)]
mod process_tests;
mod restore;
mod short;
mod sources;
mod stream;
mod unkeyed;
mod windowed;
mod wire;

pub use connected::ConnectedStream;
pub use job::{Job, Store};
pub use keyed::KeyedStream;
pub use on_error::OnError;
pub use restore::Restore;
pub use sources::SourceStream;
pub use stream::{Record, SinkRef, Stream};
pub use windowed::WindowedStream;
#[cfg(feature = "testing")]
pub(crate) use wire::{FlowRef, plain_port};
