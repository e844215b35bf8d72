//! A line of an export, read back. As lenient with values as old data needs, and strict with everything else: what is
//! not understood must not be lost without a word.

use std::{borrow::Cow, fmt};

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::domain::{Action, Event, EventId, LogId, Metadata, MetadataSeed, MetadataWriter, NewLog, Timestamp, UserId};

/// A log to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportLine {
    /// Its line in the input, from 1.
    pub number: u64,
    /// The id that it had.
    pub id: Option<LogId>,
    pub event: Event,
    /// It had no timestamp, and got the time of receiving.
    pub timed: bool,
}

const NAMES: [&str; 6] = ["id", "eventId", "userId", "action", "timestamp", "receivedAt"];
const METADATA: &str = "metadata";
const HEADER_OF_A_TABLE: &[u8] = b"id,eventId,";

/// Reads one line.
///
/// # Errors
/// What is wrong with it, for whoever has the file.
pub fn read(number: u64, line: &[u8]) -> Result<ImportLine, String> {
    if number == 1 && line.starts_with(HEADER_OF_A_TABLE) {
        return Err("it is the header of a CSV table, which is for people: import takes the format ndjson".to_owned());
    }
    let text = std::str::from_utf8(line).map_err(|_| "it is not valid UTF-8".to_owned())?;
    let fields = Fields::read(text)?;
    let [id, event_id, user_id, action, timestamp, received_at] = fields.values;
    if event_id.is_none() || received_at.is_none() {
        let problem = "it has no eventId and receivedAt: import takes the lines of an export, not those of a list";
        return Err(problem.to_owned());
    }
    let event_id = text_of("eventId", event_id)?;
    let event_id = event_id.as_deref().and_then(EventId::parse).ok_or("eventId must be a UUID")?;
    let received_at = time_of("receivedAt", received_at)?;
    let given = time_of("timestamp", timestamp)?;
    let timestamp = given.or(received_at).ok_or("it has neither timestamp nor receivedAt")?;
    let user_id = text_of("userId", user_id)?.ok_or("it has no userId")?.into_owned();
    let action = text_of("action", action)?.ok_or("it has no action")?.into_owned();
    let log = NewLog {
        user_id: UserId::parse_unbounded(user_id).map_err(|rule| format!("userId {rule}"))?,
        action: Action::parse_unbounded(action).map_err(|rule| format!("action {rule}"))?,
        timestamp,
        metadata: fields.metadata,
    };
    let event = Event { id: event_id, received_at: received_at.unwrap_or(timestamp), log };
    Ok(ImportLine { number, id: id_of(id)?, event, timed: given.is_none() })
}

/// The id in a line, as far as there is one: quick, and without looking at the rest of the line where it comes first.
pub fn id_in(line: &[u8]) -> Option<LogId> {
    let rest = line.strip_prefix(b"{\"id\":")?;
    let end = rest.iter().position(|byte| !(byte.is_ascii_digit() || *byte == b'-'))?;
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok().map(LogId::new)
}

fn id_of(raw: Option<&RawValue>) -> Result<Option<LogId>, String> {
    match given(raw) {
        None => Ok(None),
        Some(json) => json.parse().map(|id| Some(LogId::new(id))).map_err(|_| "id must be a whole number".to_owned()),
    }
}

fn time_of(name: &str, raw: Option<&RawValue>) -> Result<Option<Timestamp>, String> {
    let text = text_of(name, raw)?;
    text.map(|text| Timestamp::parse_printed(&text).map_err(|rule| format!("{name} {rule}"))).transpose()
}

fn text_of<'a>(name: &str, raw: Option<&'a RawValue>) -> Result<Option<Cow<'a, str>>, String> {
    let Some(json) = given(raw) else { return Ok(None) };
    // A borrowed text where nothing is escaped, else one of its own.
    serde_json::from_str::<&str>(json)
        .map(Cow::Borrowed)
        .or_else(|_| serde_json::from_str::<String>(json).map(Cow::Owned))
        .map(Some)
        .map_err(|_| format!("{name} must be text"))
}

fn given(raw: Option<&RawValue>) -> Option<&str> {
    raw.map(RawValue::get).filter(|json| *json != "null")
}

struct Fields<'a> {
    values: [Option<&'a RawValue>; NAMES.len()],
    metadata: Metadata,
}

impl<'a> Fields<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        let mut reader = FieldReader { metadata: MetadataWriter::with_capacity(text.len()), problem: None };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let values =
            (&mut deserializer).deserialize_map(&mut reader).and_then(|values| deserializer.end().map(|()| values));
        let FieldReader { metadata, problem } = reader;
        match values {
            Ok(values) => Ok(Self { values, metadata: metadata.finish() }),
            Err(syntax) => Err(problem
                .or_else(|| metadata.problem().map(|rule| format!("metadata {rule}")))
                .unwrap_or_else(|| format!("it is no JSON object: {syntax}"))),
        }
    }
}

struct FieldReader {
    metadata: MetadataWriter,
    problem: Option<String>,
}

impl FieldReader {
    fn refuse<E: Error>(&mut self, problem: String) -> E {
        self.problem = Some(problem);
        E::custom("not a line of an export")
    }
}

impl<'de> Visitor<'de> for &mut FieldReader {
    type Value = [Option<&'de RawValue>; NAMES.len()];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut values = [None; NAMES.len()];
        let mut has_metadata = false;
        while let Some(name) = entries.next_key::<Cow<'de, str>>()? {
            let known = NAMES.iter().position(|known| *known == name);
            let repeated = match known {
                Some(index) => values[index].replace(entries.next_value::<&RawValue>()?).is_some(),
                None if name == METADATA => {
                    let repeated = std::mem::replace(&mut has_metadata, true);
                    if !repeated {
                        entries.next_value_seed(MetadataSeed::any(&mut self.metadata))?;
                    }
                    repeated
                }
                None => return Err(self.refuse(format!("its field {name:?} is none of an export"))),
            };
            if repeated {
                return Err(self.refuse(format!("{name} stands in it twice")));
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{application::transfer::line, domain::StoredLog};

    const ID: &str = "0196f1e2-7c3a-7000-8000-000000000001";
    const GOOD: &str = r#"{"id":3,"eventId":"0196f1e2-7c3a-7000-8000-000000000001","userId":"u","action":"a","timestamp":"2025-05-21T12:34:56.789Z","metadata":{"a":1.0},"receivedAt":"2025-05-21T12:34:57.000Z"}"#;

    fn problem(line: &str) -> String {
        read(2, line.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_line_of_an_export_is_read() {
        let line = read(2, GOOD.as_bytes()).unwrap();
        assert_eq!((line.number, line.id, line.timed), (2, Some(LogId::new(3)), false));
        assert_eq!(line.event.id.to_string(), ID);
        assert_eq!(line.event.received_at.to_string(), "2025-05-21T12:34:57.000Z");
        assert_eq!(line.event.log.timestamp.to_string(), "2025-05-21T12:34:56.789Z");
        assert_eq!(line.event.log.metadata.as_str(), r#"{"a":1.0}"#);
        assert_eq!(id_in(GOOD.as_bytes()), Some(LogId::new(3)));
    }

    #[test]
    fn what_is_missing_in_old_data_is_made_up_for() {
        let line = |from: &str, to: &str| read(2, GOOD.replace(from, to).as_bytes()).unwrap();
        let untimed = line("\"2025-05-21T12:34:56.789Z\"", "null");
        assert_eq!((untimed.timed, untimed.event.log.timestamp), (true, untimed.event.received_at));
        let unreceived = line("\"2025-05-21T12:34:57.000Z\"", "null");
        assert_eq!((unreceived.timed, unreceived.event.received_at), (false, unreceived.event.log.timestamp));
        assert_eq!(line("{\"id\":3", "{\"id\":null").id, None);
        assert_eq!(line("{\"a\":1.0}", "[1]").event.log.metadata.as_str(), "[1]");
        assert_eq!(line("{\"a\":1.0}", "null").event.log.metadata, Metadata::empty());
        let long = "x".repeat(5000);
        assert_eq!(line("\"u\"", &format!("\"{long}\"")).event.log.user_id.as_str(), long);
    }

    #[test]
    fn other_lines_say_what_they_are_not() {
        for (line, part) in [
            ("", "no JSON object"),
            ("[]", "no JSON object"),
            ("{}", "not those of a list"),
            (&GOOD[..GOOD.len() - 1], "no JSON object"),
            (&format!("{GOOD}x"), "no JSON object"),
            (r#"{"id":0,"userId":"u","action":"a","timestamp":null,"metadata":{}}"#, "not those of a list"),
            (&GOOD.replace("\"id\":3", "\"id\":3.5"), "id must be a whole number"),
            (&GOOD.replace(ID, "x"), "eventId must be a UUID"),
            (&GOOD.replace("\"u\"", "null"), "it has no userId"),
            (&GOOD.replace("\"u\"", "7"), "userId must be text"),
            (&GOOD.replace("\"u\"", "\"\""), "userId must not be empty"),
            (&GOOD.replace("2025-05-21T12:34:56.789Z", "yesterday"), "timestamp must be"),
            (&GOOD.replace("\"id\":3", "\"id\":3,\"id\":3"), "id stands in it twice"),
            (&GOOD.replace("\"id\":3", "\"metadata\":1,\"id\":3"), "metadata stands in it twice"),
            (&GOOD.replace("\"id\":3", "\"__v\":0"), "\"__v\" is none of an export"),
            (&GOOD.replace("1.0", &format!("{}{}", "[".repeat(101), "]".repeat(101))), "metadata must not be nested"),
        ] {
            let problem = problem(line);
            assert!(problem.contains(part), "{line}: {problem}");
        }
        assert!(read(1, b"id,eventId,userId").unwrap_err().contains("CSV"));
        assert!(read(1, b"\xff").unwrap_err().contains("UTF-8"));
    }

    fn time() -> impl Strategy<Value = Timestamp> {
        any::<i64>().prop_map(Timestamp::from_millis)
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            id: i64, event: [u8; 16], texts in ["\\PC{1,20}", "[\\x00-\\x7f]{1,20}"], timestamp in time(), received_at in time(),
        ) {
            let [user, action] = texts;
            let metadata = Metadata::from_canonical(serde_json::json!({&user: &action}).to_string());
            prop_assume!(!user.contains('\0'));
            let event_id = EventId::from_bytes(event);
            let log = StoredLog {
                id: Some(LogId::new(id)),
                event_id,
                user_id: Some(&user),
                action: Some(&action),
                timestamp: Some(timestamp),
                received_at: Some(received_at),
                metadata: metadata.as_str(),
            };
            let mut text = Vec::new();
            line::write(&mut text, &log);
            let line = read(1, text.trim_ascii_end()).unwrap();
            prop_assert_eq!((line.id, line.event.id, line.event.received_at), (Some(LogId::new(id)), event_id, received_at));
            let NewLog { user_id, action: read_action, timestamp: read_time, metadata: read_metadata } = line.event.log;
            prop_assert_eq!((user_id.as_str(), read_action.as_str()), (user.as_str(), action.as_str()));
            prop_assert_eq!((read_time, read_metadata), (timestamp, metadata));
            prop_assert_eq!(id_in(&text), Some(LogId::new(id)));
        }

        #[test]
        fn no_line_panics(line: Vec<u8>) {
            let _ = (read(1, &line), id_in(&line));
        }
    }
}
