//! SQLite's errors, sorted into the ports' kinds.

use rusqlite::{Error, ErrorCode, ffi};

use crate::domain::ports::{PortError, PortErrorKind};

pub(super) fn port_error(doing: &'static str, error: Error) -> PortError {
    PortError::new(kind(&error), format!("{doing} failed")).caused_by(error)
}

fn kind(error: &Error) -> PortErrorKind {
    match error {
        // A value that is not of the kind its column holds: nobody wrote it through this engine.
        Error::FromSqlConversionFailure(..) | Error::IntegralValueOutOfRange(..) | Error::InvalidColumnType(..) => {
            return PortErrorKind::Corrupt;
        }
        _ => {}
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => PortErrorKind::Corrupt,
        Some(ErrorCode::TooBig) => PortErrorKind::Rejected,
        Some(ErrorCode::OperationInterrupted) => PortErrorKind::TooSlow,
        _ => PortErrorKind::Unavailable,
    }
}

/// Whether a failed COMMIT is known to have left nothing behind: a frame could not be written whole, and the last one,
/// which makes a commit of them, comes last. When it is the sync that failed, nothing is known.
pub(super) fn left_nothing(error: &Error) -> bool {
    let code = error.sqlite_error();
    matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::ReadOnly))
        || code.is_some_and(|code| code.extended_code == ffi::SQLITE_IOERR_WRITE)
}
