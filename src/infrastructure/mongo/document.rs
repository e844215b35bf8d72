//! The stored log: what this service writes, and how it reads that and whatever others wrote (contract A2).

use std::borrow::Cow;

use bson::{
    Binary, RawBsonRef, RawDocument, RawDocumentBuf,
    raw::{RawElement, cstr},
    spec::{BinarySubtype, ElementType},
};

use super::{
    from_json::{append_json, append_text, close, open},
    to_json::append_element,
};
use crate::domain::{
    ActivityLog, EventId, LogId, Metadata, Moment, NumberedEvent, PartBuilder, StoredLog, Timestamp, number_as_text,
};

/// The server's limit; a larger document would fail the command it is in, and all others with it.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The `_id` of an event: Binary, subtype 4.
pub(super) fn key(id: EventId) -> Binary {
    Binary { subtype: BinarySubtype::Uuid, bytes: id.as_bytes().to_vec() }
}

/// The event whose `_id` this is; `None` for the documents of others.
pub(super) fn event_id(key: RawBsonRef<'_>) -> Option<EventId> {
    let binary = key.as_binary().filter(|binary| binary.subtype == BinarySubtype::Uuid)?;
    binary.bytes.try_into().ok().map(EventId::from_bytes)
}

/// The document of a log, or why there can be none.
pub(super) fn encode(numbered: &NumberedEvent) -> Result<RawDocumentBuf, String> {
    let log = &numbered.event.log;
    let size = 160 + log.user_id.as_str().len() + log.action.as_str().len() + log.metadata.as_str().len();
    let mut bson = Vec::with_capacity(size);
    write(&mut bson, numbered).map_err(|error| error.to_string())?;
    if bson.len() > MAX_BYTES {
        return Err(format!("a document of {} bytes, the limit is {MAX_BYTES}", bson.len()));
    }
    RawDocumentBuf::from_bytes(bson).map_err(|error| error.to_string())
}

fn write(bson: &mut Vec<u8>, numbered: &NumberedEvent) -> Result<(), Box<dyn std::error::Error>> {
    let NumberedEvent { id, offset: _, event } = numbered;
    let start = open(bson);
    begin(bson, ElementType::Binary, "_id");
    bson.extend_from_slice(&16_i32.to_le_bytes());
    bson.push(u8::from(BinarySubtype::Uuid));
    bson.extend_from_slice(event.id.as_bytes());
    begin(bson, ElementType::Int64, "id");
    bson.extend_from_slice(&id.get().to_le_bytes());
    begin(bson, ElementType::String, "userId");
    append_text(bson, event.log.user_id.as_str())?;
    begin(bson, ElementType::String, "action");
    append_text(bson, event.log.action.as_str())?;
    begin(bson, ElementType::DateTime, "timestamp");
    bson.extend_from_slice(&event.log.timestamp.as_millis().to_le_bytes());
    let type_at = begin(bson, ElementType::Null, "metadata");
    bson[type_at] = append_json(bson, event.log.metadata.as_str())? as u8;
    begin(bson, ElementType::DateTime, "receivedAt");
    bson.extend_from_slice(&event.received_at.as_millis().to_le_bytes());
    Ok(close(bson, start)?)
}

/// Begins an element and returns where its type stands.
fn begin(bson: &mut Vec<u8>, element: ElementType, name: &str) -> usize {
    let type_at = bson.len();
    bson.push(element as u8);
    bson.extend_from_slice(name.as_bytes());
    bson.push(0);
    type_at
}

/// Reads a document, also an odd one: what makes no sense is left out.
pub(super) fn decode(document: &RawDocument) -> ActivityLog {
    let mut log = ActivityLog { id: None, user_id: None, action: None, timestamp: None, metadata: Metadata::empty() };
    for element in document.iter_elements().map_while(Result::ok) {
        match element.key().as_str() {
            "id" => log.id = id(&element),
            "userId" => log.user_id = text(&element).map(Cow::into_owned),
            "action" => log.action = text(&element).map(Cow::into_owned),
            "timestamp" => log.timestamp = time(&element),
            "metadata" => {
                let mut json = Vec::new();
                append_element(&mut json, &element);
                log.metadata = match String::from_utf8(json) {
                    Ok(json) if json != "null" => Metadata::from_canonical(json),
                    _ => Metadata::empty(),
                };
            }
            _ => {}
        }
    }
    log
}

/// Reads a document with its key and the time of receiving. The time at which an ObjectId was made, which the old service
/// did when it stored a log, stands for a time that is missing. `json` is room that is used again.
pub(super) fn push_stored(part: &mut PartBuilder, document: &RawDocument, json: &mut Vec<u8>) {
    let (mut event_id, mut number, mut made_at) = (None, None, None);
    let (mut user_id, mut action, mut timestamp, mut received_at) = (None, None, None, None);
    json.clear();
    for element in document.iter_elements().map_while(Result::ok) {
        match element.key().as_str() {
            "_id" => {
                let key = element.value().ok();
                event_id = key.map(event_id_of_any);
                made_at = match key {
                    Some(RawBsonRef::ObjectId(id)) => Some(Timestamp::from_millis(id.timestamp().timestamp_millis())),
                    _ => None,
                };
            }
            "id" => number = id(&element),
            "userId" => user_id = text(&element),
            "action" => action = text(&element),
            "timestamp" => timestamp = time(&element),
            "metadata" => {
                json.clear();
                append_element(json, &element);
            }
            "receivedAt" => received_at = time(&element),
            _ => {}
        }
    }
    part.push(&StoredLog {
        id: number,
        event_id: event_id.unwrap_or_else(|| EventId::for_foreign_key(0, &[])),
        user_id: user_id.as_deref(),
        action: action.as_deref(),
        timestamp,
        received_at: received_at.or(made_at),
        metadata: str::from_utf8(json).ok().filter(|json| !["", "null"].contains(json)).unwrap_or("{}"),
    });
}

/// The event of a document: its key where that is one, else derived from it.
pub(super) fn event_id_of_any(key: RawBsonRef<'_>) -> EventId {
    let kind = key.element_type() as u8;
    event_id(key).unwrap_or_else(|| match key.as_object_id() {
        Some(id) => EventId::for_foreign_key(kind, &id.bytes()),
        None => EventId::for_foreign_key(kind, value_bytes(key).as_bytes()),
    })
}

/// The value alone in a document, under an empty name.
pub(super) fn value_bytes(value: RawBsonRef<'_>) -> RawDocumentBuf {
    let mut document = RawDocumentBuf::new();
    // An empty name always fits.
    document.append(cstr!(""), value);
    document
}

/// The whole number that is its id.
pub(super) fn log_id(document: &RawDocument) -> Option<LogId> {
    document.get("id").ok().flatten().and_then(integer).map(LogId::new)
}

fn id(element: &RawElement<'_>) -> Option<LogId> {
    element.value().ok().and_then(integer).map(LogId::new)
}

fn time(element: &RawElement<'_>) -> Option<Timestamp> {
    element.value().ok().and_then(timestamp)
}

/// A whole number in any of the types that JavaScript's driver may have chosen for it.
pub(super) fn integer(value: RawBsonRef<'_>) -> Option<i64> {
    match value {
        RawBsonRef::Int32(number) => Some(i64::from(number)),
        RawBsonRef::Int64(number) => Some(number),
        // The upper bound is 2^63 itself, which a double can be and an i64 cannot.
        RawBsonRef::Double(number) => {
            let fits = number.fract() == 0.0 && number >= i64::MIN as f64 && number < -(i64::MIN as f64);
            fits.then_some(number as i64)
        }
        RawBsonRef::String(text) => text.parse().ok(),
        RawBsonRef::Decimal128(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

/// The whole number at or below a number.
pub(super) fn floor(value: RawBsonRef<'_>) -> Option<i64> {
    match value {
        RawBsonRef::Double(number) => integer(RawBsonRef::Double(number.floor())),
        RawBsonRef::Decimal128(number) => {
            let text = number.to_string();
            text.parse().ok().or_else(|| integer(RawBsonRef::Double(text.parse::<f64>().ok()?.floor())))
        }
        value => integer(value),
    }
}

/// Text as the old service's schema cast it.
fn text<'a>(element: &RawElement<'a>) -> Option<Cow<'a, str>> {
    let cast = match element.value().ok()? {
        RawBsonRef::String(text) | RawBsonRef::Symbol(text) => return Some(text.into()),
        RawBsonRef::Int32(number) => number.to_string(),
        RawBsonRef::Int64(number) => number.to_string(),
        RawBsonRef::Double(number) => number_as_text(&format!("{number:e}"))?,
        RawBsonRef::Boolean(value) => value.to_string(),
        RawBsonRef::ObjectId(id) => id.to_hex(),
        RawBsonRef::Decimal128(number) => number.to_string(),
        RawBsonRef::DateTime(at) => Timestamp::from_millis(at.timestamp_millis()).to_string(),
        _ => return None,
    };
    Some(cast.into())
}

fn timestamp(value: RawBsonRef<'_>) -> Option<Timestamp> {
    match value {
        RawBsonRef::DateTime(at) => Some(Timestamp::from_millis(at.timestamp_millis())),
        RawBsonRef::String(text) => Moment::parse(text).ok().map(|moment| moment.first),
        RawBsonRef::Int32(_) | RawBsonRef::Int64(_) | RawBsonRef::Double(_) => {
            integer(value).map(Timestamp::from_millis)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bson::{Bson, DateTime, Decimal128, Document, doc, oid::ObjectId};

    use super::*;
    use crate::domain::{Action, Event, NewLog, UserId};

    fn numbered(metadata: &str) -> NumberedEvent {
        NumberedEvent {
            id: LogId::new(7),
            offset: 3,
            event: Event {
                id: EventId::from_bytes([9; 16]),
                received_at: Timestamp::from_millis(5),
                log: NewLog {
                    user_id: UserId::parse("u\u{0}ü".to_owned()).unwrap(),
                    action: Action::parse("login".to_owned()).unwrap(),
                    timestamp: Timestamp::from_millis(1_747_830_896_789),
                    metadata: Metadata::from_canonical(metadata),
                },
            },
        }
    }

    fn read(document: &Document) -> ActivityLog {
        decode(&RawDocumentBuf::try_from(document).unwrap())
    }

    #[test]
    fn the_document_is_the_one_of_the_design() {
        let document = encode(&numbered(r#"{"ip":"127.0.0.1"}"#)).unwrap();
        let expected = doc! {
            "_id": Binary { subtype: BinarySubtype::Uuid, bytes: vec![9; 16] },
            "id": 7_i64,
            "userId": "u\u{0}ü",
            "action": "login",
            "timestamp": DateTime::from_millis(1_747_830_896_789),
            "metadata": {"ip": "127.0.0.1"},
            "receivedAt": DateTime::from_millis(5),
        };
        assert_eq!(Document::try_from(&*document).unwrap(), expected);
        assert_eq!(event_id(document.get("_id").unwrap().unwrap()), Some(EventId::from_bytes([9; 16])));
    }

    #[test]
    fn what_is_written_reads_back() {
        for metadata in ["{}", r#"{"a":[1,2.0,{"$oid":"x"}],"":null}"#, "[1]", "\"text\"", "1.0"] {
            let numbered = numbered(metadata);
            let log = decode(&encode(&numbered).unwrap());
            let new = numbered.event.log;
            assert_eq!(log.id, Some(numbered.id));
            assert_eq!(log.user_id.as_deref(), Some(new.user_id.as_str()));
            assert_eq!(log.action.as_deref(), Some(new.action.as_str()));
            assert_eq!(log.timestamp, Some(new.timestamp));
            assert_eq!(log.metadata, new.metadata);
        }
    }

    #[test]
    fn what_cannot_be_a_document_says_why() {
        let large = format!("\"{}\"", "x".repeat(MAX_BYTES));
        assert!(encode(&numbered(&large)).unwrap_err().contains("the limit is 16777216"));
        assert!(encode(&numbered("not json")).is_err());
    }

    #[test]
    fn documents_of_the_old_service_are_read() {
        let log = read(&doc! {
            "_id": ObjectId::new(), "id": 3, "userId": "user1", "action": "login",
            "timestamp": DateTime::from_millis(0), "metadata": {"a": 1_i64}, "__v": 0,
        });
        assert_eq!((log.id, log.user_id.as_deref()), (Some(LogId::new(3)), Some("user1")));
        assert_eq!((log.timestamp, log.metadata.as_str()), (Some(Timestamp::from_millis(0)), r#"{"a":1}"#));
        for missing in [doc! {}, doc! {"timestamp": Bson::Null, "metadata": Bson::Null}] {
            let log = read(&missing);
            assert_eq!((log.id, log.timestamp, log.metadata.as_str()), (None, None, "{}"));
        }
    }

    #[test]
    fn ids_of_any_type_are_numbers_or_nothing() {
        for (id, expected) in [
            (Bson::Int32(-1), Some(-1)),
            (Bson::Int64(i64::MAX), Some(i64::MAX)),
            (Bson::Double(5.0), Some(5)),
            (Bson::Double(-0.0), Some(0)),
            (Bson::Double(5.5), None),
            (Bson::Double(f64::NAN), None),
            (Bson::Double(f64::INFINITY), None),
            (Bson::Double(9.3e18), None),
            (Bson::from("12"), Some(12)),
            (Bson::from("x"), None),
            (Bson::Decimal128("12".parse::<Decimal128>().unwrap()), Some(12)),
            (Bson::Null, None),
            (Bson::from(doc! {}), None),
        ] {
            assert_eq!(read(&doc! {"id": id.clone()}).id, expected.map(LogId::new), "{id:?}");
        }
    }

    #[test]
    fn texts_and_times_of_other_types_are_cast_or_left_out() {
        for (value, expected) in [
            (Bson::Int32(7), Some("7")),
            (Bson::Double(1.0), Some("1")),
            (Bson::Double(1e21), Some("1e+21")),
            (Bson::Boolean(true), Some("true")),
            (Bson::Null, None),
            (Bson::from(doc! {"a": 1}), None),
        ] {
            assert_eq!(read(&doc! {"userId": value.clone()}).user_id.as_deref(), expected, "{value:?}");
        }
        for (value, millis) in [
            (Bson::Int64(5), Some(5)),
            (Bson::Double(5.0), Some(5)),
            (Bson::from("1970-01-01T00:00:00.005Z"), Some(5)),
            (Bson::from("never"), None),
            (Bson::Boolean(true), None),
        ] {
            assert_eq!(
                read(&doc! {"timestamp": value.clone()}).timestamp.map(Timestamp::as_millis),
                millis,
                "{value:?}"
            );
        }
    }
}
