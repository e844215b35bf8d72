//! The clock, so that time is a parameter.

use crate::domain::Timestamp;

/// The wall clock. It may jump; nothing that must be unique or ordered rests on it alone.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}
