//! The query of `GET /api/logs`.

use utoipa::IntoParams;

use crate::{
    api::{dto::schema, error::ApiError, error_code::ErrorCode, extract::QueryParameters},
    domain::{LogFilter, MAX_PAGE_LIMIT, Moment, PageRequest},
};

/// The largest page number: the largest integer that every client's JSON reads exactly.
const MAX_PAGE: u64 = (1 << 53) - 1;
/// How many values a repeatable parameter may have.
const MAX_VALUES: usize = 100;

/// Filters and paging. Empty parameters are none; unknown ones are ignored and named in the header
/// `ignored-parameters`.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query; it is read by parse")]
pub struct ListLogsQuery {
    /// Page number, from 1.
    #[param(minimum = 1, maximum = 9_007_199_254_740_991_u64, default = 1)]
    page: Option<u64>,
    /// Logs per page.
    #[param(minimum = 1, maximum = 1000, default = 10)]
    limit: Option<u32>,
    /// Logs of this user; repeated, of any of these.
    #[param(rename = "userId", style = Form, explode, max_items = 100)]
    user_id: Option<Vec<String>>,
    /// Logs of this action; repeated, of any of these.
    #[param(style = Form, explode, max_items = 100)]
    action: Option<Vec<String>>,
    /// Logs from this moment on: a date, month, date-time or milliseconds since 1970.
    #[param(rename = "startDate", schema_with = schema::date, required = false)]
    start_date: Option<String>,
    /// Logs up to this moment, inclusive; a date includes its whole day, a month its whole month.
    #[param(rename = "endDate", schema_with = schema::date, required = false)]
    end_date: Option<String>,
}

/// What a query asks for.
#[derive(Debug)]
pub(in crate::api) struct ListLogs {
    pub(in crate::api) filter: LogFilter,
    pub(in crate::api) page: PageRequest,
    /// Names of parameters that mean nothing here.
    pub(in crate::api) ignored: Vec<String>,
}

pub(in crate::api) fn parse(parameters: QueryParameters) -> Result<ListLogs, ApiError> {
    let mut parameters = parameters;
    let page = parameters.take_one("page")?.map_or(Ok(1), |text| {
        positive(&text, MAX_PAGE).ok_or_else(|| {
            ApiError::new(ErrorCode::InvalidPage, format!("page must be a whole number from 1 to {MAX_PAGE}"))
        })
    })?;
    let limit = parameters.take_one("limit")?.map_or(Ok(10), |text| {
        positive(&text, u64::from(MAX_PAGE_LIMIT)).and_then(|limit| u32::try_from(limit).ok()).ok_or_else(|| {
            ApiError::new(ErrorCode::InvalidLimit, format!("limit must be a whole number from 1 to {MAX_PAGE_LIMIT}"))
        })
    })?;
    let start = parameters.take_one("startDate")?.map(|text| date(&text, ErrorCode::InvalidStartDate, "startDate"));
    let end = parameters.take_one("endDate")?.map(|text| date(&text, ErrorCode::InvalidEndDate, "endDate"));
    let filter = LogFilter {
        user_ids: values(&mut parameters, "userId")?,
        actions: values(&mut parameters, "action")?,
        from: start.transpose()?.map(|moment| moment.first),
        to: end.transpose()?.map(|moment| moment.last),
    };
    let page = PageRequest::new(page, limit).ok_or(ErrorCode::InvalidPage)?;
    Ok(ListLogs { filter, page, ignored: parameters.into_names() })
}

fn positive(text: &str, most: u64) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && (1..=most).contains(number))
}

fn values(parameters: &mut QueryParameters, name: &str) -> Result<Vec<String>, ApiError> {
    let values = parameters.take_all(name);
    if values.len() > MAX_VALUES {
        return Err(ApiError::new(ErrorCode::TooManyValues, format!("{name} may be given {MAX_VALUES} times")));
    }
    Ok(values)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(query: &str) -> Result<ListLogs, ErrorCode> {
        QueryParameters::parse(query).and_then(parse).map_err(|error| error.code())
    }

    #[test]
    fn nothing_is_the_first_ten() {
        let list = read("").unwrap();
        assert_eq!((list.page.page(), list.page.limit()), (1, 10));
        assert!(list.filter.is_empty() && list.ignored.is_empty());
        assert!(read("userId=&page=&limit=&startDate=&x=").unwrap().filter.is_empty());
        assert_eq!(read("page=&page=2&page=").unwrap().page.page(), 2);
    }

    #[test]
    fn filters_are_read() {
        let list = read("userId=a%20b&userId=c&action=x+y&startDate=2025-01-01&endDate=2025-01-31&page=2&limit=1000&z=1&%C3%BC=2&z=3").unwrap();
        assert_eq!(list.filter.user_ids, ["a b", "c"]);
        assert_eq!(list.filter.actions, ["x y"]);
        assert_eq!(list.filter.from.unwrap().to_string(), "2025-01-01T00:00:00.000Z");
        assert_eq!(list.filter.to.unwrap().to_string(), "2025-01-31T23:59:59.999Z");
        assert_eq!((list.page.page(), list.page.limit()), (2, 1000));
        assert_eq!(list.ignored, ["z", "ü"]);
    }

    #[test]
    fn an_unescaped_plus_is_an_offset() {
        let from = |query| read(query).unwrap().filter.from.unwrap().to_string();
        assert_eq!(from("startDate=2025-01-01T02:00:00+02:00"), "2025-01-01T00:00:00.000Z");
        assert_eq!(from("startDate=2025-01-01+02:00:00+02:00"), "2025-01-01T00:00:00.000Z");
        assert_eq!(from("startDate=2025-01-01T02:00:00%2B0200"), "2025-01-01T00:00:00.000Z");
        assert_eq!(from("startDate=1735689600000"), "2025-01-01T00:00:00.000Z");
    }

    #[test]
    fn nonsense_is_named() {
        use ErrorCode::*;
        for (query, code) in [
            ("page=0", InvalidPage),
            ("page=-1", InvalidPage),
            ("page=+1", InvalidPage),
            ("page=1.0", InvalidPage),
            ("page=x", InvalidPage),
            ("page=9007199254740992", InvalidPage),
            ("limit=1001", InvalidLimit),
            ("limit=0", InvalidLimit),
            ("page=1&page=1", RepeatedParameter),
            ("startDate=2025-01-01&startDate=2025-01-01", RepeatedParameter),
            ("startDate=yesterday", InvalidStartDate),
            ("endDate=2025-02-30", InvalidEndDate),
            ("userId=%FF", InvalidQuery),
        ] {
            assert_eq!(read(query).unwrap_err(), code, "{query}");
        }
        let many = "userId=a&".repeat(101);
        assert_eq!(read(&many).unwrap_err(), TooManyValues);
    }

    proptest! {
        #[test]
        fn no_query_panics(query in "[a-zA-Z0-9=&%+:. -]{0,80}") {
            let _ = read(&query);
        }
    }
}
