//! `GET /api/logs/export`: all matching logs, as fast as the client takes them.

use std::future::ready;

use axum::{
    body::Body,
    extract::State,
    http::{
        HeaderValue, Version,
        header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use crate::{
    api::{
        dto::{
            error::ErrorBody,
            export_logs::{ExportLogs, ExportLogsQuery, parse},
            filter::FilterQuery,
        },
        error::ApiError,
        error_code::ErrorCode,
        extract::QueryParameters,
        state::LogState,
    },
    application::transfer::ExportFormat,
    domain::Timestamp,
};

/// Export logs
///
/// All matching logs in the order of their ids, as a stream. An export that is cut off ends with a broken connection,
/// never as if it were complete; go on with `afterId`.
#[utoipa::path(
    get, path = "/api/logs/export", tag = "logs", operation_id = "exportLogs", params(ExportLogsQuery, FilterQuery),
    responses(
        (status = 200, description = "The logs: a line or row each", content(
            (String = "application/x-ndjson"), (String = "text/csv")),
            headers(("content-disposition" = String, description = "A name for the file"))),
        (status = 400, description = "A parameter makes no sense or is not known; `error` names it", body = ErrorBody),
        (status = 429, description = "Too many exports are running", body = ErrorBody),
        (status = 500, description = "The store failed", body = ErrorBody),
        (status = 503, description = "The store is away, or this instance has none", body = ErrorBody),
        (status = 505, description = "HTTP/1.0 cannot tell an end from a break", body = ErrorBody),
    )
)]
pub(in crate::api) async fn export_logs(
    State(state): State<LogState>,
    version: Version,
    parameters: QueryParameters,
) -> Result<Response, ApiError> {
    let ExportLogs { format, request } = parse(parameters)?;
    if version < Version::HTTP_11 {
        return Err(ErrorCode::NeedsHttp11.into());
    }
    let export = state.exports.begin(request).await?;
    let mut header = Vec::new();
    format.begin(&mut header);
    let header = (!header.is_empty()).then(|| Ok(Bytes::from(header)));
    let pieces = export.flat_map(move |logs| match logs {
        Ok(logs) => stream::iter(format.pieces(logs)).map(|text| Ok(Bytes::from(text))).left_stream(),
        Err(cut_off) => stream::once(ready(Err(cut_off))).right_stream(),
    });
    let (content_type, ending) = match format {
        ExportFormat::Ndjson => ("application/x-ndjson", "ndjson"),
        ExportFormat::Csv => ("text/csv; charset=utf-8; header=present", "csv"),
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (CONTENT_DISPOSITION, disposition(state.exports.now(), ending)),
    ];
    Ok((headers, Body::from_stream(stream::iter(header).chain(pieces))).into_response())
}

/// A file name with the time, of characters that every system takes.
fn disposition(now: Timestamp, ending: &str) -> HeaderValue {
    let time: String = now.to_string().chars().filter(|c| !matches!(c, ':' | '+')).collect();
    let time = time.split('.').next().unwrap_or_default();
    HeaderValue::from_str(&format!("attachment; filename=\"eyego-logs-{time}Z.{ending}\""))
        .unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_its_time() {
        let name = disposition(Timestamp::from_millis(1_747_830_896_789), "csv");
        assert_eq!(name, "attachment; filename=\"eyego-logs-2025-05-21T123456Z.csv\"");
    }
}
