//! What an answer to a POST says about each of its logs.

use uuid::Uuid;

use super::{connection::Answer, journal::Fate, schedule::Turn};

/// Why logs were refused or are unknown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    Status(u16),
    /// The connection broke, or no answer came.
    Broken,
    /// What a batch says about one of its items.
    Item(String),
    /// An answer that contradicts itself.
    Unreadable,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Broken => f.write_str("broken"),
            Self::Item(code) => f.write_str(code),
            Self::Unreadable => f.write_str("unreadable"),
        }
    }
}

/// What an answer says about all logs of its request.
pub(super) fn of_status(status: u16) -> Fate {
    match status {
        200..=299 => Fate::Acknowledged,
        // A redirection was not followed; 429 and 503 were not taken.
        300..=499 | 503 => Fate::Refused,
        _ => Fate::Unknown,
    }
}

/// The `eventId` of a 202: found without reading the rest, since this is done for every log.
pub(super) fn event_id(body: &[u8]) -> Option<Uuid> {
    const NAME: &[u8] = b"\"eventId\"";
    let at = body.windows(NAME.len()).position(|window| window == NAME)?;
    let mut rest = body[at + NAME.len()..].iter().copied().skip_while(u8::is_ascii_whitespace);
    if rest.next() != Some(b':') {
        return None;
    }
    let mut text = [0; 36];
    let mut value = rest.skip_while(u8::is_ascii_whitespace);
    if value.next() != Some(b'"') {
        return None;
    }
    for place in &mut text {
        *place = value.next()?;
    }
    Uuid::try_parse_ascii(&text).ok()
}

/// What became of one log of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ItemResult {
    pub(super) number: u64,
    pub(super) fate: Fate,
    pub(super) code: String,
    pub(super) event: Option<Uuid>,
}

/// The logs of a batch that its answer lists: at least those that were not taken. All others were taken. `None` where
/// the answer contradicts itself.
pub(super) fn of_batch(turn: Turn, answer: Answer<'_>) -> Option<Vec<ItemResult>> {
    let body: serde_json::Value = serde_json::from_slice(answer.body).ok()?;
    let mut listed = Vec::new();
    for item in body.get("results").and_then(serde_json::Value::as_array).map_or(&[][..], Vec::as_slice) {
        let index = item.get("index")?.as_u64().filter(|index| *index < u64::from(turn.count))?;
        let fate = match item.get("status")?.as_str()? {
            "accepted" => Fate::Acknowledged,
            "rejected" | "unavailable" => Fate::Refused,
            "unknown" => Fate::Unknown,
            _ => return None,
        };
        let text = |name| item.get(name).and_then(serde_json::Value::as_str);
        let event = text("eventId").and_then(|id| id.parse().ok());
        let code = text("code").unwrap_or_default().to_owned();
        listed.push(ItemResult { number: turn.first + index, fate, code, event });
    }
    let failed = listed.iter().filter(|item| item.fate != Fate::Acknowledged).count() as u64;
    let accepted = body.get("accepted")?.as_u64()?;
    (accepted + failed == u64::from(turn.count)).then_some(listed)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const ID: &str = "0196f1e2-7c3a-7000-8000-000000000001";

    #[test]
    fn the_event_id_is_found_wherever_it_stands() {
        for body in
            [format!(r#"{{"message":"m","eventId":"{ID}"}}"#), format!(r#"{{ "eventId" : "{ID}", "message": "m" }}"#)]
        {
            assert_eq!(event_id(body.as_bytes()), Some(ID.parse().unwrap()), "{body}");
        }
        for body in ["", "{}", r#"{"eventId":7}"#, r#"{"eventId":"0196"}"#, r#"{"eventId""#] {
            assert_eq!(event_id(body.as_bytes()), None, "{body}");
        }
    }

    fn batch(body: &str) -> Option<Vec<(u64, Fate)>> {
        let turn = Turn { first: 10, count: 3, intended: Instant::now() };
        let items = of_batch(turn, Answer { status: 207, body: body.as_bytes() })?;
        Some(items.into_iter().map(|item| (item.number, item.fate)).collect())
    }

    #[test]
    fn a_batch_lists_at_least_its_failures() {
        assert_eq!(batch(r#"{"accepted":3,"results":[]}"#), Some(vec![]));
        assert_eq!(batch(r#"{"accepted":3}"#), Some(vec![]));
        let mixed = r#"{"accepted":1,"results":[{"index":0,"status":"unavailable"},{"index":2,"status":"unknown"}]}"#;
        assert_eq!(batch(mixed), Some(vec![(10, Fate::Refused), (12, Fate::Unknown)]));
        let full = r#"{"accepted":3,"results":[{"index":2,"status":"accepted"}]}"#;
        assert_eq!(batch(full), Some(vec![(12, Fate::Acknowledged)]));
    }

    #[test]
    fn an_answer_that_does_not_add_up_is_no_answer() {
        for body in [
            "",
            "[]",
            r#"{"accepted":2}"#,
            r#"{"accepted":2,"results":[{"index":3,"status":"rejected"}]}"#,
            r#"{"accepted":2,"results":[{"index":0,"status":"perhaps"}]}"#,
        ] {
            assert_eq!(batch(body), None, "{body}");
        }
    }

    #[test]
    fn only_what_was_definitely_not_taken_is_refused() {
        assert_eq!([202, 200, 207].map(of_status), [Fate::Acknowledged; 3]);
        assert_eq!([400, 404, 413, 429, 503].map(of_status), [Fate::Refused; 5]);
        assert_eq!([500, 502, 504].map(of_status), [Fate::Unknown; 3]);
    }
}
