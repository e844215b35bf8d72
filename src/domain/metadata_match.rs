//! A condition on metadata: a path into it, and the value that stands there.

use std::fmt::Write as _;

use super::{InvalidMetadataPath, MetadataNumber, MetadataPath, MetadataValue};

/// How long a value may be, in bytes.
const MAX_BYTES: usize = 1024;

/// `path=text`. A text that reads as a number or a boolean stands for that and for the same text; numbers compare by
/// value. It means what the same condition means to MongoDB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataMatch {
    path: MetadataPath,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMetadataMatch {
    #[error(transparent)]
    Path(#[from] InvalidMetadataPath),
    #[error("must not be longer than 1,024 bytes")]
    TooLong,
}

impl MetadataMatch {
    /// # Errors
    /// What is wrong with the path or the text.
    pub fn parse(path: &str, text: &str) -> Result<Self, InvalidMetadataMatch> {
        if text.len() > MAX_BYTES {
            return Err(InvalidMetadataMatch::TooLong);
        }
        Ok(Self { path: MetadataPath::parse(path)?, text: text.to_owned() })
    }

    pub fn path(&self) -> &MetadataPath {
        &self.path
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the text is as a number, if it is one as JSON writes them.
    pub fn number(&self) -> Option<MetadataNumber> {
        MetadataNumber::parse(&self.text)
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
        let (number, boolean) = (self.number(), self.boolean());
        let mut holds = false;
        let whole = self.path.each_value(metadata, |value| {
            holds |= match value {
                MetadataValue::Text(text) => text == self.text,
                MetadataValue::Number(value) => number.is_some_and(|wanted| wanted.equals(value)),
                MetadataValue::Bool(value) => boolean == Some(value),
            };
        });
        whole && holds
    }

    /// Where an index has what it holds for, among a little else: see [`MetadataValue::index_key`].
    pub fn index_key(&self) -> String {
        MetadataValue::Text(&self.text).index_key().unwrap_or_default()
    }
}

impl MetadataValue<'_> {
    /// The place of a value in an index: whatever one condition holds for has the same. A text that reads as a number or
    /// a boolean lies where that does. `None`: no condition is so long.
    pub fn index_key(self) -> Option<String> {
        match self {
            Self::Text(text) if text.len() > MAX_BYTES => None,
            Self::Text("true") => Self::Bool(true).index_key(),
            Self::Text("false") => Self::Bool(false).index_key(),
            Self::Text(text) => match MetadataNumber::parse(text) {
                Some(number) => Self::Number(number).index_key(),
                None => Some(format!("t{text}")),
            },
            Self::Bool(value) => Some(format!("b{value}")),
            Self::Number(number) => {
                let mut key = "n".to_owned();
                // Writing to a string does not fail.
                let _ = match number.simplest() {
                    MetadataNumber::Integer(integer) => write!(key, "{integer}"),
                    MetadataNumber::Double(double) => write!(key, "{double:?}"),
                };
                Some(key)
            }
        }
    }
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

    /// Whatever a condition holds for lies where the index is looked into.
    #[test]
    fn equal_values_have_one_key() {
        for (text, metadata) in [
            ("7", r#"{"a":7}"#),
            ("7.0", r#"{"a":7}"#),
            ("70e-1", r#"{"a":[1,7.0]}"#),
            ("7", r#"{"a":"7"}"#),
            ("-0", r#"{"a":0}"#),
            ("true", r#"{"a":true}"#),
            ("true", r#"{"a":"true"}"#),
            ("1.5", r#"{"a":15e-1}"#),
            ("1e300", r#"{"a":1e300}"#),
            ("9223372036854775808", r#"{"a":9223372036854775808}"#),
            ("x", r#"{"a":"x"}"#),
            ("", r#"{"a":""}"#),
        ] {
            let condition = MetadataMatch::parse("a", text).unwrap();
            assert!(condition.holds_for(metadata), "{text} {metadata}");
            let mut keys = Vec::new();
            assert!(condition.path().each_value(metadata, |value| keys.extend(value.index_key())));
            assert!(keys.contains(&condition.index_key()), "{text} {metadata}: {keys:?}");
        }
        let keys = ["7", "7x", "true", "truex", "9007199254740993", "9007199254740992", "1.5", ""];
        let keys: std::collections::HashSet<String> =
            keys.iter().map(|text| MetadataMatch::parse("a", text).unwrap().index_key()).collect();
        assert_eq!(keys.len(), 8);
    }

    fn refused(path: &str) -> InvalidMetadataPath {
        match MetadataMatch::parse(path, "x") {
            Err(InvalidMetadataMatch::Path(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_cannot_be_addressed_is_refused() {
        for path in ["", ".", "a.", ".a", "a..b"] {
            assert_eq!(refused(path), InvalidMetadataPath::Names, "{path}");
        }
        assert_eq!(refused("a.$b"), InvalidMetadataPath::Dollar);
        assert_eq!(refused("a\0"), InvalidMetadataPath::Nul);
        assert_eq!(refused(&["a"; 17].join(".")), InvalidMetadataPath::Names);
        assert_eq!(refused(&"a".repeat(1025)), InvalidMetadataPath::TooLong);
        assert_eq!(MetadataMatch::parse("a", &"x".repeat(1025)), Err(InvalidMetadataMatch::TooLong));
    }
}
