//! BSON into canonical JSON text, in one walk and without a tree.
//!
//! What this service stored comes back byte for byte. Types that only others write have the form in which the old
//! service served them; what cannot be read at all is null, so that one odd value never breaks a page.

use bson::{
    RawBsonRef,
    raw::{RawBson, RawElement, RawIter},
    spec::BinarySubtype,
};
use serde::Serialize;
use uuid::Uuid;

use crate::domain::Timestamp;

/// Appends a value.
pub(super) fn append_value(json: &mut Vec<u8>, value: RawBsonRef<'_>) {
    match value {
        RawBsonRef::Document(document) => append_object(json, document.iter_elements()),
        RawBsonRef::Array(array) => append_array(json, array.iter_elements()),
        RawBsonRef::String(text) | RawBsonRef::Symbol(text) | RawBsonRef::JavaScriptCode(text) => scalar(json, text),
        RawBsonRef::Int32(number) => scalar(json, &number),
        RawBsonRef::Int64(number) => scalar(json, &number),
        // NaN and the infinities become null here.
        RawBsonRef::Double(number) => scalar(json, &number),
        RawBsonRef::Boolean(value) => scalar(json, &value),
        RawBsonRef::Null | RawBsonRef::Undefined => json.extend_from_slice(b"null"),
        foreign => append_foreign(json, foreign),
    }
}

fn scalar<T: Serialize + ?Sized>(json: &mut Vec<u8>, value: &T) {
    // Texts and numbers always serialise and a Vec always takes them.
    let _ = serde_json::to_writer(json, value);
}

fn append_object(json: &mut Vec<u8>, elements: RawIter<'_>) {
    json.push(b'{');
    // Bytes that are no BSON end the object: what stands before them is shown.
    for (index, element) in elements.map_while(Result::ok).enumerate() {
        if index > 0 {
            json.push(b',');
        }
        scalar(json, element.key().as_str());
        json.push(b':');
        append_element(json, &element);
    }
    json.push(b'}');
}

fn append_array(json: &mut Vec<u8>, elements: RawIter<'_>) {
    json.push(b'[');
    for (index, element) in elements.map_while(Result::ok).enumerate() {
        if index > 0 {
            json.push(b',');
        }
        append_element(json, &element);
    }
    json.push(b']');
}

/// Appends the value of an element, readable or not.
pub(super) fn append_element(json: &mut Vec<u8>, element: &RawElement<'_>) {
    match element.value() {
        Ok(value) => append_value(json, value),
        Err(_) => match element.value_utf8_lossy() {
            Ok(RawBson::String(text)) => scalar(json, &text),
            _ => json.extend_from_slice(b"null"),
        },
    }
}

fn append_foreign(json: &mut Vec<u8>, value: RawBsonRef<'_>) {
    match value {
        RawBsonRef::ObjectId(id) => scalar(json, &id.to_hex()),
        RawBsonRef::DateTime(at) => scalar(json, &Timestamp::from_millis(at.timestamp_millis()).to_string()),
        RawBsonRef::Binary(binary) => match (binary.subtype, <[u8; 16]>::try_from(binary.bytes)) {
            (BinarySubtype::Uuid, Ok(bytes)) => scalar(json, &Uuid::from_bytes(bytes).to_string()),
            _ => scalar(json, &base64(binary.bytes)),
        },
        RawBsonRef::Decimal128(number) => labelled(json, "$numberDecimal", &number.to_string()),
        RawBsonRef::RegularExpression(regex) => {
            scalar(json, &format!("/{}/{}", regex.pattern.as_str(), regex.options.as_str()));
        }
        RawBsonRef::Timestamp(at) => {
            labelled(json, "$timestamp", &((u64::from(at.time) << 32) | u64::from(at.increment)).to_string());
        }
        RawBsonRef::JavaScriptCodeWithScope(code) => scalar(json, code.code),
        RawBsonRef::MinKey => labelled(json, "$minKey", &1),
        RawBsonRef::MaxKey => labelled(json, "$maxKey", &1),
        // Deprecated pointers, and types that a later BSON may bring.
        _ => json.extend_from_slice(b"null"),
    }
}

fn labelled<T: Serialize>(json: &mut Vec<u8>, label: &str, value: &T) {
    json.push(b'{');
    scalar(json, label);
    json.push(b':');
    scalar(json, value);
    json.push(b'}');
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let group = (at(0) << 16) | (at(1) << 8) | at(2);
        for place in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use bson::{Binary, Bson, DateTime, Decimal128, RawDocumentBuf, Regex, doc, oid::ObjectId, raw::CString};
    use proptest::prelude::*;
    use serde::de::DeserializeSeed;
    use serde_json::Value;

    use super::*;
    use crate::{
        domain::{MetadataSeed, MetadataWriter},
        infrastructure::mongo::from_json::{append_json, close, open},
    };

    fn text_of(value: impl Into<Bson>) -> String {
        let document = RawDocumentBuf::try_from(&doc! {"v": value.into()}).unwrap();
        let mut json = Vec::new();
        append_value(&mut json, document.get("v").unwrap().unwrap());
        String::from_utf8(json).unwrap()
    }

    fn round_trip(canonical: &str) -> String {
        let mut bytes = Vec::new();
        let start = open(&mut bytes);
        bytes.extend_from_slice(b"\0v\0");
        bytes[start + 4] = append_json(&mut bytes, canonical).unwrap() as u8;
        close(&mut bytes, start).unwrap();
        let document = RawDocumentBuf::from_bytes(bytes).unwrap();
        let mut json = Vec::new();
        append_value(&mut json, document.get("v").unwrap().unwrap());
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn types_of_others_have_a_plain_form() {
        let id = ObjectId::parse_str("0196f1e27c3a700080000000").unwrap();
        let uuid = Uuid::from_bytes([7; 16]);
        let generic = |bytes: &[u8]| Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() };
        let regex = Regex { pattern: CString::try_from("a+").unwrap(), options: CString::try_from("i").unwrap() };
        for (value, text) in [
            (Bson::ObjectId(id), r#""0196f1e27c3a700080000000""#.to_owned()),
            (Bson::DateTime(DateTime::from_millis(0)), r#""1970-01-01T00:00:00.000Z""#.to_owned()),
            (Bson::Double(f64::NAN), "null".to_owned()),
            (Bson::Double(f64::NEG_INFINITY), "null".to_owned()),
            (Bson::Double(1.0), "1.0".to_owned()),
            (Bson::Undefined, "null".to_owned()),
            (Bson::Symbol("s".to_owned()), "\"s\"".to_owned()),
            (Bson::Decimal128("1.5".parse::<Decimal128>().unwrap()), r#"{"$numberDecimal":"1.5"}"#.to_owned()),
            (Bson::RegularExpression(regex), "\"/a+/i\"".to_owned()),
            (Bson::Binary(uuid.into()), format!("\"{uuid}\"")),
            (Bson::Binary(generic(b"")), "\"\"".to_owned()),
            (Bson::Binary(generic(b"f")), "\"Zg==\"".to_owned()),
            (Bson::Binary(generic(b"fo")), "\"Zm8=\"".to_owned()),
            (Bson::Binary(generic(b"foo\xff")), "\"Zm9v/w==\"".to_owned()),
            (Bson::MinKey, r#"{"$minKey":1}"#.to_owned()),
        ] {
            assert_eq!(text_of(value.clone()), text, "{value:?}");
        }
    }

    #[test]
    fn text_that_is_no_utf8_is_shown_as_well_as_can_be() {
        let mut bytes = RawDocumentBuf::try_from(&doc! {"a": {"b": "xyz"}, "c": 1}).unwrap().into_bytes();
        let at = bytes.windows(3).position(|three| three == b"xyz").unwrap();
        bytes[at] = 0xff;
        let document = RawDocumentBuf::from_bytes(bytes).unwrap();
        let mut json = Vec::new();
        append_object(&mut json, document.iter_elements());
        assert_eq!(String::from_utf8(json).unwrap(), "{\"a\":{\"b\":\"\u{fffd}yz\"},\"c\":1}");
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<i16>().prop_map(Value::from),
            any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(Value::from),
            "[\\x00-\\x7f]{0,8}|\\PC{0,8}".prop_map(Value::from),
        ];
        let name = "[^\\x00]{0,5}|\\$(oid|date|numberLong|binary)";
        leaf.prop_recursive(5, 48, 12, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..12).prop_map(Value::from),
                prop::collection::vec((name, inner), 0..6)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_back_byte_for_byte(value in json()) {
            let mut writer = MetadataWriter::default();
            let text = value.to_string();
            MetadataSeed::any(&mut writer).deserialize(&mut serde_json::Deserializer::from_str(&text)).unwrap();
            let metadata = writer.finish();
            prop_assert_eq!(round_trip(metadata.as_str()), metadata.as_str());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut framed = i32::try_from(bytes.len() + 5).unwrap().to_le_bytes().to_vec();
            framed.extend(bytes);
            framed.push(0);
            if let Ok(document) = RawDocumentBuf::from_bytes(framed) {
                append_object(&mut Vec::new(), document.iter_elements());
            }
        }
    }
}
