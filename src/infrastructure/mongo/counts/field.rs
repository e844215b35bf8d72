//! Actions as names of fields: there must be no dot, dollar or NUL in one.

use percent_encoding::{AsciiSet, percent_decode_str, utf8_percent_encode};

const NOT_IN_A_NAME: &AsciiSet = &AsciiSet::EMPTY.add(b'%').add(b'.').add(b'$').add(0);
/// Logs of the old service may have no action.
const NO_ACTION: &str = "0";
const ACTION: char = 's';

pub(in crate::infrastructure::mongo) fn field_of(action: Option<&str>) -> String {
    match action {
        Some(action) => format!("{ACTION}{}", utf8_percent_encode(action, NOT_IN_A_NAME)),
        None => NO_ACTION.to_owned(),
    }
}

pub(in crate::infrastructure::mongo) fn action_of(field: &str) -> Option<String> {
    let encoded = field.strip_prefix(ACTION)?;
    Some(percent_decode_str(encoded).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_have_nothing_that_names_must_not_have() {
        for action in ["auth.login", "$x", "", "100%", "%2E", "a\0b", "ü.ö", "0", "s"] {
            let field = field_of(Some(action));
            assert!(!field.contains(['.', '$', '\0']) && !field.is_empty(), "{field}");
            assert_eq!(action_of(&field).as_deref(), Some(action));
        }
        assert_eq!(action_of(&field_of(None)), None);
    }
}
