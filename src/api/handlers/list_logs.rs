//! `GET /api/logs`.

use axum::{
    extract::State,
    http::{HeaderName, HeaderValue, Uri, header::LINK},
    response::Response,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::json_within;
use crate::api::{
    cursor,
    dto::{
        error::ErrorBody,
        filter::FilterQuery,
        list_logs::{ListLogs, ListLogsQuery, parse},
        log::{LogPageResponse, PageParts, write_page},
    },
    error::ApiError,
    extract::QueryParameters,
    state::LogState,
};

const MAX_IGNORED_BYTES: usize = 1024;
/// A longer link would break clients and proxies; the cursor is in the body as well.
const MAX_LINK_BYTES: usize = 4096;
const IGNORED_PARAMETERS: HeaderName = HeaderName::from_static("ignored-parameters");

/// List and filter logs
#[utoipa::path(
    get, path = "/api/logs", tag = "logs", operation_id = "listLogs", params(ListLogsQuery, FilterQuery),
    responses(
        (status = 200, description = "A page of the matching logs", body = LogPageResponse,
            headers(("link" = String, description = "The next page, with `rel=\"next\"`"),
                ("ignored-parameters" = String, description = "Parameters that mean nothing here"))),
        (status = 400, description = "A parameter makes no sense; `error` names it", body = ErrorBody),
        (status = 500, description = "The store failed", body = ErrorBody),
        (status = 503, description = "The store is away, this instance has none, or the query takes too long", body = ErrorBody),
    )
)]
pub(in crate::api) async fn list_logs(
    State(state): State<LogState>,
    uri: Uri,
    parameters: QueryParameters,
) -> Result<Response, ApiError> {
    let ListLogs { query, ignored } = parse(parameters)?;
    let page = state.logs.list(&query).await?;
    let next_cursor = cursor::write(page.next, &query.filter, query.order);
    let link = link(&uri, &next_cursor);
    let (slice, count) = (&page.slice, page.count);
    let parts = PageParts { slice, count, start: query.start, limit: query.limit, next_cursor: &next_cursor };
    let mut response = json_within(&state.answers, write_page(&parts))?;
    let names = ignored_names(&ignored).map(|names| (IGNORED_PARAMETERS, names));
    response.headers_mut().extend([link.map(|link| (LINK, link)), names].into_iter().flatten());
    Ok(response)
}

/// The same question, from the cursor on (RFC 8288).
fn link(uri: &Uri, cursor: &str) -> Option<HeaderValue> {
    let is_kept = |pair: &&str| !matches!(pair.split('=').next(), Some("page" | "cursor" | ""));
    let kept: String =
        uri.query().unwrap_or_default().split('&').filter(is_kept).map(|pair| format!("{pair}&")).collect();
    let link = format!("<{}?{kept}cursor={cursor}>; rel=\"next\"", uri.path());
    HeaderValue::from_str(&link).ok().filter(|link| link.len() <= MAX_LINK_BYTES)
}

/// As many names as fit: a header that is too long breaks clients and proxies.
fn ignored_names(names: &[String]) -> Option<HeaderValue> {
    let mut value = String::new();
    for name in names {
        let encoded = utf8_percent_encode(name, NON_ALPHANUMERIC).to_string();
        if value.len() + encoded.len() >= MAX_IGNORED_BYTES {
            break;
        }
        value.push_str(if value.is_empty() { "" } else { "," });
        value.push_str(&encoded);
    }
    HeaderValue::from_str(&value).ok().filter(|value| !value.is_empty())
}
