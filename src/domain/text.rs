//! User ids and actions: text with bounds, and the rule by which numbers become text.

use std::fmt;

/// The most characters (Unicode scalar values) a user id or an action of a new log may have.
pub const MAX_TEXT_CHARS: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    #[error("must not be empty")]
    Empty,
    #[error("must be at most 1024 characters")]
    TooLong,
}

fn check(text: &str) -> Result<(), InvalidText> {
    if text.is_empty() {
        Err(InvalidText::Empty)
    } else if text.len() > MAX_TEXT_CHARS && text.chars().count() > MAX_TEXT_CHARS {
        Err(InvalidText::TooLong)
    } else {
        Ok(())
    }
}

macro_rules! bounded_text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name(String);

        impl $name {
            /// Takes the text as it is: nothing is trimmed.
            pub fn parse(text: String) -> Result<Self, InvalidText> {
                check(&text).map(|()| Self(text))
            }

            /// For records of the old service, which bounded nothing but asked for some text.
            pub fn parse_unbounded(text: String) -> Result<Self, InvalidText> {
                if text.is_empty() { Err(InvalidText::Empty) } else { Ok(Self(text)) }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

bounded_text! {
    /// Who did it: 1 to 1,024 characters.
    UserId
}

bounded_text! {
    /// What was done: 1 to 1,024 characters.
    Action
}

/// The text of a JSON number where text is asked for.
///
/// Integers keep their digits; everything else has JavaScript's form (ECMA-262, Number::toString), because the old
/// service cast numbers that way: `1.0` is `1`, `1e21` is `1e+21`. `None` where the number has no finite double.
pub fn number_as_text(literal: &str) -> Option<String> {
    if literal.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return Some(if literal == "-0" { "0".to_owned() } else { literal.to_owned() });
    }
    let number: f64 = literal.parse().ok()?;
    number.is_finite().then(|| javascript_form(number))
}

fn javascript_form(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    // Rust prints the shortest digits that read back as the same double, as JavaScript does; only the layout differs.
    let shortest = format!("{:e}", number.abs());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits = mantissa.replace('.', "");
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    let sign = if number < 0.0 { "-" } else { "" };
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let unsigned = if count <= point && point <= 21 {
        format!("{digits}{}", zeros(point - count))
    } else if 0 < point && point <= 21 {
        let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
        format!("{whole}.{fraction}")
    } else if -6 < point && point <= 0 {
        format!("0.{}{digits}", zeros(-point))
    } else {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{first}{dot}{rest}e{:+}", point - 1)
    };
    format!("{sign}{unsigned}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_form_of_javascript() {
        for (literal, text) in [
            ("7", "7"),
            ("-7", "-7"),
            ("-0", "0"),
            ("1.0", "1"),
            ("-0.0", "0"),
            ("1e21", "1e+21"),
            ("1E20", "100000000000000000000"),
            ("1.5", "1.5"),
            ("-1.25e-7", "-1.25e-7"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("123456789012345680000.0", "123456789012345680000"),
            ("1234567890123456789012345", "1234567890123456789012345"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ] {
            assert_eq!(number_as_text(literal).as_deref(), Some(text), "{literal}");
        }
        assert_eq!(number_as_text("1e400"), None);
    }

    #[test]
    fn length_is_counted_in_characters() {
        assert!(UserId::parse("ü".repeat(1024)).is_ok());
        assert_eq!(UserId::parse("ü".repeat(1025)), Err(InvalidText::TooLong));
        assert_eq!(Action::parse(String::new()), Err(InvalidText::Empty));
        assert_eq!(Action::parse(" a ".to_owned()).unwrap().as_str(), " a ");
    }
}
