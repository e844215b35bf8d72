//! A log as a line of an export: all that is kept of it, in an order of fields that never changes.

use std::io::Write;

use crate::domain::{EventId, LogId, StoredLog};

/// Appends the line with its end. Metadata is JSON already and goes out as it is.
pub fn write(text: &mut Vec<u8>, stored: &StoredLog) {
    let StoredLog { event_id, received_at, log } = stored;
    text.extend_from_slice(b"{\"id\":");
    push(text, &log.id.map(LogId::get));
    text.extend_from_slice(b",\"eventId\":\"");
    text.extend_from_slice(event_id.write(&mut EventId::buffer()).as_bytes());
    text.extend_from_slice(b"\",\"userId\":");
    push(text, &log.user_id);
    text.extend_from_slice(b",\"action\":");
    push(text, &log.action);
    text.extend_from_slice(b",\"timestamp\":");
    push_time(text, log.timestamp.as_ref());
    text.extend_from_slice(b",\"metadata\":");
    text.extend_from_slice(log.metadata.as_str().as_bytes());
    text.extend_from_slice(b",\"receivedAt\":");
    push_time(text, received_at.as_ref());
    text.extend_from_slice(b"}\n");
}

fn push<T: serde::Serialize>(text: &mut Vec<u8>, value: &T) {
    // Numbers and text always serialise and a Vec always takes them.
    let _ = serde_json::to_writer(text, value);
}

fn push_time(text: &mut Vec<u8>, time: Option<&crate::domain::Timestamp>) {
    // A Vec always takes it.
    let _ = match time {
        Some(time) => write!(text, "\"{time}\""),
        None => write!(text, "null"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ActivityLog, Metadata, Timestamp};

    #[test]
    fn a_line_has_all_that_is_kept_of_a_log() {
        let log = ActivityLog {
            id: Some(LogId::new(0)),
            user_id: Some("user\"1\u{2028}".to_owned()),
            action: Some("login\n".to_owned()),
            timestamp: Some(Timestamp::from_millis(1_747_830_896_789)),
            metadata: Metadata::from_canonical(r#"{"ip":"127.0.0.1"}"#),
        };
        let event_id = EventId::from_bytes([7; 16]);
        let stored = StoredLog { event_id, received_at: Some(Timestamp::from_millis(0)), log };
        let mut text = Vec::new();
        write(&mut text, &stored);
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
        let log = ActivityLog { id: None, user_id: None, action: None, timestamp: None, metadata: Metadata::empty() };
        let mut text = Vec::new();
        write(&mut text, &StoredLog { event_id: EventId::from_bytes([0; 16]), received_at: None, log });
        let expected = concat!(
            r#"{"id":null,"eventId":"00000000-0000-0000-0000-000000000000","userId":null,"action":null,"#,
            r#""timestamp":null,"metadata":{},"receivedAt":null}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
