//! An input: records that a service hands to its job, each for a receipt that says when its effect is durable.
//!
//! Always: a record is kept until a complete checkpoint covers it, and read again after a restart inside the process; of the records
//! that no checkpoint covers when the job ends, nobody knows whether they count.

mod handle;
mod kept;
mod receipt;
mod shared;
mod source;

pub use handle::Input;
pub use receipt::Receipt;
pub(crate) use source::input;
