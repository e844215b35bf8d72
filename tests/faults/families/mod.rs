//! The scenarios, by what is hurt.

pub(crate) mod kafka;
pub(crate) mod mongo;
pub(crate) mod service;
