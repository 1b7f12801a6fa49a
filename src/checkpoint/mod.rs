//! The checkpoint coordinator's decisions.
mod notify;
pub(crate) use notify::Notifications;
