//! The query of `GET /api/logs`.

use utoipa::IntoParams;

use crate::{
    api::{cursor, dto::filter::take_filter, error::ApiError, error_code::ErrorCode, extract::QueryParameters},
    application::paging::{PageQuery, PageStart},
    domain::{MAX_PAGE_LIMIT, Order, PageRequest},
};

/// The largest page number: the largest integer that every client's JSON reads exactly.
const MAX_PAGE: u64 = (1 << 53) - 1;
/// The store walks over everything before a page by number.
const MAX_DEPTH: u64 = 1_000_000;

/// Paging, beside the filter. Unknown parameters are ignored and named in the header `ignored-parameters`.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query; it is read by parse")]
pub struct ListLogsQuery {
    /// Page number, from 1; `page` × `limit` is at most a million.
    #[param(minimum = 1, maximum = 1_000_000, default = 1)]
    page: Option<u64>,
    /// Logs per page.
    #[param(minimum = 1, maximum = 1000, default = 10)]
    limit: Option<u32>,
    /// `nextCursor` of a page before, with the same filter and sort: the page behind it. Excludes `page`.
    cursor: Option<String>,
    /// In which order: `id`, `-id`, `timestamp` or `-timestamp`; with `-` the greatest first.
    #[param(default = "id", pattern = "^-?(id|timestamp)$")]
    sort: Option<String>,
    /// `none` leaves out `total`, `totalPages` and `totalIsExact`, and the time that they take.
    #[param(pattern = "^none$")]
    count: Option<String>,
}

/// What a query asks for.
#[derive(Debug)]
pub(in crate::api) struct ListLogs {
    pub(in crate::api) query: PageQuery,
    /// Names of parameters that mean nothing here.
    pub(in crate::api) ignored: Vec<String>,
}

pub(in crate::api) fn parse(parameters: QueryParameters) -> Result<ListLogs, ApiError> {
    let mut parameters = parameters;
    let page = parameters.take_one("page")?;
    let limit = parameters.take_one("limit")?.map_or(Ok(10), |text| limit(&text))?;
    let order = parameters.take_one("sort")?.map_or(Ok(Order::Id), |text| order(&text))?;
    let count = parameters.take_one("count")?.map_or(Ok(true), |text| count(&text))?;
    let cursor = parameters.take_one("cursor")?;
    let filter = take_filter(&mut parameters)?;
    let start = match (page, cursor) {
        (Some(_), Some(_)) => {
            return Err(ApiError::new(ErrorCode::InvalidCursor, "cursor and page exclude each other"));
        }
        (None, Some(text)) => PageStart::Cursor(cursor::read(&text, &filter, order)?),
        (page, None) => PageStart::Number(number(page.as_deref().unwrap_or("1"), limit)?),
    };
    let query = PageQuery { filter, order, start, limit, count };
    Ok(ListLogs { query, ignored: parameters.into_names() })
}

fn limit(text: &str) -> Result<u32, ApiError> {
    positive(text, u64::from(MAX_PAGE_LIMIT)).and_then(|limit| u32::try_from(limit).ok()).ok_or_else(|| {
        ApiError::new(ErrorCode::InvalidLimit, format!("limit must be a whole number from 1 to {MAX_PAGE_LIMIT}"))
    })
}

fn number(text: &str, limit: u32) -> Result<PageRequest, ApiError> {
    let page = positive(text, MAX_PAGE).ok_or_else(|| {
        ApiError::new(ErrorCode::InvalidPage, format!("page must be a whole number from 1 to {MAX_PAGE}"))
    })?;
    if page.saturating_mul(u64::from(limit)) > MAX_DEPTH {
        let problem =
            format!("page times limit is more than {MAX_DEPTH}: go on with cursor, from nextCursor of a page");
        return Err(ApiError::new(ErrorCode::PageTooDeep, problem));
    }
    PageRequest::new(page, limit).ok_or_else(|| ErrorCode::InvalidPage.into())
}

fn order(text: &str) -> Result<Order, ApiError> {
    match text {
        "id" => Ok(Order::Id),
        "-id" => Ok(Order::IdDescending),
        "timestamp" => Ok(Order::Timestamp),
        "-timestamp" => Ok(Order::TimestampDescending),
        _ => Err(ApiError::new(ErrorCode::InvalidSort, "sort must be id, -id, timestamp or -timestamp")),
    }
}

fn count(text: &str) -> Result<bool, ApiError> {
    if text == "none" { Ok(false) } else { Err(ApiError::new(ErrorCode::InvalidCount, "count can only be none")) }
}

fn positive(text: &str, most: u64) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && (1..=most).contains(number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::LogFilter;

    fn read(query: &str) -> Result<ListLogs, ErrorCode> {
        QueryParameters::parse(query).and_then(parse).map_err(|error| error.code())
    }

    fn page(number: u64, limit: u32) -> PageQuery {
        let start = PageStart::Number(PageRequest::new(number, limit).unwrap());
        PageQuery { filter: LogFilter::default(), order: Order::Id, start, limit, count: true }
    }

    #[test]
    fn nothing_is_the_first_ten() {
        let list = read("").unwrap();
        assert_eq!(list.query, page(1, 10));
        assert!(list.ignored.is_empty());
        let empty = "userId=&page=&limit=&startDate=&cursor=&sort=&count=&metadata.a=&x=";
        assert_eq!(read(empty).unwrap().query, page(1, 10));
        assert_eq!(read("page=&page=2&page=").unwrap().query, page(2, 10));
    }

    #[test]
    fn filters_are_read() {
        let list = read("userId=a%20b&userId=c&action=x+y&startDate=2025-01-01&endDate=2025-01-31&page=2&limit=1000&z=1&%C3%BC=2&z=3").unwrap();
        let filter = list.query.filter;
        assert_eq!(filter.user_ids, ["a b", "c"]);
        assert_eq!(filter.actions, ["x y"]);
        assert_eq!(filter.from.unwrap().to_string(), "2025-01-01T00:00:00.000Z");
        assert_eq!(filter.to.unwrap().to_string(), "2025-01-31T23:59:59.999Z");
        assert_eq!(list.query.start, PageStart::Number(PageRequest::new(2, 1000).unwrap()));
        assert_eq!(list.ignored, ["z", "ü"]);
    }

    #[test]
    fn the_newer_filters_are_read() {
        let id = "0196f1e2-7c3a-7000-8000-000000000001";
        let filter =
            read(&format!("actionPrefix=auth.&eventId={id}&metadata.a.b=7&metadata.a.b=8")).unwrap().query.filter;
        assert_eq!(filter.action_prefix.as_deref(), Some("auth."));
        assert_eq!(filter.event_id.unwrap().to_string(), id);
        assert_eq!(filter.metadata.len(), 2);
        let list = read("sort=-timestamp&count=none").unwrap().query;
        assert_eq!((list.order, list.count), (Order::TimestampDescending, false));
    }

    #[test]
    fn an_unescaped_plus_is_an_offset() {
        let from = |query| read(query).unwrap().query.filter.from.unwrap().to_string();
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
            ("page=1001&limit=1000", PageTooDeep),
            ("page=9007199254740991", PageTooDeep),
            ("sort=date", InvalidSort),
            ("sort=id&sort=id", RepeatedParameter),
            ("count=yes", InvalidCount),
            ("cursor=x", InvalidCursor),
            ("cursor=x&page=1", InvalidCursor),
            ("eventId=x", InvalidEventId),
            ("metadata.=x", InvalidMetadataFilter),
            ("metadata.a.$b=x", InvalidMetadataFilter),
        ] {
            assert_eq!(read(query).unwrap_err(), code, "{query}");
        }
        let many = "userId=a&".repeat(101);
        assert_eq!(read(&many).unwrap_err(), TooManyValues);
        assert_eq!(read(&"metadata.a=1&".repeat(9)).unwrap_err(), TooManyValues);
    }

    proptest! {
        #[test]
        fn no_query_panics(query in "[a-zA-Z0-9=&%+:. -]{0,80}") {
            let _ = read(&query);
        }
    }
}
