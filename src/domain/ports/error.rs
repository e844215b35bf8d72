//! The one error of all ports, sorted by what the caller should do.

use std::{error::Error, fmt};

/// What the caller should do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortErrorKind {
    /// Not now: the same call may succeed later. Whether a write took effect is unknown unless the method says.
    Unavailable,
    /// It took longer than it may: ask for less.
    TooSlow,
    /// Not like this: the same call will fail again.
    Rejected,
    /// What is stored makes no sense. Somebody has to look.
    Corrupt,
    /// Not any more: this end has been shut down.
    Closed,
}

/// An adapter's failure. Its text and source are for the log; they never reach a client.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct PortError {
    kind: PortErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl PortError {
    pub fn new(kind: PortErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(PortErrorKind::Unavailable, message)
    }

    pub fn too_slow(message: impl Into<String>) -> Self {
        Self::new(PortErrorKind::TooSlow, message)
    }

    pub fn rejected(message: impl Into<String>) -> Self {
        Self::new(PortErrorKind::Rejected, message)
    }

    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(PortErrorKind::Corrupt, message)
    }

    pub fn closed(message: impl Into<String>) -> Self {
        Self::new(PortErrorKind::Closed, message)
    }

    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same failure told to another caller; the cause stays with the one that is logged.
    pub fn retold(&self) -> Self {
        Self::new(self.kind, self.message.clone())
    }

    pub fn kind(&self) -> PortErrorKind {
        self.kind
    }
}

/// Prints an error with all that caused it, for the one line that logs it.
#[derive(Debug)]
pub struct ErrorChain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_every_cause() {
        let inner = PortError::closed("inner").caused_by(std::io::Error::other("root"));
        let outer = PortError::unavailable("outer").caused_by(inner);
        assert_eq!(ErrorChain(&outer).to_string(), "outer: inner: root");
    }
}
