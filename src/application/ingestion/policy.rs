//! What the worker does about every failure and outcome: one table, exhaustive on purpose.

use crate::domain::{
    Fate,
    ports::{AppendOutcome, PortErrorKind},
};

/// What the worker was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Read,
    Reserve,
    Append,
    RaiseCounter,
    DeadLetter,
    OpenLedger,
    Settle,
    Commit,
}

impl Stage {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Reserve => "reserve",
            Self::Append => "append",
            Self::RaiseCounter => "raise_counter",
            Self::DeadLetter => "dead_letter",
            Self::OpenLedger => "open_ledger",
            Self::Settle => "settle",
            Self::Commit => "commit",
        }
    }

    /// For an operator who asks why the worker does not work.
    pub(super) fn hindrance(self) -> &'static str {
        match self {
            Self::Read => "cannot read what is queued; it is tried again",
            Self::Reserve => "cannot reserve ids; it is tried again",
            Self::Append => "cannot store logs; it is tried again",
            Self::RaiseCounter => "cannot raise the id counter; it is tried again",
            Self::DeadLetter => "cannot write dead letters; it is tried again",
            Self::OpenLedger => "cannot open the ledger; it is tried again",
            Self::Settle => "cannot count in the ledger; it is tried again",
            Self::Commit => "cannot commit; it is tried again",
        }
    }
}

/// What to do about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnError {
    /// The same call with the same arguments, after a pause, for ever.
    Retry,
    /// Nothing is lost by leaving it: redelivery makes up for it.
    GoOn,
    /// The worker cannot work; the process must end, visibly.
    Stop,
}

/// An infrastructure error never dead-letters: a record is poison only by what it is.
pub(super) fn on_error(stage: Stage, kind: PortErrorKind) -> OnError {
    use PortErrorKind::{Closed, Corrupt, Rejected, TooSlow, Unavailable};
    match (stage, kind) {
        (Stage::Commit, Unavailable | TooSlow | Rejected) => OnError::GoOn,
        // Rejected as a whole (rights, quotas, settings): an operator can mend it while we wait.
        (
            Stage::Read
            | Stage::Reserve
            | Stage::Append
            | Stage::RaiseCounter
            | Stage::DeadLetter
            | Stage::OpenLedger
            | Stage::Settle,
            Unavailable | TooSlow | Rejected,
        ) => OnError::Retry,
        (
            Stage::Read
            | Stage::Reserve
            | Stage::Append
            | Stage::RaiseCounter
            | Stage::DeadLetter
            | Stage::OpenLedger
            | Stage::Settle
            | Stage::Commit,
            Closed | Corrupt,
        ) => OnError::Stop,
    }
}

/// What to do about one event after an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnOutcome {
    /// Done, and counted as this.
    Settled(Fate),
    /// Under a new number: the old one belongs to another log.
    Renumber,
}

pub(super) fn on_outcome(outcome: &AppendOutcome) -> OnOutcome {
    match outcome {
        AppendOutcome::Stored => OnOutcome::Settled(Fate::Stored),
        AppendOutcome::AlreadyStored | AppendOutcome::Deleted => OnOutcome::Settled(Fate::Duplicate),
        AppendOutcome::IdTaken => OnOutcome::Renumber,
        AppendOutcome::Rejected(_) => OnOutcome::Settled(Fate::DeadLettered),
    }
}
