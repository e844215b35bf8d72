//! The four fields of a log in JSON, read in one pass. HTTP reads them strictly, the bus leniently; the rules they
//! share are here.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    InvalidTimestamp, Metadata, MetadataProblem, MetadataSeed, MetadataWriter, Moment, Timestamp, number_as_text,
};

/// Where the two readers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldRules {
    /// A client's body: metadata is an object or null, no field stands twice.
    Strict,
    /// One of a client's batch: as `Strict`, and it may carry an idempotency key.
    Item,
    /// A record of the bus: metadata is anything, of a repeated field the last counts.
    Lenient,
}

/// The fields as they stand in the JSON; unknown ones are dropped, null is absent.
#[derive(Debug)]
pub struct LogFields<'a> {
    pub user_id: Option<&'a RawValue>,
    pub action: Option<&'a RawValue>,
    pub timestamp: Option<&'a RawValue>,
    pub idempotency_key: Option<&'a RawValue>,
    pub metadata: Metadata,
}

/// Why JSON text has no readable fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldsProblem {
    /// The text says where and why.
    NotJson(String),
    NotAnObject,
    /// `[]`, which the old service took for a body without fields.
    EmptyArray,
    Repeated(String),
    Metadata(MetadataProblem),
}

/// Why a field's value is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldProblem {
    #[error("must be text, a number or a boolean")]
    NotText,
    #[error("must be valid Unicode")]
    NotUnicode,
    #[error("must be a number that a double can hold")]
    NotFinite,
}

impl<'a> LogFields<'a> {
    /// Reads one JSON value that fills the whole text.
    pub fn read(json: &'a str, rules: FieldRules) -> Result<Self, FieldsProblem> {
        let mut reader = Reader { rules, length: json.len(), writer: MetadataWriter::default(), problem: None };
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let fields = deserializer.deserialize_any(&mut reader).and_then(|fields| deserializer.end().map(|()| fields));
        match fields {
            Ok([user_id, action, timestamp, idempotency_key]) => {
                Ok(Self { user_id, action, timestamp, idempotency_key, metadata: reader.writer.finish() })
            }
            Err(syntax) => Err(reader
                .problem
                .or_else(|| reader.writer.problem().map(FieldsProblem::Metadata))
                .unwrap_or_else(|| FieldsProblem::NotJson(syntax.to_string()))),
        }
    }
}

/// The text of a field that is text, a number or a boolean (contract A1: cast as JavaScript does).
pub fn read_text(raw: &RawValue) -> Result<String, FieldProblem> {
    let json = raw.get();
    match json.as_bytes().first() {
        Some(b'"') => {
            serde_json::from_str::<Cow<'_, str>>(json).map(Cow::into_owned).map_err(|_| FieldProblem::NotUnicode)
        }
        Some(b't' | b'f') => Ok(json.to_owned()),
        Some(b'-' | b'0'..=b'9') => number_as_text(json).ok_or(FieldProblem::NotFinite),
        _ => Err(FieldProblem::NotText),
    }
}

/// The instant of a field that is a date in text or milliseconds as a number.
pub fn read_timestamp(raw: &RawValue) -> Result<Timestamp, InvalidTimestamp> {
    match raw.get().as_bytes().first() {
        Some(b'"') => {
            let text: Cow<'_, str> = serde_json::from_str(raw.get()).map_err(|_| InvalidTimestamp)?;
            Moment::parse(&text).map(|moment| moment.first)
        }
        Some(b'-' | b'0'..=b'9') => Timestamp::from_client_number(raw.get()),
        _ => Err(InvalidTimestamp),
    }
}

struct Reader {
    rules: FieldRules,
    length: usize,
    writer: MetadataWriter,
    problem: Option<FieldsProblem>,
}

impl Reader {
    fn refuse<E: serde::de::Error>(&mut self, problem: FieldsProblem) -> E {
        self.problem = Some(problem);
        E::custom("not the fields of a log")
    }
}

const NAMES: [&str; 4] = ["userId", "action", "timestamp", "idempotencyKey"];
const METADATA: &str = "metadata";

impl FieldRules {
    /// The names that are read besides metadata.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Item => &NAMES,
            Self::Strict | Self::Lenient => &NAMES[..3],
        }
    }
}

impl<'de> Visitor<'de> for &mut Reader {
    type Value = [Option<&'de RawValue>; NAMES.len()];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut fields = [None; NAMES.len()];
        let mut seen = [false; NAMES.len() + 1];
        let mut dropped = HashSet::new();
        while let Some(name) = entries.next_key::<Cow<'de, str>>()? {
            let known = self.rules.names().iter().position(|known| *known == name);
            let index = known.unwrap_or(NAMES.len());
            let of_ours = known.is_some() || name == METADATA;
            if self.rules != FieldRules::Lenient {
                let repeated =
                    if of_ours { std::mem::replace(&mut seen[index], true) } else { dropped.contains(&name) };
                if repeated {
                    return Err(self.refuse(FieldsProblem::Repeated(name.into_owned())));
                }
            }
            if !of_ours {
                entries.next_value::<IgnoredAny>()?;
                dropped.insert(name);
                continue;
            }
            if let Some(field) = fields.get_mut(index) {
                *field = Some(entries.next_value::<&RawValue>()?).filter(|raw| raw.get() != "null");
            } else {
                self.writer = MetadataWriter::with_capacity(self.length);
                entries.next_value_seed(match self.rules {
                    FieldRules::Strict | FieldRules::Item => MetadataSeed::object(&mut self.writer),
                    FieldRules::Lenient => MetadataSeed::any(&mut self.writer),
                })?;
            }
        }
        Ok(fields)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut empty = true;
        while elements.next_element::<IgnoredAny>()?.is_some() {
            empty = false;
        }
        Err(self.refuse(if empty { FieldsProblem::EmptyArray } else { FieldsProblem::NotAnObject }))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Err(self.refuse(FieldsProblem::NotAnObject))
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Self::Value, E> {
        Err(self.refuse(FieldsProblem::NotAnObject))
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Self::Value, E> {
        Err(self.refuse(FieldsProblem::NotAnObject))
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Self::Value, E> {
        Err(self.refuse(FieldsProblem::NotAnObject))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Self::Value, E> {
        Err(self.refuse(FieldsProblem::NotAnObject))
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(self.refuse(FieldsProblem::NotAnObject))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn unknown_fields_are_dropped_and_null_is_absent() {
        let json = r#"{"id":7,"userId":"u","x":[[{"action":1}]],"action":null,"metadata":null,"_id":"x"}"#;
        let fields = LogFields::read(json, FieldRules::Strict).unwrap();
        assert_eq!(fields.user_id.unwrap().get(), "\"u\"");
        assert!(fields.action.is_none() && fields.timestamp.is_none());
        assert_eq!(fields.metadata, Metadata::empty());
    }

    #[test]
    fn a_repeated_field_is_refused_or_the_last_counts() {
        let json = r#"{"userId":"a","\u0075serId":"b","metadata":{"a":1},"metadata":[2]}"#;
        assert_eq!(
            LogFields::read(json, FieldRules::Strict).unwrap_err(),
            FieldsProblem::Repeated("userId".to_owned())
        );
        let fields = LogFields::read(json, FieldRules::Lenient).unwrap();
        assert_eq!((fields.user_id.unwrap().get(), fields.metadata.as_str()), ("\"b\"", "[2]"));
        let json = r#"{"metadata":{},"metadata":{}}"#;
        assert_eq!(
            LogFields::read(json, FieldRules::Strict).unwrap_err(),
            FieldsProblem::Repeated("metadata".to_owned())
        );
        let json = r#"{"x":1,"y":2,"x":3}"#;
        assert_eq!(LogFields::read(json, FieldRules::Strict).unwrap_err(), FieldsProblem::Repeated("x".to_owned()));
        assert!(LogFields::read(json, FieldRules::Lenient).is_ok());
    }

    #[test]
    fn what_is_no_object_is_told_from_what_is_no_json() {
        let problem = |json| LogFields::read(json, FieldRules::Strict).unwrap_err();
        for json in ["1", "-1", "1.5", "\"x\"", "null", "true", "[1]"] {
            assert_eq!(problem(json), FieldsProblem::NotAnObject, "{json}");
        }
        assert_eq!(problem("[]"), FieldsProblem::EmptyArray);
        for json in ["", " ", "{", "{}x", "{\"a\"}", "{'a':1}", "nul", "[1,]", "{\"userId\":\"\\x\"}"] {
            assert!(matches!(problem(json), FieldsProblem::NotJson(_)), "{json}");
        }
        assert_eq!(problem(r#"{"metadata":[]}"#), FieldsProblem::Metadata(MetadataProblem::NotAnObject));
    }

    #[test]
    fn deep_nesting_in_dropped_fields_is_harmless() {
        let json = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let _ = LogFields::read(&json, FieldRules::Strict);
    }

    #[test]
    fn text_is_cast_as_javascript_does() {
        for (json, text) in [("\"a\\u0000b\"", "a\0b"), ("7", "7"), ("true", "true"), ("1.0", "1"), ("1e21", "1e+21")] {
            assert_eq!(read_text(&raw(json)).as_deref(), Ok(text), "{json}");
        }
        assert_eq!(read_text(&raw("{}")), Err(FieldProblem::NotText));
        assert_eq!(read_text(&raw("[1]")), Err(FieldProblem::NotText));
        assert_eq!(read_text(&raw("\"\\ud800\"")), Err(FieldProblem::NotUnicode));
    }

    #[test]
    fn timestamps_are_text_or_numbers() {
        assert_eq!(read_timestamp(&raw("0")).map(Timestamp::as_millis), Ok(0));
        assert_eq!(read_timestamp(&raw("\"1970-01-02\"")).map(Timestamp::as_millis), Ok(86_400_000));
        for bad in ["true", "{}", "\"\"", "\"7\"", "1e99"] {
            assert_eq!(read_timestamp(&raw(bad)), Err(InvalidTimestamp), "{bad}");
        }
    }
}
