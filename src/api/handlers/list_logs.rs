//! `GET /api/logs`.

use axum::{
    extract::State,
    http::{HeaderName, HeaderValue},
    response::Response,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::json_within;
use crate::api::{
    dto::{
        error::ErrorBody,
        list_logs::{ListLogsQuery, parse},
        log::{LogPageResponse, write_page},
    },
    error::ApiError,
    extract::QueryParameters,
    state::LogState,
};

const MAX_IGNORED_BYTES: usize = 1024;
const IGNORED_PARAMETERS: HeaderName = HeaderName::from_static("ignored-parameters");

/// List and filter logs
#[utoipa::path(
    get, path = "/api/logs", tag = "logs", operation_id = "listLogs", params(ListLogsQuery),
    responses(
        (status = 200, description = "A page of the matching logs by ascending id", body = LogPageResponse,
            headers(("ignored-parameters" = String, description = "Parameters that mean nothing here"))),
        (status = 400, description = "A parameter makes no sense; `error` names it", body = ErrorBody),
        (status = 500, description = "The store failed", body = ErrorBody),
        (status = 503, description = "The store is away, or this instance has none", body = ErrorBody),
    )
)]
pub(in crate::api) async fn list_logs(
    State(state): State<LogState>,
    parameters: QueryParameters,
) -> Result<Response, ApiError> {
    let list = parse(parameters)?;
    let page = state.logs.list(&list.filter, list.page).await?;
    let mut response = json_within(&state.answers, write_page(&page, list.page))?;
    if let Some(names) = ignored(&list.ignored) {
        response.headers_mut().insert(IGNORED_PARAMETERS, names);
    }
    Ok(response)
}

/// As many names as fit: a header that is too long breaks clients and proxies.
fn ignored(names: &[String]) -> Option<HeaderValue> {
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
