//! Canonical JSON text into BSON, in one walk and without a tree.
//!
//! Not through bson's own deserializer: that takes `{"$oid": …}` and its like for MongoDB's extended JSON, and in
//! metadata they are plain data (contract A1).

use std::{fmt, io::Write};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use bson::spec::ElementType;

/// Appends the value and returns its type, which stands before the name in BSON.
pub(super) fn append_json(bson: &mut Vec<u8>, json: &str) -> serde_json::Result<ElementType> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let element = ValueSeed(bson).deserialize(&mut deserializer)?;
    deserializer.end().map(|()| element)
}

/// Appends text as BSON does: its length with the closing NUL, the bytes, the NUL.
pub(super) fn append_text(bson: &mut Vec<u8>, text: &str) -> Result<(), TooLong> {
    let length = i32::try_from(text.len() + 1).map_err(|_| TooLong)?;
    bson.extend_from_slice(&length.to_le_bytes());
    bson.extend_from_slice(text.as_bytes());
    bson.push(0);
    Ok(())
}

/// Begins a document or array and returns where.
pub(super) fn open(bson: &mut Vec<u8>) -> usize {
    let start = bson.len();
    bson.extend_from_slice(&[0; 4]);
    start
}

/// Ends the document or array that began there.
pub(super) fn close(bson: &mut Vec<u8>, start: usize) -> Result<(), TooLong> {
    bson.push(0);
    let length = i32::try_from(bson.len() - start).map_err(|_| TooLong)?;
    bson[start..start + 4].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// BSON counts in 32 bits.
#[derive(Debug, thiserror::Error)]
#[error("larger than BSON can be")]
pub(super) struct TooLong;

struct ValueSeed<'a>(&'a mut Vec<u8>);

impl ValueSeed<'_> {
    fn bytes(self, element: ElementType, bytes: &[u8]) -> ElementType {
        self.0.extend_from_slice(bytes);
        element
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ElementType;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ElementType, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ElementType;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("canonical JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<ElementType, E> {
        Ok(ElementType::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<ElementType, E> {
        Ok(self.bytes(ElementType::Boolean, &[u8::from(value)]))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<ElementType, E> {
        Ok(match i32::try_from(value) {
            Ok(small) => self.bytes(ElementType::Int32, &small.to_le_bytes()),
            Err(_) => self.bytes(ElementType::Int64, &value.to_le_bytes()),
        })
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<ElementType, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => self.visit_f64(value as f64),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<ElementType, E> {
        Ok(self.bytes(ElementType::Double, &value.to_le_bytes()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<ElementType, E> {
        append_text(self.0, value).map_err(E::custom)?;
        Ok(ElementType::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<ElementType, A::Error> {
        let start = open(self.0);
        let mut index = 0;
        while elements.next_element_seed(ElementSeed { bson: self.0, index })?.is_some() {
            index += 1;
        }
        close(self.0, start).map_err(A::Error::custom)?;
        Ok(ElementType::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<ElementType, A::Error> {
        let start = open(self.0);
        while let Some(type_at) = entries.next_key_seed(NameSeed(self.0))? {
            let element = entries.next_value_seed(ValueSeed(self.0))?;
            self.0[type_at] = element as u8;
        }
        close(self.0, start).map_err(A::Error::custom)?;
        Ok(ElementType::EmbeddedDocument)
    }
}

/// An element of an array; BSON names them by their index.
struct ElementSeed<'a> {
    bson: &'a mut Vec<u8>,
    index: usize,
}

impl<'de> DeserializeSeed<'de> for ElementSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let type_at = self.bson.len();
        self.bson.push(0);
        write!(self.bson, "{}\0", self.index).map_err(D::Error::custom)?;
        let element = ValueSeed(self.bson).deserialize(deserializer)?;
        self.bson[type_at] = element as u8;
        Ok(())
    }
}

/// A name; gives the place where the type of its value belongs.
struct NameSeed<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        if name.as_bytes().contains(&0) {
            return Err(E::custom("a NUL character in a name"));
        }
        let type_at = self.0.len();
        self.0.push(0);
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(0);
        Ok(type_at)
    }
}

#[cfg(test)]
mod tests {
    use bson::{Bson, Document, doc};

    use super::*;

    fn document(json: &str) -> Document {
        let mut bytes = Vec::new();
        assert_eq!(append_json(&mut bytes, json).unwrap(), ElementType::EmbeddedDocument);
        Document::from_reader(bytes.as_slice()).unwrap()
    }

    #[test]
    fn what_looks_like_extended_json_stays_plain_data() {
        let oid = "0196f1e27c3a700080000000";
        assert_eq!(document(&format!(r#"{{"$oid":"{oid}"}}"#)), doc! {"$oid": oid});
        assert_eq!(
            document(r#"{"a":{"$date":"2025-01-01T00:00:00Z"}}"#),
            doc! {"a": {"$date": "2025-01-01T00:00:00Z"}}
        );
        assert_eq!(document(r#"{"$numberLong":"1","b.c":{"$gt":[]}}"#), doc! {"$numberLong": "1", "b.c": {"$gt": []}});
    }

    #[test]
    fn numbers_get_the_smallest_type_that_is_exact() {
        let written = document(r#"{"a":2147483647,"b":2147483648,"c":-9223372036854775808,"d":1.0,"e":0.1,"f":-0.0}"#);
        assert_eq!(written.get("a"), Some(&Bson::Int32(i32::MAX)));
        assert_eq!(written.get("b"), Some(&Bson::Int64(2_147_483_648)));
        assert_eq!(written.get("c"), Some(&Bson::Int64(i64::MIN)));
        assert_eq!(written.get("d"), Some(&Bson::Double(1.0)));
        assert_eq!(written.get("e"), Some(&Bson::Double(0.1)));
        assert!(written.get_f64("f").unwrap().is_sign_negative());
    }

    #[test]
    fn arrays_are_named_by_index_and_any_value_can_stand_alone() {
        let long: Vec<i32> = (0..120).collect();
        let json = serde_json::to_string(&long).unwrap();
        assert_eq!(document(&format!(r#"{{"a":{json}}}"#)), doc! {"a": long});
        for (json, element) in [
            ("null", ElementType::Null),
            ("true", ElementType::Boolean),
            ("\"x\"", ElementType::String),
            ("[]", ElementType::Array),
            ("1", ElementType::Int32),
        ] {
            assert_eq!(append_json(&mut Vec::new(), json).unwrap(), element);
        }
    }

    #[test]
    fn what_is_not_canonical_is_an_error() {
        for json in ["", "{", "{}x", r#"{"a\u0000":1}"#] {
            assert!(append_json(&mut Vec::new(), json).is_err(), "{json}");
        }
    }
}
