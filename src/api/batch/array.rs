//! The items of a JSON array, each still as text.

use std::fmt;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::{error::Category, value::RawValue};

use super::too_many_items;
use crate::api::{error::ApiError, error_code::ErrorCode};

/// Reads the whole text, so that a mistake in its syntax is found before anything of it is used.
pub(super) fn split(body: &[u8], most: usize) -> Result<Vec<&RawValue>, ApiError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if body.is_empty() {
        return Err(ApiError::new(ErrorCode::EmptyBatch, "the body is empty"));
    }
    let text = std::str::from_utf8(body).map_err(|error| ApiError::new(ErrorCode::InvalidJson, error.to_string()))?;
    let mut items = Items { most, found: Vec::new(), too_many: false };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = deserializer.deserialize_seq(&mut items).and_then(|()| deserializer.end());
    match read {
        _ if items.too_many => Err(too_many_items(most)),
        Err(error) if error.classify() == Category::Data => Err(ErrorCode::NotAnArray.into()),
        Err(error) => Err(ApiError::new(ErrorCode::InvalidJson, error.to_string())),
        Ok(()) if items.found.is_empty() => Err(ApiError::new(ErrorCode::EmptyBatch, "the array is empty")),
        Ok(()) => Ok(items.found),
    }
}

struct Items<'a> {
    most: usize,
    found: Vec<&'a RawValue>,
    too_many: bool,
}

impl<'de> Visitor<'de> for &mut Items<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(item) = elements.next_element::<&RawValue>()? {
            if self.found.len() == self.most {
                self.too_many = true;
                return Err(serde::de::Error::custom("too many items"));
            }
            self.found.push(item);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_split_without_being_understood() {
        let items = split(b" [ {\"a\": [1, 2]} ,7,\"x\", null ] ", 4).unwrap();
        let texts: Vec<&str> = items.iter().map(|item| item.get()).collect();
        assert_eq!(texts, ["{\"a\": [1, 2]}", "7", "\"x\"", "null"]);
    }

    #[test]
    fn what_is_no_batch_says_why() {
        let code = |body: &[u8]| split(body, 2).unwrap_err().code();
        assert_eq!(code(b""), ErrorCode::EmptyBatch);
        assert_eq!(code(b"[]"), ErrorCode::EmptyBatch);
        assert_eq!(code(b"{}"), ErrorCode::NotAnArray);
        assert_eq!(code(b"7"), ErrorCode::NotAnArray);
        assert_eq!(code(b"[1,2,3]"), ErrorCode::BatchLimit);
        for broken in [&b"[1,"[..], b"[1]x", b"x", b"[{]", b"[\"\xff\"]", b" "] {
            assert_eq!(code(broken), ErrorCode::InvalidJson, "{broken:?}");
        }
    }
}
