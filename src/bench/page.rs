//! A page of stored logs as it is read back.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Debug, Deserialize)]
pub(super) struct Page<'a> {
    #[serde(borrow)]
    pub(super) logs: Vec<StoredLog<'a>>,
}

impl<'a> Page<'a> {
    pub(super) fn parse(body: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(body)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoredLog<'a> {
    pub(super) id: i64,
    #[serde(borrow, default)]
    pub(super) user_id: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) action: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) timestamp: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) metadata: &'a RawValue,
}

#[derive(Debug, Deserialize)]
struct Mark<'a> {
    #[serde(borrow)]
    run: Cow<'a, str>,
    #[serde(borrow)]
    number: Cow<'a, str>,
}

impl StoredLog<'_> {
    /// Its number, where it is a log of this run.
    pub(super) fn number(&self, run: &str) -> Option<u64> {
        let mark: Mark<'_> = serde_json::from_str(self.metadata.get()).ok()?;
        mark.number.parse().ok().filter(|_| mark.run == run)
    }
}
