//! The scenarios, by what is hurt.

pub(crate) mod batches;
pub(crate) mod data;
pub(crate) mod deletes;
pub(crate) mod embedded;
pub(crate) mod kafka;
pub(crate) mod mongo;
mod oddities;
pub(crate) mod service;
