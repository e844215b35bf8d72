//! A condition on metadata: a path into it, and the value that stands there.
//!
//! It means what the same condition means to MongoDB, so that both stores answer alike: a path goes through the elements
//! of an array as if each stood there, a number among its segments also names an element, and an array has every value
//! that one of its elements is.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use smallvec::{SmallVec, smallvec};

/// How many names a path may have.
const MAX_SEGMENTS: usize = 16;
/// How long a path and a value may be, in bytes.
const MAX_BYTES: usize = 1024;

/// `path=text`. A text that reads as a number or a boolean stands for that and for the same text; numbers compare by
/// value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataMatch {
    path: Vec<String>,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMetadataMatch {
    #[error("must name a field: names with a dot between them, at most 16, none of them empty")]
    Path,
    #[error("names a field that begins with $, which cannot be addressed")]
    Dollar,
    #[error("must not hold a NUL character")]
    Nul,
    #[error("must not be longer than 1,024 bytes")]
    TooLong,
}

/// A number as metadata holds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetadataNumber {
    Integer(i64),
    Double(f64),
}

impl MetadataMatch {
    /// The path is split at its dots, so a name that holds one cannot be addressed.
    pub fn parse(path: &str, text: &str) -> Result<Self, InvalidMetadataMatch> {
        if path.len() > MAX_BYTES || text.len() > MAX_BYTES {
            return Err(InvalidMetadataMatch::TooLong);
        }
        if path.contains('\0') {
            return Err(InvalidMetadataMatch::Nul);
        }
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        if path.len() > MAX_SEGMENTS || path.iter().any(String::is_empty) {
            return Err(InvalidMetadataMatch::Path);
        }
        if path.iter().any(|name| name.starts_with('$')) {
            return Err(InvalidMetadataMatch::Dollar);
        }
        Ok(Self { path, text: text.to_owned() })
    }

    pub fn path(&self) -> &[String] {
        &self.path
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the text is as a number, if it is one as JSON writes them.
    pub fn number(&self) -> Option<MetadataNumber> {
        let number: serde_json::Number = serde_json::from_str(&self.text).ok()?;
        match number.as_i64() {
            Some(integer) => Some(MetadataNumber::Integer(integer)),
            None => number.as_f64().map(MetadataNumber::Double),
        }
    }

    pub fn boolean(&self) -> Option<bool> {
        match self.text.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// Whether it holds for metadata in its canonical form.
    pub fn holds_for(&self, metadata: &str) -> bool {
        let wanted = Wanted { text: &self.text, number: self.number(), boolean: self.boolean() };
        let walk = Walk { path: &self.path, wanted: &wanted, places: smallvec![Place::At(0)] };
        walk.deserialize(&mut serde_json::Deserializer::from_str(metadata)).unwrap_or(false)
    }
}

impl MetadataNumber {
    /// Whether two numbers have the same value, exactly.
    fn equals(self, other: Self) -> bool {
        match (self, other) {
            (Self::Integer(one), Self::Integer(other)) => one == other,
            (Self::Double(one), Self::Double(other)) => one == other,
            (Self::Integer(integer), Self::Double(double)) | (Self::Double(double), Self::Integer(integer)) => {
                // The upper bound is 2^63 itself, which a double can be and an i64 cannot.
                let fits = double.fract() == 0.0 && double >= i64::MIN as f64 && double < -(i64::MIN as f64);
                fits && double as i64 == integer
            }
        }
    }
}

struct Wanted<'m> {
    text: &'m str,
    number: Option<MetadataNumber>,
    boolean: Option<bool>,
}

/// Where a value stands: behind so many names of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    At(usize),
    /// It is an element of the array that stands there.
    In(usize),
    /// It is the element of an array that the last name is the number of. Where the path ends there, an array stands for
    /// itself and not for its elements.
    Nth(usize),
}

/// One value may stand in several places: an element both by its number and as one of all.
struct Walk<'m> {
    path: &'m [String],
    wanted: &'m Wanted<'m>,
    places: SmallVec<[Place; 4]>,
}

impl Walk<'_> {
    fn is_at_the_end(&self) -> bool {
        self.places
            .iter()
            .any(|place| matches!(place, Place::At(at) | Place::In(at) | Place::Nth(at) if *at == self.path.len()))
    }

    fn below(&self, places: SmallVec<[Place; 4]>) -> Self {
        Self { path: self.path, wanted: self.wanted, places }
    }

    fn is(&self, number: MetadataNumber) -> bool {
        self.is_at_the_end() && self.wanted.number.is_some_and(|wanted| wanted.equals(number))
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        if self.places.is_empty() {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(|_| false);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
        Ok(self.is_at_the_end() && self.wanted.boolean == Some(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<bool, E> {
        Ok(self.is(MetadataNumber::Integer(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<bool, E> {
        Ok(self.is(i64::try_from(value).map_or(MetadataNumber::Double(value as f64), MetadataNumber::Integer)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<bool, E> {
        Ok(self.is(MetadataNumber::Double(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<bool, E> {
        Ok(self.is_at_the_end() && value == self.wanted.text)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<bool, A::Error> {
        let mut found = false;
        while let Some(name) = entries.next_key::<std::borrow::Cow<'_, str>>()? {
            let places = self.places.iter().filter_map(|place| match place {
                Place::At(at) | Place::In(at) | Place::Nth(at) => {
                    self.path.get(*at).is_some_and(|wanted| *wanted == name).then_some(Place::At(at + 1))
                }
            });
            found |= entries.next_value_seed(self.below(places.collect()))?;
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<bool, A::Error> {
        let (mut found, mut index) = (false, 0_usize);
        loop {
            let mut places = SmallVec::new();
            for place in &self.places {
                let at = match *place {
                    Place::At(at) => at,
                    Place::Nth(at) if at < self.path.len() => at,
                    // An array inside an array is not gone through, unless it is named.
                    Place::Nth(_) | Place::In(_) => continue,
                };
                places.push(Place::In(at));
                let is_named = self.path.get(at).is_some_and(|name| is_index(name, index));
                places.extend(is_named.then_some(Place::Nth(at + 1)));
            }
            let Some(here) = elements.next_element_seed(self.below(places))? else { return Ok(found) };
            found |= here;
            index += 1;
        }
    }
}

/// Whether the name is the index, as it is written without leading zeros.
fn is_index(name: &str, index: usize) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
        && (name == "0" || !name.starts_with('0'))
        && name.parse() == Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(path: &str, text: &str, metadata: &str) -> bool {
        MetadataMatch::parse(path, text).unwrap().holds_for(metadata)
    }

    #[test]
    fn a_value_is_found_where_the_path_leads() {
        let metadata = r#"{"a":{"b":"x","c":7},"d":true,"e":null,"f":2.0,"g":"7"}"#;
        for (path, text) in
            [("a.b", "x"), ("a.c", "7"), ("a.c", "7.0"), ("a.c", "70e-1"), ("d", "true"), ("f", "2"), ("g", "7")]
        {
            assert!(holds(path, text, metadata), "{path}={text}");
        }
        for (path, text) in
            [("a.b", "y"), ("a", "x"), ("b", "x"), ("a.b.c", "x"), ("e", "null"), ("g", "7.0"), ("d", "1")]
        {
            assert!(!holds(path, text, metadata), "{path}={text}");
        }
    }

    #[test]
    fn an_array_has_what_its_elements_are() {
        let metadata = r#"{"a":[1,"x",{"b":2},[3,[4,{"b":9}]]],"c":[{"d":[4,5]},{"d":6}],"0":7}"#;
        for (path, text) in [
            ("a", "1"),
            ("a", "x"),
            ("a.b", "2"),
            ("a.0", "1"),
            ("a.2.b", "2"),
            ("c.d", "5"),
            ("c.d", "6"),
            ("c.0.d", "4"),
            ("c.d.1", "5"),
            ("a.3.0", "3"),
            ("a.3.1.b", "9"),
            ("0", "7"),
        ] {
            assert!(holds(path, text, metadata), "{path}={text}");
        }
        for (path, text) in [
            ("a", "3"),
            ("a.3", "3"),
            ("a.3.1", "4"),
            ("a.3.b", "9"),
            ("a.1", "1"),
            ("c.1.d", "4"),
            ("a.00", "1"),
            ("c.d", "7"),
        ] {
            assert!(!holds(path, text, metadata), "{path}={text}");
        }
    }

    #[test]
    fn numbers_compare_by_value_and_exactly() {
        assert!(holds("a", "9007199254740993", r#"{"a":9007199254740993}"#));
        assert!(!holds("a", "9007199254740992", r#"{"a":9007199254740993}"#));
        assert!(holds("a", "-0", r#"{"a":0}"#) && holds("a", "0", r#"{"a":-0.0}"#));
        assert!(holds("a", "1e300", r#"{"a":1e300}"#));
        assert!(!holds("a", "9223372036854775807", r#"{"a":9.223372036854775807e18}"#));
        assert!(holds("a", "9223372036854775808", r#"{"a":9223372036854775808.0}"#));
    }

    #[test]
    fn what_cannot_be_addressed_is_refused() {
        for path in ["", ".", "a.", ".a", "a..b"] {
            assert_eq!(MetadataMatch::parse(path, "x"), Err(InvalidMetadataMatch::Path), "{path}");
        }
        assert_eq!(MetadataMatch::parse("a.$b", "x"), Err(InvalidMetadataMatch::Dollar));
        assert_eq!(MetadataMatch::parse("a\0", "x"), Err(InvalidMetadataMatch::Nul));
        assert_eq!(MetadataMatch::parse("a", &"x".repeat(1025)), Err(InvalidMetadataMatch::TooLong));
        assert_eq!(MetadataMatch::parse(&["a"; 17].join("."), "x"), Err(InvalidMetadataMatch::Path));
    }
}
