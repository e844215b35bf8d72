//! A log as it is served, and pages of them.

use std::{fmt, io::Write};

use utoipa::ToSchema;

use crate::{
    application::paging::PageStart,
    domain::{ActivityLog, Count, LogId, LogSlice},
};

/// A stored log. Its fields are null only in odd documents that others wrote.
#[derive(Debug, ToSchema)]
#[schema(as = Log)]
#[expect(dead_code, reason = "describes the answer; it is written by write_log without a tree")]
pub struct LogResponse {
    #[schema(required, example = 0)]
    id: Option<i64>,
    #[schema(required, rename = "userId", example = "user1")]
    user_id: Option<String>,
    #[schema(required, example = "login")]
    action: Option<String>,
    /// UTC with exactly three decimals.
    #[schema(required, example = "2025-05-21T12:34:56.789Z")]
    timestamp: Option<String>,
    /// An object, unless the old service stored something else.
    #[schema(value_type = Value, example = json!({"ip": "127.0.0.1"}))]
    metadata: serde_json::Value,
}

/// A page of logs.
#[derive(Debug, ToSchema)]
#[schema(as = LogPage)]
#[expect(dead_code, reason = "describes the answer; it is written by write_page without a tree")]
pub struct LogPageResponse {
    logs: Vec<LogResponse>,
    /// How many logs match, up to `COUNT_CAP`; absent with `count=none`.
    #[schema(minimum = 0)]
    total: Option<u64>,
    /// Absent behind a cursor.
    #[schema(minimum = 1)]
    page: Option<u64>,
    #[schema(minimum = 1, maximum = 1000)]
    limit: u32,
    /// Absent with `count=none`.
    #[schema(rename = "totalPages", minimum = 0)]
    total_pages: Option<u64>,
    /// Whether there are no more than `total`; absent with `count=none`.
    #[schema(rename = "totalIsExact")]
    total_is_exact: Option<bool>,
    /// Where the next page begins, also where there is none yet.
    #[schema(rename = "nextCursor")]
    next_cursor: String,
}

/// The JSON of one log; metadata is JSON already and goes out as it is.
pub(in crate::api) fn write_log(log: &ActivityLog) -> Vec<u8> {
    let mut json = Vec::with_capacity(128 + log.metadata.as_str().len());
    push_log(&mut json, log);
    json
}

/// A page as it is written.
pub(in crate::api) struct PageParts<'a> {
    pub(in crate::api) slice: &'a LogSlice,
    pub(in crate::api) count: Option<Count>,
    pub(in crate::api) start: PageStart,
    pub(in crate::api) limit: u32,
    pub(in crate::api) next_cursor: &'a str,
}

/// The JSON of a page.
pub(in crate::api) fn write_page(page: &PageParts<'_>) -> Vec<u8> {
    let mut json = Vec::with_capacity(128 + page.slice.logs.len() * 256);
    json.extend_from_slice(b"{\"logs\":[");
    for (index, log) in page.slice.logs.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        push_log(&mut json, log);
    }
    json.push(b']');
    let mut field = |name: &str, value: &dyn fmt::Display| {
        // A Vec always takes it.
        let _ = write!(json, ",\"{name}\":{value}");
    };
    if let Some(count) = page.count {
        field("total", &count.number);
    }
    if let PageStart::Number(number) = page.start {
        field("page", &number.page());
    }
    field("limit", &page.limit);
    if let Some(count) = page.count {
        field("totalPages", &count.number.div_ceil(u64::from(page.limit)));
        field("totalIsExact", &count.is_exact);
    }
    field("nextCursor", &format_args!("\"{}\"", page.next_cursor));
    json.push(b'}');
    json
}

fn push_log(json: &mut Vec<u8>, log: &ActivityLog) {
    json.extend_from_slice(b"{\"id\":");
    push(json, &log.id.map(LogId::get));
    json.extend_from_slice(b",\"userId\":");
    push(json, &log.user_id);
    json.extend_from_slice(b",\"action\":");
    push(json, &log.action);
    json.extend_from_slice(b",\"timestamp\":");
    push(json, &log.timestamp.map(|timestamp| timestamp.to_string()));
    json.extend_from_slice(b",\"metadata\":");
    json.extend_from_slice(log.metadata.as_str().as_bytes());
    json.push(b'}');
}

fn push<T: serde::Serialize>(json: &mut Vec<u8>, value: &T) {
    // Numbers and text always serialise and a Vec always takes them.
    let _ = serde_json::to_writer(json, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        application::paging::Cursor,
        domain::{Metadata, Order, PageRequest, Timestamp},
    };

    #[test]
    fn a_log_has_the_fields_of_the_contract_and_nothing_else() {
        let log = ActivityLog {
            id: Some(LogId::new(0)),
            user_id: Some("user\"1".to_owned()),
            action: Some("login".to_owned()),
            timestamp: Some(Timestamp::from_millis(1_747_830_896_789)),
            metadata: Metadata::from_canonical(r#"{"ip":"127.0.0.1"}"#),
        };
        let expected = r#"{"id":0,"userId":"user\"1","action":"login","timestamp":"2025-05-21T12:34:56.789Z","metadata":{"ip":"127.0.0.1"}}"#;
        assert_eq!(String::from_utf8(write_log(&log)).unwrap(), expected);
        let slice = LogSlice { logs: vec![log.clone(), log], more: false, cut_short: false };
        let write = |count, start| {
            let parts = PageParts { slice: &slice, count, start, limit: 10, next_cursor: "c" };
            String::from_utf8(write_page(&parts)).unwrap()
        };
        let logs = format!("\"logs\":[{expected},{expected}]");
        let page = PageStart::Number(PageRequest::new(2, 10).unwrap());
        let (total, pages) = ("\"total\":12", "\"totalPages\":2,\"totalIsExact\":true");
        assert_eq!(
            write(Some(Count::exactly(12)), page),
            format!("{{{logs},{total},\"page\":2,\"limit\":10,{pages},\"nextCursor\":\"c\"}}")
        );
        let behind = PageStart::Cursor(Cursor { place: Order::Id.start(), began: None });
        assert_eq!(write(None, behind), format!("{{{logs},\"limit\":10,\"nextCursor\":\"c\"}}"));
    }

    #[test]
    fn an_odd_log_has_gaps() {
        let log = ActivityLog { id: None, user_id: None, action: None, timestamp: None, metadata: Metadata::empty() };
        assert_eq!(
            String::from_utf8(write_log(&log)).unwrap(),
            r#"{"id":null,"userId":null,"action":null,"timestamp":null,"metadata":{}}"#
        );
    }
}
