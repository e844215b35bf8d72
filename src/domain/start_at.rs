//! Where to begin in a topic that the group has never committed to.

use super::Timestamp;

/// The operator's answer to "which of the retained records has the old service stored already?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    Earliest,
    Latest,
    /// The first record whose time is this or later.
    Time(Timestamp),
}
