//! How a part of the service says whether it works.

/// The state of a part, as last seen by whoever watches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    Up,
    /// With a reason that an operator understands and a client may see: no driver text, no secret.
    Down(String),
}

impl Status {
    pub fn is_up(&self) -> bool {
        *self == Self::Up
    }
}

/// Reads cached state: no I/O, no side effect, never waits.
pub trait Probe: Send + Sync {
    fn status(&self) -> Status;
}
