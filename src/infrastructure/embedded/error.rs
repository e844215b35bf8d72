//! SQLite's errors, sorted into the ports' kinds.

use rusqlite::{Error, ErrorCode};

use crate::domain::ports::{PortError, PortErrorKind};

pub(super) fn port_error(doing: &'static str, error: Error) -> PortError {
    PortError::new(kind(&error), format!("{doing} failed")).caused_by(error)
}

fn kind(error: &Error) -> PortErrorKind {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => PortErrorKind::Corrupt,
        Some(ErrorCode::TooBig) => PortErrorKind::Rejected,
        _ => PortErrorKind::Unavailable,
    }
}

/// Whether a failed COMMIT is known to have left nothing behind: the disk was full before its last frame was written.
pub(super) fn left_nothing(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::ReadOnly))
}
