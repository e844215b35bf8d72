//! What a failure of the driver or the server means: for the caller, and for the one document it is about.

use mongodb::error::{ErrorKind, InsertManyError, WriteFailure};

use crate::domain::ports::{AppendOutcome, PortError};

pub(super) const DUPLICATE_KEY: i32 = 11000;
const MAX_TIME_EXPIRED: i32 = 50;
pub(super) const NAMESPACE_NOT_FOUND: i32 = 26;
pub(super) const CANNOT_CREATE_INDEX: i32 = 67;
pub(super) const INDEX_OPTIONS_CONFLICT: i32 = 85;
pub(super) const INDEX_KEY_SPECS_CONFLICT: i32 = 86;

/// Errors of one document that will come again however often it is tried: BadValue, Overflow (nested too deep),
/// InvalidBSON, DollarPrefixedFieldName, EmptyFieldName, DottedFieldName, DocumentValidationFailure,
/// BSONObjectTooLarge, KeyTooLong.
const PERMANENT: [i32; 9] = [2, 15, 22, 52, 56, 57, 121, 10334, 17280];

/// Errors of a whole command that can only be about a document in it. BadValue is not among them: it also says that
/// the server cannot give the durability asked for, and that must never turn logs into dead letters.
const PERMANENT_FOR_A_BATCH: [i32; 3] = [15, 22, 10334];

/// Refused before anything was written: Unauthorized, AuthenticationFailed, NotWritablePrimary,
/// NotPrimaryNoSecondaryOk, CommandNotFound.
const NOTHING_WRITTEN: [i32; 5] = [13, 18, 10107, 13435, 59];

/// Why a call gave no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server is known to be away: nothing was sent.
    Away,
    /// Nobody waits any longer; the call may still take effect.
    GivenUp(&'static str),
    Driver(Box<mongodb::error::Error>),
}

impl From<mongodb::error::Error> for Failure {
    fn from(error: mongodb::error::Error) -> Self {
        Self::Driver(Box::new(error))
    }
}

impl Failure {
    /// `doing` completes "cannot …". Nothing the driver says becomes part of the message: it is the source.
    pub(super) fn while_trying(self, doing: &str) -> PortError {
        match self {
            Self::Away => PortError::unavailable(format!("cannot {doing}: MongoDB is away")),
            Self::GivenUp(why) => PortError::unavailable(format!("cannot {doing}: {why}")),
            Self::Driver(error) => {
                let message = format!("cannot {doing}");
                let error = *error;
                match &*error.kind {
                    ErrorKind::Shutdown => PortError::closed(message),
                    ErrorKind::Command(refused) if refused.code == MAX_TIME_EXPIRED => PortError::too_slow(message),
                    _ => PortError::unavailable(message),
                }
                .caused_by(cause(error))
            }
        }
    }

    /// Whether it is certain that a write had no effect and will have none.
    pub(super) fn wrote_nothing(&self) -> bool {
        match self {
            Self::Away => true,
            Self::GivenUp(_) => false,
            Self::Driver(error) => match &*error.kind {
                ErrorKind::ServerSelection { .. }
                | ErrorKind::DnsResolve { .. }
                | ErrorKind::Authentication { .. }
                | ErrorKind::InvalidTlsConfig { .. }
                | ErrorKind::IncompatibleServer { .. }
                | ErrorKind::InvalidArgument { .. }
                | ErrorKind::Shutdown => true,
                ErrorKind::Command(refused) => NOTHING_WRITTEN.contains(&refused.code),
                _ => false,
            },
        }
    }
}

/// The driver's words without what is stored: the texts of failed writes quote documents, and the driver adds the
/// server's whole reply.
fn cause(error: mongodb::error::Error) -> Box<dyn std::error::Error + Send + Sync> {
    match *error.kind {
        ErrorKind::Write(WriteFailure::WriteError(error)) => format!("write error {}", error.code).into(),
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => {
            format!("write concern error {}: {}", error.code, error.message).into()
        }
        ErrorKind::InsertMany(error) => describe(&error).into(),
        kind => Box::new(kind),
    }
}

fn describe(error: &InsertManyError) -> String {
    let mut codes: Vec<i32> = error.write_errors.iter().flatten().map(|error| error.code).collect();
    codes.sort_unstable();
    codes.dedup();
    match &error.write_concern_error {
        Some(unsure) => format!("write errors {codes:?}, write concern error {}: {}", unsure.code, unsure.message),
        None => format!("write errors {codes:?}"),
    }
}

/// The code of a command that the server refused as a whole.
pub(super) fn command_code(error: &mongodb::error::Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(refused) => Some(refused.code),
        _ => None,
    }
}

pub(super) fn is_duplicate(error: &mongodb::error::Error) -> bool {
    match &*error.kind {
        ErrorKind::Command(refused) => refused.code == DUPLICATE_KEY,
        ErrorKind::Write(WriteFailure::WriteError(error)) => error.code == DUPLICATE_KEY,
        _ => false,
    }
}

/// Whether a whole batch failed because of a document in it, without the server saying which one.
pub(super) fn is_about_a_document(error: &mongodb::error::Error) -> bool {
    match &*error.kind {
        ErrorKind::Command(refused) => PERMANENT_FOR_A_BATCH.contains(&refused.code),
        ErrorKind::Bson(_) => true,
        ErrorKind::InvalidArgument { message, .. } => message.starts_with("insert document must be within"),
        _ => false,
    }
}

/// The outcome of every document of an unordered insert that did not go all well; `None` where the batch as a whole
/// has to be tried again.
///
/// With a write concern error nothing counts, not even a duplicate: what it is a duplicate of may yet be lost.
pub(super) fn outcomes(count: usize, error: &InsertManyError) -> Option<Vec<AppendOutcome>> {
    let write_errors = error.write_errors.as_deref().unwrap_or_default();
    if error.write_concern_error.is_some() || write_errors.is_empty() {
        return None;
    }
    let mut outcomes = vec![AppendOutcome::Stored; count];
    for error in write_errors {
        *outcomes.get_mut(error.index)? = outcome(error.code, &error.message)?;
    }
    Some(outcomes)
}

fn outcome(code: i32, message: &str) -> Option<AppendOutcome> {
    if code != DUPLICATE_KEY {
        return PERMANENT
            .contains(&code)
            .then(|| AppendOutcome::Rejected(format!("the server refuses it: code {code}")));
    }
    Some(match index_of_duplicate(message)? {
        "_id_" => AppendOutcome::AlreadyStored,
        "id_1" => AppendOutcome::IdTaken,
        other => AppendOutcome::Rejected(format!("the unique index {other} has its like already")),
    })
}

/// The driver gives the index of a duplicate only in the text: `… collection: db.logs index: id_1 dup key: { … }`.
/// Neither database nor collection names can hold a blank, so the first ` index: ` is the server's own.
fn index_of_duplicate(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once(" index: ")?;
    let (name, _) = rest.split_once(" dup key")?;
    Some(name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ports::PortErrorKind;

    fn insert_error(json: &str) -> InsertManyError {
        serde_json::from_str(json).unwrap()
    }

    fn one(code: i32, message: &str) -> Option<AppendOutcome> {
        let error = serde_json::json!({"writeErrors": [{"index": 1, "code": code, "errmsg": message}]});
        let outcomes = outcomes(3, &insert_error(&error.to_string()))?;
        assert_eq!((&outcomes[0], &outcomes[2]), (&AppendOutcome::Stored, &AppendOutcome::Stored));
        Some(outcomes[1].clone())
    }

    fn duplicate(index: &str) -> String {
        format!("E11000 duplicate key error collection: eyeGoDB.useractivitylogs index: {index} dup key: {{ id: 5 }}")
    }

    #[test]
    fn a_duplicate_is_told_apart_by_its_index() {
        assert_eq!(one(11000, &duplicate("_id_")), Some(AppendOutcome::AlreadyStored));
        assert_eq!(one(11000, &duplicate("id_1")), Some(AppendOutcome::IdTaken));
        assert!(matches!(one(11000, &duplicate("userId_1")), Some(AppendOutcome::Rejected(_))));
        assert_eq!(one(11000, "E11000 in a form nobody has seen yet"), None);
    }

    #[test]
    fn only_what_is_wrong_with_the_document_itself_rejects_it() {
        for code in PERMANENT {
            assert!(matches!(one(code, "x"), Some(AppendOutcome::Rejected(_))), "{code}");
        }
        // Not primary, shutting down, time limits, disk full, lock time-out, unauthorised, and what is not known.
        for code in [10107, 11600, 11602, 91, 189, 64, 50, 262, 14031, 24, 112, 13, 96, 987_654] {
            assert_eq!(one(code, "x"), None, "{code}");
        }
    }

    #[test]
    fn with_a_write_concern_error_nothing_counts() {
        let error = serde_json::json!({
            "writeErrors": [{"index": 0, "code": 11000, "errmsg": duplicate("_id_")}],
            "writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"},
        });
        assert_eq!(outcomes(1, &insert_error(&error.to_string())), None);
        assert_eq!(outcomes(1, &insert_error("{}")), None);
    }

    #[test]
    fn an_index_beyond_the_batch_is_no_result() {
        let error = serde_json::json!({"writeErrors": [{"index": 7, "code": 121, "errmsg": "x"}]});
        assert_eq!(outcomes(3, &insert_error(&error.to_string())), None);
    }

    #[test]
    fn messages_hold_nothing_of_the_driver_and_the_source_does() {
        let driver = || mongodb::error::Error::from(std::io::Error::other("10.0.0.1 refused"));
        let error = Failure::from(driver()).while_trying("read logs");
        assert_eq!((error.kind(), error.to_string().as_str()), (PortErrorKind::Unavailable, "cannot read logs"));
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("10.0.0.1 refused"));
        assert!(!Failure::from(driver()).wrote_nothing());
        assert!(Failure::Away.wrote_nothing());
        assert!(!Failure::GivenUp("x").wrote_nothing());
    }
}
