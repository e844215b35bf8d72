//! The parameters by which logs are selected, wherever they are.

use utoipa::IntoParams;

use crate::{
    api::{dto::schema, error::ApiError, error_code::ErrorCode, extract::QueryParameters},
    domain::{EventId, LogFilter, MetadataMatch, Moment},
};

/// How many values a repeatable parameter may have.
const MAX_VALUES: usize = 100;
/// How many conditions on metadata.
const MAX_METADATA: usize = 8;
const METADATA: &str = "metadata.";

/// All that are given hold at once. Empty parameters are none.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query; it is read by take_filter")]
pub struct FilterQuery {
    /// Logs of this user; repeated, of any of these.
    #[param(rename = "userId", style = Form, explode, max_items = 100)]
    user_id: Option<Vec<String>>,
    /// Logs of this action; repeated, of any of these.
    #[param(style = Form, explode, max_items = 100)]
    action: Option<Vec<String>>,
    /// Logs whose action begins with this.
    #[param(rename = "actionPrefix", example = "auth.")]
    action_prefix: Option<String>,
    /// Logs from this moment on: a date, month, date-time or milliseconds since 1970.
    #[param(rename = "startDate", schema_with = schema::date, required = false)]
    start_date: Option<String>,
    /// Logs up to this moment, inclusive; a date includes its whole day, a month its whole month.
    #[param(rename = "endDate", schema_with = schema::date, required = false)]
    end_date: Option<String>,
    /// The log of this event.
    #[param(rename = "eventId", format = Uuid)]
    event_id: Option<String>,
    /// Logs with this value in their metadata: `metadata.<path>=value`, up to eight of them. Dots separate the names of
    /// the path; a value that reads as a number or boolean means that or the same text; an array matches if an element
    /// does.
    #[param(rename = "metadata.path", example = "")]
    metadata: Option<String>,
}

/// Takes what it knows out of the parameters.
pub(in crate::api) fn take_filter(parameters: &mut QueryParameters) -> Result<LogFilter, ApiError> {
    let start = parameters.take_one("startDate")?.map(|text| date(&text, ErrorCode::InvalidStartDate, "startDate"));
    let end = parameters.take_one("endDate")?.map(|text| date(&text, ErrorCode::InvalidEndDate, "endDate"));
    Ok(LogFilter {
        user_ids: values(parameters, "userId")?,
        actions: values(parameters, "action")?,
        action_prefix: parameters.take_one("actionPrefix")?,
        from: start.transpose()?.map(|moment| moment.first),
        to: end.transpose()?.map(|moment| moment.last),
        event_id: parameters.take_one("eventId")?.map(|text| event_id(&text)).transpose()?,
        metadata: metadata(parameters)?,
    })
}

fn values(parameters: &mut QueryParameters, name: &str) -> Result<Vec<String>, ApiError> {
    let values = parameters.take_all(name);
    if values.len() > MAX_VALUES {
        return Err(ApiError::new(ErrorCode::TooManyValues, format!("{name} may be given {MAX_VALUES} times")));
    }
    Ok(values)
}

fn event_id(text: &str) -> Result<EventId, ApiError> {
    EventId::parse(text).ok_or_else(|| ApiError::new(ErrorCode::InvalidEventId, "eventId must be a UUID"))
}

fn metadata(parameters: &mut QueryParameters) -> Result<Vec<MetadataMatch>, ApiError> {
    let conditions = parameters.take_prefixed(METADATA);
    if conditions.len() > MAX_METADATA {
        let problem = format!("at most {MAX_METADATA} conditions on metadata may be given");
        return Err(ApiError::new(ErrorCode::TooManyValues, problem));
    }
    let read = |(path, value): (String, String)| {
        MetadataMatch::parse(&path, &value)
            .map_err(|rule| ApiError::new(ErrorCode::InvalidMetadataFilter, format!("{METADATA}{path} {rule}")))
    };
    conditions.into_iter().map(read).collect()
}

/// A blank where an offset's `+` was is read as `+`: an unescaped `+` means a blank in a query.
fn date(text: &str, code: ErrorCode, name: &str) -> Result<Moment, ApiError> {
    Moment::parse(text)
        .or_else(|error| match text.rsplit_once(' ') {
            Some((time, offset)) => Moment::parse(&format!("{time}+{offset}")),
            None => Err(error),
        })
        .map_err(|rule| ApiError::new(code, format!("{name} {rule}")))
}
