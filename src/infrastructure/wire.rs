//! The wire record: an event as it lies on the bus, written for the old service's consumer to read and read as
//! leniently as that consumer did (contract A3).

use std::{borrow::Cow, io::Write};

use jiff::fmt::{rfc2822, strtime};

use crate::domain::{
    Action, Event, EventId, FieldRules, FieldsProblem, InvalidTimestamp, LogFields, MetadataProblem, NewLog, Timestamp,
    UserId,
    ports::{DeadLetterReason, Malformed, Position, RawRecord},
    read_text, read_timestamp,
};

pub const HEADER_VERSION: &str = "v";
pub const HEADER_EVENT_ID: &str = "event-id";
pub const HEADER_RECEIVED_AT: &str = "received-at";
/// The version this service writes, and the only one it reads.
pub const VERSION: &str = "1";

/// The value of a record: the old service's JSON, always with a timestamp.
pub fn encode_value(log: &NewLog) -> Vec<u8> {
    let text = log.user_id.as_str().len() + log.action.as_str().len() + log.metadata.as_str().len();
    let mut value = Vec::with_capacity(96 + text);
    write_value(&mut value, log);
    value
}

/// Appends the value of a record.
pub fn write_value(value: &mut Vec<u8>, log: &NewLog) {
    value.extend_from_slice(b"{\"userId\":");
    push_json_text(value, log.user_id.as_str());
    value.extend_from_slice(b",\"action\":");
    push_json_text(value, log.action.as_str());
    value.extend_from_slice(b",\"timestamp\":\"");
    // A Vec always takes it.
    let _ = write!(value, "{}", log.timestamp);
    value.extend_from_slice(b"\",\"metadata\":");
    value.extend_from_slice(log.metadata.as_str().as_bytes());
    value.push(b'}');
}

fn push_json_text(value: &mut Vec<u8>, text: &str) {
    // Text always serialises and a Vec always takes it.
    let _ = serde_json::to_writer(value, text);
}

/// Reads a record. What it cannot read is data: the reason under which it is dead-lettered.
pub fn decode(record: &RawRecord, position: &Position, timestamp: Timestamp) -> Result<Event, Malformed> {
    let value = record.value.as_deref().unwrap_or_default();
    let own_id = single_header(record, HEADER_EVENT_ID).and_then(EventId::parse);
    let id = own_id.unwrap_or_else(|| {
        EventId::for_position(&position.topic, position.partition, position.offset, timestamp, value)
    });
    let malformed = |reason| Malformed { event_id: id, reason };
    let known_version = single_header(record, HEADER_VERSION).is_none_or(|version| version == VERSION);
    if own_id.is_some() && !known_version {
        return Err(malformed(DeadLetterReason::UnknownVersion));
    }
    let received_at = own_id
        .and_then(|_| single_header(record, HEADER_RECEIVED_AT)?.parse().ok())
        .and_then(|millis| Timestamp::from_client_millis(millis).ok())
        .unwrap_or(timestamp);
    let log = decode_value(value, timestamp).map_err(malformed)?;
    Ok(Event { id, received_at, log })
}

/// Reads a value whose identity is known from elsewhere.
pub fn decode_known(id: EventId, received_at: Timestamp, value: &[u8]) -> Result<Event, Malformed> {
    let log = decode_value(value, received_at).map_err(|reason| Malformed { event_id: id, reason })?;
    Ok(Event { id, received_at, log })
}

/// A header's text; one that is given twice counts as absent (contract C8).
fn single_header<'r>(record: &'r RawRecord, name: &str) -> Option<&'r str> {
    let mut values = record.headers.iter().filter(|(key, _)| *key == name).map(|(_, value)| value);
    let value = values.next()??;
    if values.next().is_some() { None } else { std::str::from_utf8(value).ok() }
}

fn decode_value(value: &[u8], record_time: Timestamp) -> Result<NewLog, DeadLetterReason> {
    if value.is_empty() {
        return Err(DeadLetterReason::EmptyValue);
    }
    // As the old consumer did: invalid UTF-8 becomes U+FFFD.
    let json: Cow<'_, str> = String::from_utf8_lossy(value);
    let fields = LogFields::read(&json, FieldRules::Lenient).map_err(|problem| match problem {
        FieldsProblem::NotJson(_) | FieldsProblem::Repeated(_) => DeadLetterReason::NotJson,
        FieldsProblem::NotAnObject | FieldsProblem::EmptyArray => DeadLetterReason::NotAnObject,
        FieldsProblem::Metadata(MetadataProblem::NotAnObject) => DeadLetterReason::NotJson,
        FieldsProblem::Metadata(MetadataProblem::TooDeep) => DeadLetterReason::MetadataTooDeep,
        FieldsProblem::Metadata(MetadataProblem::NulInName) => DeadLetterReason::NulInName,
    })?;
    let user_id = fields.user_id.ok_or(DeadLetterReason::MissingUserId)?;
    let action = fields.action.ok_or(DeadLetterReason::MissingAction)?;
    let user_id = read_text(user_id).map_err(|_| DeadLetterReason::InvalidUserId)?;
    let action = read_text(action).map_err(|_| DeadLetterReason::InvalidAction)?;
    let timestamp = match fields.timestamp {
        None => record_time,
        Some(raw) => read_timestamp(raw)
            .or_else(|_| read_written_date(raw.get()))
            .map_err(|_| DeadLetterReason::InvalidTimestamp)?,
    };
    Ok(NewLog {
        user_id: UserId::parse_unbounded(user_id).map_err(|_| DeadLetterReason::InvalidUserId)?,
        action: Action::parse_unbounded(action).map_err(|_| DeadLetterReason::InvalidAction)?,
        timestamp,
        metadata: fields.metadata,
    })
}

/// The two forms that JavaScript's Date prints besides ISO 8601: RFC 2822 and `May 21, 2025 12:34:56 GMT`.
fn read_written_date(json: &str) -> Result<Timestamp, InvalidTimestamp> {
    let text: Cow<'_, str> = serde_json::from_str(json).map_err(|_| InvalidTimestamp)?;
    let millis = rfc2822::parse(&text)
        .map(|zoned| zoned.timestamp())
        .or_else(|_| {
            strtime::parse("%B %d, %Y %H:%M:%S GMT", text.as_ref())
                .and_then(|date| date.to_datetime()?.to_zoned(jiff::tz::TimeZone::UTC))
                .map(|zoned| zoned.timestamp())
        })
        .map_err(|_| InvalidTimestamp)?
        .as_millisecond();
    Timestamp::from_client_millis(millis)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Metadata;

    const RECORD_TIME: Timestamp = Timestamp::from_millis(1_747_830_896_789);

    fn position() -> Position {
        Position { topic: "t".into(), partition: 1, offset: 7 }
    }

    fn record(value: &[u8], headers: &[(&str, &str)]) -> RawRecord {
        let headers = headers.iter().map(|(name, text)| (*name, Some(text.as_bytes()))).collect();
        RawRecord { key: None, value: Some(value.to_vec()), headers }
    }

    fn decoded(value: &str) -> Result<Event, DeadLetterReason> {
        decode(&record(value.as_bytes(), &[]), &position(), RECORD_TIME).map_err(|malformed| malformed.reason)
    }

    #[test]
    fn messages_of_the_old_service_are_read() {
        let event = decoded(r#"{"userId":"user1","action":"login","metadata":{"ip":"127.0.0.1"}}"#).unwrap();
        assert_eq!((event.log.timestamp, event.received_at), (RECORD_TIME, RECORD_TIME));
        assert_eq!(event.id.as_uuid().get_version_num(), 8);
        let event = decoded(r#"{"userId":7,"action":true,"timestamp":null,"metadata":[1,"x"],"_id":"evil"}"#).unwrap();
        assert_eq!((event.log.user_id.as_str(), event.log.action.as_str()), ("7", "true"));
        assert_eq!(event.log.metadata.as_str(), r#"[1,"x"]"#);
        let long = "x".repeat(5000);
        assert!(decoded(&format!(r#"{{"userId":"{long}","action":"a"}}"#)).is_ok());
    }

    #[test]
    fn dates_have_the_forms_of_the_old_service() {
        for date in [
            "\"2025-05-21T12:34:56Z\"",
            "\"Wed, 21 May 2025 12:34:56 GMT\"",
            "\"21 May 2025 14:34:56 +0200\"",
            "\"May 21, 2025 12:34:56 GMT\"",
            "1747830896000",
            "\"1747830896000\"",
        ] {
            let event = decoded(&format!(r#"{{"userId":"u","action":"a","timestamp":{date}}}"#))
                .unwrap_or_else(|reason| panic!("{date}: {reason:?}"));
            assert_eq!(event.log.timestamp.to_string(), "2025-05-21T12:34:56.000Z", "{date}");
        }
    }

    #[test]
    fn what_is_no_log_says_why() {
        use DeadLetterReason::*;
        let deep = format!(r#"{{"userId":"u","action":"a","metadata":{}{}}}"#, "[".repeat(101), "]".repeat(101));
        for (value, reason) in [
            ("", EmptyValue),
            ("not json", NotJson),
            ("[1]", NotAnObject),
            ("[]", NotAnObject),
            ("7", NotAnObject),
            ("{}", MissingUserId),
            (r#"{"userId":"u"}"#, MissingAction),
            (r#"{"userId":{},"action":"a"}"#, InvalidUserId),
            (r#"{"userId":"","action":"a"}"#, InvalidUserId),
            (r#"{"userId":"u","action":["a"]}"#, InvalidAction),
            (r#"{"userId":"u","action":"a","timestamp":"yesterday"}"#, InvalidTimestamp),
            (r#"{"userId":"u","action":"a","timestamp":"2025-02-30"}"#, InvalidTimestamp),
            (r#"{"userId":"u","action":"a","metadata":{"\u0000":1}}"#, NulInName),
            (r#"{"userId":"u","action":"a","metadata":"\ud800"}"#, NotJson),
            (&deep, MetadataTooDeep),
        ] {
            assert_eq!(decoded(value).map(|event| event.log), Err(reason), "{value}");
        }
        let null = RawRecord::default();
        assert_eq!(decode(&null, &position(), RECORD_TIME).unwrap_err().reason, EmptyValue);
    }

    #[test]
    fn headers_carry_the_identity_only_when_they_make_sense() {
        const ID: &str = "0196f1e2-7c3a-7000-8000-000000000001";
        let value = br#"{"userId":"u","action":"a"}"#;
        let read = |headers: &[(&str, &str)]| decode(&record(value, headers), &position(), RECORD_TIME);
        let derived = read(&[]).unwrap().id;
        let event = read(&[("v", "1"), ("event-id", ID), ("received-at", "5")]).unwrap();
        assert_eq!((event.id.to_string().as_str(), event.received_at.as_millis()), (ID, 5));
        assert_eq!(read(&[("event-id", "x")]).unwrap().id, derived);
        assert_eq!(read(&[("event-id", ID), ("event-id", ID)]).unwrap().id, derived);
        assert_eq!(read(&[("received-at", "5")]).unwrap().received_at, RECORD_TIME);
        let absurd = read(&[("event-id", ID), ("received-at", "999999999999999999")]).unwrap();
        assert_eq!(absurd.received_at, RECORD_TIME);
        assert_eq!(read(&[("v", "9")]).unwrap().id, derived);
        let malformed = read(&[("v", "9"), ("event-id", ID)]).unwrap_err();
        assert_eq!((malformed.reason, malformed.event_id.to_string().as_str()), (DeadLetterReason::UnknownVersion, ID));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(user in "\\PC{1,20}", action in "[\\x00-\\x7f]{1,20}", millis in 0i64..4_102_444_800_000) {
            let log = NewLog {
                user_id: UserId::parse(user).unwrap(),
                action: Action::parse(action).unwrap(),
                timestamp: Timestamp::from_millis(millis),
                metadata: Metadata::from_canonical(r#"{"a":[1,2.0,{"$oid":"x"}]}"#),
            };
            let read = decode_value(&encode_value(&log), RECORD_TIME).unwrap();
            prop_assert_eq!(read, log);
        }

        #[test]
        fn no_bytes_panic(value in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode_value(&value, RECORD_TIME);
        }
    }
}
