//! A path into metadata, and the values that stand there.
//!
//! It leads where the same path leads in MongoDB, so that both stores answer alike: through the elements of an array as
//! if each stood there, and a number among its segments also names an element. An array has every value that one of its
//! elements is.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use smallvec::{SmallVec, smallvec};

/// How many names a path may have.
const MAX_SEGMENTS: usize = 16;
/// How long a path may be, in bytes.
const MAX_BYTES: usize = 1024;

/// Names with a dot between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataPath(Vec<String>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMetadataPath {
    #[error("must name a field: names with a dot between them, at most 16, none of them empty")]
    Names,
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

/// What can be compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetadataValue<'m> {
    Text(&'m str),
    Number(MetadataNumber),
    Bool(bool),
}

impl MetadataPath {
    /// A name that holds a dot cannot be addressed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidMetadataPath> {
        if text.len() > MAX_BYTES {
            return Err(InvalidMetadataPath::TooLong);
        }
        if text.contains('\0') {
            return Err(InvalidMetadataPath::Nul);
        }
        let names: Vec<String> = text.split('.').map(str::to_owned).collect();
        if names.len() > MAX_SEGMENTS || names.iter().any(String::is_empty) {
            return Err(InvalidMetadataPath::Names);
        }
        if names.iter().any(|name| name.starts_with('$')) {
            return Err(InvalidMetadataPath::Dollar);
        }
        Ok(Self(names))
    }

    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// The values that stand there in metadata in its canonical form. Whether it could be read to its end.
    pub fn each_value(&self, metadata: &str, mut found: impl FnMut(MetadataValue<'_>)) -> bool {
        let walk = Walk { path: &self.0, found: &mut found, places: smallvec![Place::At(0)] };
        walk.deserialize(&mut serde_json::Deserializer::from_str(metadata)).is_ok()
    }
}

impl fmt::Display for MetadataPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl MetadataNumber {
    /// As JSON writes them.
    pub fn parse(text: &str) -> Option<Self> {
        let number: serde_json::Number = serde_json::from_str(text).ok()?;
        match number.as_i64() {
            Some(integer) => Some(Self::Integer(integer)),
            None => number.as_f64().map(Self::Double),
        }
    }

    /// The same for numbers of the same value, and for no others: an integer wherever there is one.
    #[must_use]
    pub fn simplest(self) -> Self {
        match self {
            // The upper bound is 2^63 itself, which a double can be and an i64 cannot.
            Self::Double(double)
                if double.fract() == 0.0 && double >= i64::MIN as f64 && double < -(i64::MIN as f64) =>
            {
                Self::Integer(double as i64)
            }
            other => other,
        }
    }

    /// Whether two numbers have the same value, exactly.
    pub fn equals(self, other: Self) -> bool {
        self.simplest() == other.simplest()
    }
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
struct Walk<'m, F> {
    path: &'m [String],
    found: &'m mut F,
    places: SmallVec<[Place; 4]>,
}

impl<F: FnMut(MetadataValue<'_>)> Walk<'_, F> {
    fn is_at_the_end(&self) -> bool {
        self.places
            .iter()
            .any(|place| matches!(place, Place::At(at) | Place::In(at) | Place::Nth(at) if *at == self.path.len()))
    }

    fn below(&mut self, places: SmallVec<[Place; 4]>) -> Walk<'_, F> {
        Walk { path: self.path, found: self.found, places }
    }

    fn meet<E>(self, value: MetadataValue<'_>) -> Result<(), E> {
        if self.is_at_the_end() {
            (self.found)(value);
        }
        Ok(())
    }
}

impl<'de, F: FnMut(MetadataValue<'_>)> DeserializeSeed<'de> for Walk<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.places.is_empty() {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(drop);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(MetadataValue<'_>)> Visitor<'de> for Walk<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.meet(MetadataValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.meet(MetadataValue::Number(MetadataNumber::Integer(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        let number = i64::try_from(value).map_or(MetadataNumber::Double(value as f64), MetadataNumber::Integer);
        self.meet(MetadataValue::Number(number))
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.meet(MetadataValue::Number(MetadataNumber::Double(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.meet(MetadataValue::Text(value))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        while let Some(name) = entries.next_key::<std::borrow::Cow<'_, str>>()? {
            let places = self.places.iter().filter_map(|place| match place {
                Place::At(at) | Place::In(at) | Place::Nth(at) => {
                    self.path.get(*at).is_some_and(|wanted| *wanted == name).then_some(Place::At(at + 1))
                }
            });
            let places = places.collect();
            entries.next_value_seed(self.below(places))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let mut index = 0_usize;
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
            if elements.next_element_seed(self.below(places))?.is_none() {
                return Ok(());
            }
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
