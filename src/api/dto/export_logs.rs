//! The query of `GET /api/logs/export`.

use utoipa::IntoParams;

use crate::{
    api::{cursor, dto::filter::take_filter, error::ApiError, error_code::ErrorCode, extract::QueryParameters},
    application::transfer::{ExportFormat, export::ExportRequest},
    domain::{LogFilter, LogId, Order},
};

/// What is exported, beside the filter. Unknown parameters are refused.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query; it is read by parse")]
pub struct ExportLogsQuery {
    /// `ndjson`: lines of JSON, which `eyego import` takes; `csv`: a table for people.
    #[param(default = "ndjson", pattern = "^(ndjson|csv)$")]
    format: Option<String>,
    /// The last `id` of an export that broke off, or of the one before: goes on behind it.
    #[param(rename = "afterId", pattern = "^-?[0-9]+$")]
    after_id: Option<String>,
    /// `nextCursor` of a list with the same filter, sorted by id: goes on behind what was listed. Excludes `afterId`.
    cursor: Option<String>,
    /// An export is always sorted by id.
    #[param(default = "id", pattern = "^id$")]
    sort: Option<String>,
}

/// What a query asks for.
#[derive(Debug)]
pub(in crate::api) struct ExportLogs {
    pub(in crate::api) format: ExportFormat,
    pub(in crate::api) request: ExportRequest,
}

pub(in crate::api) fn parse(parameters: QueryParameters) -> Result<ExportLogs, ApiError> {
    let mut parameters = parameters;
    let format = parameters.take_one("format")?.map_or(Ok(ExportFormat::Ndjson), |text| format(&text))?;
    let after_id = parameters.take_one("afterId")?.map(|text| after_id(&text)).transpose()?;
    let cursor = parameters.take_one("cursor")?;
    if parameters.take_one("sort")?.is_some_and(|sort| sort != "id") {
        return Err(ApiError::new(ErrorCode::InvalidSort, "an export is sorted by id"));
    }
    let filter = take_filter(&mut parameters)?;
    parameters.refuse_rest()?;
    let after = match (after_id, cursor) {
        (Some(_), Some(_)) => {
            return Err(ApiError::new(ErrorCode::InvalidCursor, "cursor and afterId exclude each other"));
        }
        (None, Some(text)) => Some(behind(&text, &filter)?),
        (after_id, None) => after_id,
    };
    Ok(ExportLogs { format, request: ExportRequest { filter, after } })
}

fn format(text: &str) -> Result<ExportFormat, ApiError> {
    match text {
        "ndjson" => Ok(ExportFormat::Ndjson),
        "csv" => Ok(ExportFormat::Csv),
        _ => Err(ApiError::new(ErrorCode::InvalidFormat, "format must be ndjson or csv")),
    }
}

fn after_id(text: &str) -> Result<LogId, ApiError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let id = text.parse().ok().filter(|_| is_number).map(LogId::new);
    id.ok_or_else(|| ApiError::new(ErrorCode::InvalidAfterId, "afterId must be a whole number in decimal digits"))
}

fn behind(text: &str, filter: &LogFilter) -> Result<LogId, ApiError> {
    cursor::read(text, filter, Order::Id).map(|cursor| cursor.place.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{application::paging::Cursor, domain::Place};

    fn read(query: &str) -> Result<ExportLogs, ErrorCode> {
        QueryParameters::parse(query).and_then(parse).map_err(|error| error.code())
    }

    #[test]
    fn nothing_is_all_logs_as_lines() {
        for query in ["", "format=&afterId=&cursor=&sort=&userId=", "format=ndjson&sort=id"] {
            let export = read(query).unwrap();
            assert_eq!(export.format, ExportFormat::Ndjson);
            assert_eq!(export.request, ExportRequest { filter: LogFilter::default(), after: None });
        }
    }

    #[test]
    fn an_export_goes_on_behind_an_id_or_a_cursor_of_its_filter() {
        let filter = LogFilter { user_ids: vec!["u".to_owned()], ..LogFilter::default() };
        let place = Place { id: LogId::new(7), ..Order::Id.start() };
        let cursor = cursor::write(Cursor { place, began: None }, &filter, Order::Id);
        let wanted = ExportRequest { filter, after: Some(LogId::new(7)) };
        assert_eq!(read("userId=u&afterId=7").unwrap().request, wanted);
        assert_eq!(read(&format!("userId=u&cursor={cursor}")).unwrap().request, wanted);
        assert_eq!(read(&format!("cursor={cursor}")).unwrap_err(), ErrorCode::InvalidCursor);
        assert_eq!(read(&format!("userId=u&afterId=7&cursor={cursor}")).unwrap_err(), ErrorCode::InvalidCursor);
        assert_eq!(read("afterId=-7").unwrap().request.after, Some(LogId::new(-7)));
    }

    #[test]
    fn nonsense_is_named() {
        use ErrorCode::*;
        for (query, code) in [
            ("format=xml", InvalidFormat),
            ("format=csv&format=csv", RepeatedParameter),
            ("afterId=x", InvalidAfterId),
            ("afterId=%2B1", InvalidAfterId),
            ("afterId=1.0", InvalidAfterId),
            ("afterId=9223372036854775808", InvalidAfterId),
            ("cursor=x", InvalidCursor),
            ("sort=timestamp", InvalidSort),
            ("sort=-id", InvalidSort),
            ("startDate=yesterday", InvalidStartDate),
            ("page=1", UnknownParameter),
            ("limit=10", UnknownParameter),
            ("userid=u", UnknownParameter),
        ] {
            assert_eq!(read(query).unwrap_err(), code, "{query}");
        }
        let error = QueryParameters::parse("a=1&b=2&a=3").and_then(parse).unwrap_err();
        assert_eq!(error.explanation(), "a, b");
    }
}
