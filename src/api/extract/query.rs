//! The query string as pairs that handlers take apart by name.

use axum::{extract::FromRequestParts, http::request::Parts};
use percent_encoding::percent_decode_str;

use crate::api::{error::ApiError, error_code::ErrorCode};

/// Name and value of each parameter in order. Empty values are not handed out, since an empty parameter is none.
#[derive(Debug)]
pub(in crate::api) struct QueryParameters {
    pairs: Vec<(String, String)>,
}

impl QueryParameters {
    pub(in crate::api) fn parse(query: &str) -> Result<Self, ApiError> {
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode(name)?, decode(value)?));
        }
        Ok(Self { pairs })
    }

    /// The value of a parameter that may be given once.
    pub(in crate::api) fn take_one(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        let mut values = self.take_all(name);
        if values.len() > 1 {
            return Err(ApiError::new(ErrorCode::RepeatedParameter, format!("{name} may be given once")));
        }
        Ok(values.pop())
    }

    /// The values of a parameter that may be repeated.
    pub(in crate::api) fn take_all(&mut self, name: &str) -> Vec<String> {
        let (taken, rest) = std::mem::take(&mut self.pairs).into_iter().partition(|(known, _)| known == name);
        self.pairs = rest;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).filter(|value| !value.is_empty()).collect()
    }

    /// What follows the prefix, and the value, of each parameter that has one.
    pub(in crate::api) fn take_prefixed(&mut self, prefix: &str) -> Vec<(String, String)> {
        let (taken, rest) = std::mem::take(&mut self.pairs).into_iter().partition(|(name, _)| name.starts_with(prefix));
        self.pairs = rest;
        let taken: Vec<(String, String)> = taken;
        let given = taken.into_iter().filter(|(_, value)| !value.is_empty());
        given.map(|(name, value)| (name[prefix.len()..].to_owned(), value)).collect()
    }

    /// The names that nobody took, each once.
    pub(in crate::api) fn into_names(self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (name, _) in self.pairs {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

impl QueryParameters {
    /// Whatever nobody took is a mistake.
    pub(in crate::api) fn refuse_rest(self) -> Result<(), ApiError> {
        let names = self.into_names();
        if names.is_empty() { Ok(()) } else { Err(ApiError::new(ErrorCode::UnknownParameter, names.join(", "))) }
    }
}

fn decode(text: &str) -> Result<String, ApiError> {
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8().map_err(|_| ErrorCode::InvalidQuery)?;
    Ok(decoded.into_owned())
}

impl<S: Sync> FromRequestParts<S> for QueryParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}
