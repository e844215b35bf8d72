//! A log as it is served, and pages of them.

use utoipa::ToSchema;

use crate::domain::{ActivityLog, LogId, LogPage, PageRequest};

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

/// A page of logs by ascending id.
#[derive(Debug, ToSchema)]
#[schema(as = LogPage)]
#[expect(dead_code, reason = "describes the answer; it is written by write_page without a tree")]
pub struct LogPageResponse {
    logs: Vec<LogResponse>,
    /// How many logs match.
    #[schema(minimum = 0)]
    total: u64,
    #[schema(minimum = 1)]
    page: u64,
    #[schema(minimum = 1, maximum = 1000)]
    limit: u32,
    #[schema(rename = "totalPages", minimum = 0)]
    total_pages: u64,
}

/// The JSON of one log; metadata is JSON already and goes out as it is.
pub(in crate::api) fn write_log(log: &ActivityLog) -> Vec<u8> {
    let mut json = Vec::with_capacity(128 + log.metadata.as_str().len());
    push_log(&mut json, log);
    json
}

/// The JSON of a page.
pub(in crate::api) fn write_page(page: &LogPage, request: PageRequest) -> Vec<u8> {
    let mut json = Vec::with_capacity(64 + page.logs.len() * 256);
    json.extend_from_slice(b"{\"logs\":[");
    for (index, log) in page.logs.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        push_log(&mut json, log);
    }
    let (total, pages) = (page.total, request.total_pages(page.total));
    let (number, limit) = (request.page(), request.limit());
    let tail = format!("],\"total\":{total},\"page\":{number},\"limit\":{limit},\"totalPages\":{pages}}}");
    json.extend_from_slice(tail.as_bytes());
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
    use crate::domain::{Metadata, Timestamp};

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
        let page = LogPage { logs: vec![log.clone(), log], total: 12, cut_short: false };
        let text = String::from_utf8(write_page(&page, PageRequest::new(2, 10).unwrap())).unwrap();
        assert_eq!(
            text,
            format!("{{\"logs\":[{expected},{expected}],\"total\":12,\"page\":2,\"limit\":10,\"totalPages\":2}}")
        );
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
