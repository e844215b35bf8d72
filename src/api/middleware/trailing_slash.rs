//! One trailing slash does not matter.

use axum::http::{Request, Uri};

/// The docs page needs its slash: its assets are relative to it.
const KEEPS_ITS_SLASH: &str = "/docs/";

pub(in crate::api) fn strip<B>(mut request: Request<B>) -> Request<B> {
    if let Some(uri) = without_slash(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn without_slash(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let stripped = path.strip_suffix('/').filter(|stripped| !stripped.is_empty() && !stripped.ends_with('/'))?;
    if path.starts_with(KEEPS_ITS_SLASH) {
        return None;
    }
    let target = uri.query().map_or_else(|| stripped.to_owned(), |query| format!("{stripped}?{query}"));
    target.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slash_is_taken_off() {
        let strip = |uri: &str| without_slash(&uri.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(strip("/api/logs/?page=1").as_deref(), Some("/api/logs?page=1"));
        assert_eq!(strip("/health/").as_deref(), Some("/health"));
        for kept in ["/", "/api/logs", "/api/logs//", "/docs/"] {
            assert_eq!(strip(kept), None, "{kept}");
        }
    }
}
