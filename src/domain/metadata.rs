//! Metadata: any JSON, kept as canonical text so that every adapter transcodes it once and nothing is lost on the way.

use std::{collections::HashMap, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;

/// How many objects and arrays may stand inside each other, the outermost being 1.
const MAX_DEPTH: usize = 100;

/// From this many names on, equal ones are looked for by hash instead of by walking the names.
const HASHED_FROM: usize = 16;
/// Most objects have no more names than this.
const FEW_NAMES: usize = 8;

/// Canonical JSON text: no blanks, names in the order they came, no name twice in an object (the last value counts,
/// at the place of the first), integers within 64 bits signed exact and larger ones as the nearest double, doubles in
/// their shortest form with `.0` kept, no NUL in a name.
#[derive(Clone, PartialEq, Eq)]
pub struct Metadata(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MetadataProblem {
    #[error("must be an object")]
    NotAnObject,
    #[error("must not be nested deeper than 100 levels")]
    TooDeep,
    #[error("must not have a NUL character in a name")]
    NulInName,
}

impl Metadata {
    /// `{}`, which is what a log without metadata has.
    pub fn empty() -> Self {
        Self("{}".into())
    }

    /// For adapters that read back what [`Metadata`] once was, or that write canonical text themselves.
    pub fn from_canonical(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Collects canonical text while a [`MetadataSeed`] walks JSON, and keeps the reason where it stops.
#[derive(Debug, Default)]
pub struct MetadataWriter {
    text: Vec<u8>,
    problem: Option<MetadataProblem>,
}

impl MetadataWriter {
    /// With room for so many bytes, which the JSON being read bounds.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { text: Vec::with_capacity(bytes), problem: None }
    }

    /// Why the walk stopped, if it did for a reason of ours and not for the JSON's syntax.
    pub fn problem(&self) -> Option<MetadataProblem> {
        self.problem
    }

    /// The metadata, once a walk has ended well. Null and nothing at all are `{}`.
    pub fn finish(self) -> Metadata {
        match String::from_utf8(self.text) {
            Ok(text) if !text.is_empty() && text != "null" => Metadata(text),
            _ => Metadata::empty(),
        }
    }

    fn write<T: serde::Serialize + ?Sized, E: serde::de::Error>(&mut self, value: &T) -> Result<(), E> {
        serde_json::to_writer(&mut self.text, value).map_err(E::custom)
    }

    fn refuse<E: serde::de::Error>(&mut self, problem: MetadataProblem) -> E {
        self.problem = Some(problem);
        E::custom(problem)
    }
}

/// Walks one JSON value into a [`MetadataWriter`].
#[derive(Debug)]
pub struct MetadataSeed<'a> {
    writer: &'a mut MetadataWriter,
    depth: usize,
    only_object: bool,
}

impl<'a> MetadataSeed<'a> {
    /// An object, or null: what a client may send.
    pub fn object(writer: &'a mut MetadataWriter) -> Self {
        Self { writer, depth: 0, only_object: true }
    }

    /// Any JSON value: what the old service may have left on the topic.
    pub fn any(writer: &'a mut MetadataWriter) -> Self {
        Self { writer, depth: 0, only_object: false }
    }

    fn inner(writer: &'a mut MetadataWriter, depth: usize) -> Self {
        Self { writer, depth, only_object: false }
    }

    fn scalar<T: serde::Serialize + ?Sized, E: serde::de::Error>(self, value: &T) -> Result<(), E> {
        if self.only_object {
            return Err(self.writer.refuse(MetadataProblem::NotAnObject));
        }
        self.writer.write(value)
    }

    fn enter<E: serde::de::Error>(&mut self) -> Result<usize, E> {
        let depth = self.depth + 1;
        if depth > MAX_DEPTH { Err(self.writer.refuse(MetadataProblem::TooDeep)) } else { Ok(depth) }
    }
}

impl<'de> DeserializeSeed<'de> for MetadataSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MetadataSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.writer.write(&())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.scalar(&value)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.scalar(&value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.scalar(&value),
            Err(_) => self.scalar(&(value as f64)),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.scalar(&value)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        if self.only_object {
            return Err(self.writer.refuse(MetadataProblem::NotAnObject));
        }
        let depth = self.enter()?;
        self.writer.text.push(b'[');
        let mut first = true;
        loop {
            let before = self.writer.text.len();
            if !first {
                self.writer.text.push(b',');
            }
            if elements.next_element_seed(MetadataSeed::inner(self.writer, depth))?.is_none() {
                self.writer.text.truncate(before);
                break;
            }
            first = false;
        }
        self.writer.text.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        let depth = self.enter()?;
        let start = self.writer.text.len();
        self.writer.text.push(b'{');
        let mut names = Names::default();
        loop {
            let entry_start = self.writer.text.len();
            if entry_start > start + 1 {
                self.writer.text.push(b',');
            }
            let name_start = self.writer.text.len();
            if entries.next_key_seed(NameSeed(self.writer))?.is_none() {
                self.writer.text.truncate(entry_start);
                break;
            }
            self.writer.text.push(b':');
            let value_start = self.writer.text.len();
            entries.next_value_seed(MetadataSeed::inner(self.writer, depth))?;
            names.add(&self.writer.text, Entry { name_start, value_start, end: self.writer.text.len() });
        }
        names.remove_repeated(&mut self.writer.text, start);
        self.writer.text.push(b'}');
        Ok(())
    }
}

struct NameSeed<'a>(&'a mut MetadataWriter);

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<(), E> {
        if name.as_bytes().contains(&0) {
            return Err(self.0.refuse(MetadataProblem::NulInName));
        }
        self.0.write(name)
    }
}

/// Where an entry of the object being written lies in the text: `"name":value`.
#[derive(Clone, Copy)]
struct Entry {
    name_start: usize,
    value_start: usize,
    end: usize,
}

impl Entry {
    fn name<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        &text[self.name_start..self.value_start]
    }

    fn value<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        &text[self.value_start..self.end]
    }
}

/// The names of the object being written; escaping is the same each time, so equal names have equal bytes.
#[derive(Default)]
struct Names {
    entries: SmallVec<[Entry; FEW_NAMES]>,
    by_name: HashMap<Box<[u8]>, usize>,
    repeated: bool,
}

impl Names {
    fn add(&mut self, text: &[u8], entry: Entry) {
        let name = entry.name(text);
        let known = if self.by_name.is_empty() {
            self.entries.iter().position(|known| known.name(text) == name)
        } else {
            self.by_name.get(name).copied()
        };
        if let Some(index) = known {
            self.repeated = true;
            self.entries[index] = entry;
            return;
        }
        self.entries.push(entry);
        if self.by_name.is_empty() && self.entries.len() == HASHED_FROM {
            for (index, entry) in self.entries.iter().enumerate() {
                self.by_name.insert(entry.name(text).into(), index);
            }
        } else if !self.by_name.is_empty() {
            self.by_name.insert(name.into(), self.entries.len() - 1);
        }
    }

    fn remove_repeated(&self, text: &mut Vec<u8>, start: usize) {
        if !self.repeated {
            return;
        }
        let mut object = vec![b'{'];
        for (index, entry) in self.entries.iter().enumerate() {
            if index > 0 {
                object.push(b',');
            }
            object.extend_from_slice(entry.name(text));
            object.extend_from_slice(entry.value(text));
        }
        text.truncate(start);
        text.append(&mut object);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn canonical(json: &str) -> Result<String, Option<MetadataProblem>> {
        let mut writer = MetadataWriter::default();
        let mut deserializer = serde_json::Deserializer::from_str(json);
        match MetadataSeed::any(&mut writer).deserialize(&mut deserializer) {
            Ok(()) => Ok(writer.finish().as_str().to_owned()),
            Err(_) => Err(writer.problem()),
        }
    }

    #[test]
    fn values_keep_what_the_contract_says() {
        for (json, text) in [
            (r#"{ "b" : 1, "a" : { } , "c":[ ] }"#, r#"{"b":1,"a":{},"c":[]}"#),
            (r#"{"$oid":"x","$date":1,"a.b":{"$gt":0}}"#, r#"{"$oid":"x","$date":1,"a.b":{"$gt":0}}"#),
            ("{\"n\":9223372036854775807}", "{\"n\":9223372036854775807}"),
            ("{\"n\":-9223372036854775808}", "{\"n\":-9223372036854775808}"),
            ("{\"n\":9223372036854775808}", "{\"n\":9.223372036854775808e18}"),
            ("{\"n\":1.0,\"m\":1e2,\"k\":0.1}", "{\"n\":1.0,\"m\":100.0,\"k\":0.1}"),
            (r#"{"s":"\u0000\u00e9\ud83d\ude00\/"}"#, "{\"s\":\"\\u0000é😀/\"}"),
            ("[1,[2,[]],null,true]", "[1,[2,[]],null,true]"),
            ("\"text\"", "\"text\""),
            ("null", "{}"),
        ] {
            let expected: String = if text.contains("9.223372036854775808e18") {
                format!("{{\"n\":{}}}", serde_json::to_string(&9_223_372_036_854_775_808_f64).unwrap())
            } else {
                text.to_owned()
            };
            assert_eq!(canonical(json), Ok(expected), "{json}");
        }
    }

    #[test]
    fn of_equal_names_the_last_counts() {
        assert_eq!(canonical(r#"{"a":1,"b":2,"a":{"c":1,"c":2}}"#).unwrap(), r#"{"a":{"c":2},"b":2}"#);
        assert_eq!(canonical(r#"{"a":1,"\u0061":[1,2]}"#).unwrap(), r#"{"a":[1,2]}"#);
        let many: String = (0..100).map(|n| format!("\"k{}\":{n},", n % 40)).collect();
        let text = canonical(&format!("{{{}}}", many.trim_end_matches(','))).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value.as_object().unwrap().len(), 40);
        assert_eq!(text.matches("\"k").count(), 40);
        assert_eq!((value["k0"].as_i64(), value["k39"].as_i64()), (Some(80), Some(79)));
    }

    #[test]
    fn depth_is_counted_with_arrays() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(canonical(&nested(100)).is_ok());
        assert_eq!(canonical(&nested(101)), Err(Some(MetadataProblem::TooDeep)));
        assert_eq!(canonical(&nested(100_000)), Err(Some(MetadataProblem::TooDeep)));
    }

    #[test]
    fn what_no_store_can_hold_is_refused() {
        assert_eq!(canonical(r#"{"a":{"b\u0000":1}}"#), Err(Some(MetadataProblem::NulInName)));
        for syntax in ["{\"a\":1e400}", "{\"a\":\"\\ud800\"}", "{\"a\":01}", "{\"a\":}", "{"] {
            assert_eq!(canonical(syntax), Err(None), "{syntax}");
        }
    }

    #[test]
    fn a_client_sends_an_object_or_null() {
        for (json, problem) in [
            ("{}", None),
            ("null", None),
            ("[]", Some(MetadataProblem::NotAnObject)),
            ("1", Some(MetadataProblem::NotAnObject)),
            ("\"x\"", Some(MetadataProblem::NotAnObject)),
        ] {
            let mut writer = MetadataWriter::default();
            let mut deserializer = serde_json::Deserializer::from_str(json);
            let _ = MetadataSeed::object(&mut writer).deserialize(&mut deserializer);
            assert_eq!(writer.problem(), problem, "{json}");
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec(("[^\\x00]{0,5}", inner), 0..6)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn canonical_text_means_the_same_and_is_stable(value in json()) {
            prop_assume!(!value.is_null());
            let text = canonical(&value.to_string()).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Value>(&text).unwrap(), &value);
            prop_assert_eq!(canonical(&text).unwrap(), text);
        }

        #[test]
        fn no_text_panics(text in "[\\[\\]{}\",:0-9a\\\\u.eE+-]{0,60}") {
            let _ = canonical(&text);
        }
    }
}
