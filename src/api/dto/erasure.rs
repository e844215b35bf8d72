//! The query of `DELETE /api/logs`, and jobs as they are served.

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::schema;
use crate::{
    api::{error::ApiError, error_code::ErrorCode, extract::QueryParameters},
    domain::{ErasureFilter, ErasureJob, Moment},
};

/// What an erasure does not reach.
const NOT_COVERED: &str = "Records on the bus and its dead-letter topic until they expire, and backups";

/// Which logs go. `userId` or `before` is needed; both hold at once.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query; it is read by parse")]
pub struct EraseLogsQuery {
    /// Logs of this user.
    #[param(rename = "userId")]
    user_id: Option<String>,
    /// Logs with an earlier timestamp: a date, month, date-time or milliseconds since 1970.
    #[param(schema_with = schema::date, required = false)]
    before: Option<String>,
    /// `true` erases nothing: it says how many logs there are, and gives the token that an erasure needs.
    #[param(rename = "dryRun")]
    dry_run: Option<bool>,
    /// What the dry run gave. It holds for ten minutes; the same token begins the same job, however often it is sent.
    token: Option<String>,
}

/// What a query asks for.
#[derive(Debug)]
pub(in crate::api) struct EraseLogs {
    pub(in crate::api) filter: ErasureFilter,
    pub(in crate::api) dry_run: bool,
    pub(in crate::api) token: Option<String>,
}

pub(in crate::api) fn parse(parameters: QueryParameters) -> Result<EraseLogs, ApiError> {
    let mut parameters = parameters;
    let user_id = parameters.take_one("userId")?;
    let before = parameters.take_one("before")?.map(|text| before(&text)).transpose()?;
    let dry_run = parameters.take_one("dryRun")?.map_or(Ok(false), |text| dry_run(&text))?;
    let token = parameters.take_one("token")?;
    // Whoever misspells a condition must not erase more than he means.
    parameters.refuse_rest()?;
    let filter = ErasureFilter::new(user_id, before.map(|moment| moment.first)).ok_or(ErrorCode::MissingSelection)?;
    Ok(EraseLogs { filter, dry_run, token })
}

fn before(text: &str) -> Result<Moment, ApiError> {
    Moment::parse(text).map_err(|rule| ApiError::new(ErrorCode::InvalidBefore, format!("before {rule}")))
}

fn dry_run(text: &str) -> Result<bool, ApiError> {
    text.parse().map_err(|_| ApiError::new(ErrorCode::InvalidDryRun, "dryRun must be true or false"))
}

/// How many logs an erasure would take now.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct Preview {
    /// Up to `COUNT_CAP`.
    pub(in crate::api) matching: u64,
    /// Whether there are no more than `matching`.
    pub(in crate::api) matching_is_exact: bool,
    /// Give it back, without `dryRun`, to erase them.
    pub(in crate::api) token: String,
    /// Until when the token holds.
    #[schema(example = "2025-05-21T12:34:56.789Z")]
    pub(in crate::api) token_ends_at: String,
    /// What stays.
    pub(in crate::api) not_covered: &'static str,
}

impl Preview {
    pub(in crate::api) fn new(matching: crate::domain::Count, token: String, token_ends_at: String) -> Self {
        let (matching, matching_is_exact) = (matching.number, matching.is_exact);
        Self { matching, matching_is_exact, token, token_ends_at, not_covered: NOT_COVERED }
    }
}

/// A job that erases logs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct Job {
    /// A UUID.
    id: String,
    /// `erasure`, or `retention` for what is older than `RETENTION_DAYS`.
    kind: &'static str,
    /// `pending`, `running`, `done` or `cancelled`.
    state: &'static str,
    /// Null once the job has finished: it does not keep the name of whom it erased.
    #[schema(required)]
    user_id: Option<String>,
    /// Logs with an earlier timestamp.
    #[schema(required)]
    before: Option<String>,
    /// Logs that were received up to here; null is all.
    #[schema(required)]
    received_up_to: Option<String>,
    created_at: String,
    #[schema(required)]
    finished_at: Option<String>,
    /// So many logs so far.
    erased: u64,
    /// What stays.
    not_covered: &'static str,
}

impl From<ErasureJob> for Job {
    fn from(job: ErasureJob) -> Self {
        let text = |at: Option<crate::domain::Timestamp>| at.map(|at| at.to_string());
        Self {
            id: job.id.to_string(),
            kind: job.kind.as_str(),
            state: job.state.as_str(),
            user_id: job.user_id,
            before: text(job.before),
            received_up_to: text(job.received_up_to),
            created_at: job.created_at.to_string(),
            finished_at: text(job.finished_at),
            erased: job.erased,
            not_covered: NOT_COVERED,
        }
    }
}

/// Jobs, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Jobs {
    pub(in crate::api) jobs: Vec<Job>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<EraseLogs, ErrorCode> {
        QueryParameters::parse(query).and_then(parse).map_err(|error| error.code())
    }

    #[test]
    fn a_selection_is_read() {
        let erase = read("userId=a%20b&before=2025-05&token=t").unwrap();
        assert_eq!(erase.filter.user_id(), Some("a b"));
        assert_eq!(erase.filter.before().unwrap().to_string(), "2025-05-01T00:00:00.000Z");
        assert!(!erase.dry_run && erase.token.as_deref() == Some("t"));
        assert!(read("before=2025&dryRun=true").is_err());
        assert!(read("before=2025-01-01&dryRun=true").unwrap().dry_run);
    }

    #[test]
    fn nobody_erases_more_than_he_means() {
        use ErrorCode::*;
        for (query, code) in [
            ("", MissingSelection),
            ("userId=", MissingSelection),
            ("userId=&dryRun=true", MissingSelection),
            ("userId=a&userId=b", RepeatedParameter),
            ("userId=a&action=b", UnknownParameter),
            ("userId=a&beforee=2025-01-01", UnknownParameter),
            ("userId=a&startDate=2025-01-01", UnknownParameter),
            ("before=yesterday", InvalidBefore),
            ("userId=a&dryRun=yes", InvalidDryRun),
        ] {
            assert_eq!(read(query).unwrap_err(), code, "{query}");
        }
    }
}
