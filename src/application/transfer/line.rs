//! A log as a line of an export: all that is kept of it, in an order of fields that never changes.

use crate::domain::{EventId, LogId, StoredLog, Timestamp};

/// Appends the line with its end. Metadata is JSON already and goes out as it is.
pub fn write(text: &mut Vec<u8>, log: &StoredLog<'_>) {
    text.extend_from_slice(b"{\"id\":");
    push(text, &log.id.map(LogId::get));
    text.extend_from_slice(b",\"eventId\":\"");
    text.extend_from_slice(log.event_id.write(&mut EventId::buffer()).as_bytes());
    text.extend_from_slice(b"\",\"userId\":");
    push(text, &log.user_id);
    text.extend_from_slice(b",\"action\":");
    push(text, &log.action);
    text.extend_from_slice(b",\"timestamp\":");
    push_time(text, log.timestamp);
    text.extend_from_slice(b",\"metadata\":");
    text.extend_from_slice(log.metadata.as_bytes());
    text.extend_from_slice(b",\"receivedAt\":");
    push_time(text, log.received_at);
    text.extend_from_slice(b"}\n");
}

fn push<T: serde::Serialize>(text: &mut Vec<u8>, value: &T) {
    // Numbers and text always serialise and a Vec always takes them.
    let _ = serde_json::to_writer(text, value);
}

fn push_time(text: &mut Vec<u8>, time: Option<Timestamp>) {
    match time {
        Some(time) => {
            text.push(b'"');
            text.extend_from_slice(time.write(&mut Timestamp::buffer()).as_bytes());
            text.push(b'"');
        }
        None => text.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_all_that_is_kept_of_a_log() {
        let log = StoredLog {
            id: Some(LogId::new(0)),
            event_id: EventId::from_bytes([7; 16]),
            user_id: Some("user\"1\u{2028}"),
            action: Some("login\n"),
            timestamp: Some(Timestamp::from_millis(1_747_830_896_789)),
            received_at: Some(Timestamp::from_millis(0)),
            metadata: r#"{"ip":"127.0.0.1"}"#,
        };
        let mut text = Vec::new();
        write(&mut text, &log);
        let expected = concat!(
            r#"{"id":0,"eventId":"07070707-0707-0707-0707-070707070707","userId":"user\"1"#,
            "\u{2028}",
            r#"","action":"login\n","timestamp":"2025-05-21T12:34:56.789Z","metadata":{"ip":"127.0.0.1"},"#,
            r#""receivedAt":"1970-01-01T00:00:00.000Z"}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn an_odd_log_has_gaps() {
        let log = StoredLog {
            id: None,
            event_id: EventId::from_bytes([0; 16]),
            user_id: None,
            action: None,
            timestamp: None,
            received_at: None,
            metadata: "{}",
        };
        let mut text = Vec::new();
        write(&mut text, &log);
        let expected = concat!(
            r#"{"id":null,"eventId":"00000000-0000-0000-0000-000000000000","userId":null,"action":null,"#,
            r#""timestamp":null,"metadata":{},"receivedAt":null}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
