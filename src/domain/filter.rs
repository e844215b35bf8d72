//! Which logs a reader asks for.

use sha2::{Digest, Sha256};

use super::{EventId, MetadataMatch, Timestamp};

/// All conditions hold at once; an empty list or `None` is no condition. Texts compare exactly, case included, and
/// are not bounded like those of a new log: old data may hold longer ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// The log's user is any of these.
    pub user_ids: Vec<String>,
    /// The log's action is any of these.
    pub actions: Vec<String>,
    /// The log's action begins with this.
    pub action_prefix: Option<String>,
    /// `from <= timestamp`.
    pub from: Option<Timestamp>,
    /// `timestamp <= to`.
    pub to: Option<Timestamp>,
    /// The event that the log came from.
    pub event_id: Option<EventId>,
    /// Each holds for the log's metadata.
    pub metadata: Vec<MetadataMatch>,
}

impl LogFilter {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The least text above every text that begins with the prefix, where there is one: texts are ordered by their
    /// code points.
    pub fn end_of_prefix(prefix: &str) -> Option<String> {
        let mut chars: Vec<char> = prefix.chars().collect();
        while let Some(last) = chars.pop() {
            // Surrogates are no characters: the one before them is followed by the one behind.
            let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
            if let Some(next) = next {
                chars.push(next);
                return Some(chars.into_iter().collect());
            }
        }
        None
    }

    /// A short digest: two filters that select differently differ in it, for all practical purposes.
    pub fn fingerprint(&self) -> [u8; 8] {
        let mut hash = Fingerprint::default();
        hash.texts(&self.user_ids);
        hash.texts(&self.actions);
        hash.texts(self.action_prefix.as_slice());
        hash.number(self.from.map(Timestamp::as_millis));
        hash.number(self.to.map(Timestamp::as_millis));
        hash.part(self.event_id.as_ref().map_or(&[][..], |id| id.as_bytes()));
        for condition in &self.metadata {
            hash.texts(condition.path().names());
            hash.part(condition.text().as_bytes());
        }
        hash.finish()
    }
}

/// Every part with its length in front, so that no two sequences of parts are the same bytes.
#[derive(Default)]
struct Fingerprint(Sha256);

impl Fingerprint {
    fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn texts(&mut self, texts: &[String]) {
        self.0.update((texts.len() as u64).to_be_bytes());
        texts.iter().for_each(|text| self.part(text.as_bytes()));
    }

    fn number(&mut self, number: Option<i64>) {
        match number {
            Some(number) => self.part(&number.to_be_bytes()),
            None => self.part(&[]),
        }
    }

    fn finish(self) -> [u8; 8] {
        let mut short = [0; 8];
        short.copy_from_slice(&self.0.finalize()[..8]);
        short
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn filters_that_differ_have_different_fingerprints() {
        let filters = [
            LogFilter::default(),
            LogFilter { user_ids: vec!["ab".to_owned()], ..LogFilter::default() },
            LogFilter { user_ids: vec!["a".to_owned(), "b".to_owned()], ..LogFilter::default() },
            LogFilter { actions: vec!["ab".to_owned()], ..LogFilter::default() },
            LogFilter { action_prefix: Some("ab".to_owned()), ..LogFilter::default() },
            LogFilter { from: Some(Timestamp::from_millis(0)), ..LogFilter::default() },
            LogFilter { to: Some(Timestamp::from_millis(0)), ..LogFilter::default() },
            LogFilter { event_id: Some(EventId::from_bytes([0; 16])), ..LogFilter::default() },
            LogFilter { metadata: vec![MetadataMatch::parse("a", "1").unwrap()], ..LogFilter::default() },
        ];
        for (index, one) in filters.iter().enumerate() {
            assert_eq!(one.fingerprint(), one.clone().fingerprint());
            assert!(filters[..index].iter().all(|other| other.fingerprint() != one.fingerprint()), "{one:?}");
        }
    }

    #[test]
    fn the_end_of_a_prefix_is_just_above_it() {
        for (prefix, end) in [
            ("auth.", Some("auth/")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
            ("", None),
            ("\u{d7ff}", Some("\u{e000}")),
        ] {
            assert_eq!(LogFilter::end_of_prefix(prefix).as_deref(), end, "{prefix:?}");
        }
    }

    proptest! {
        #[test]
        fn a_text_lies_between_its_prefix_and_the_end_of_it(prefix in "\\PC{1,4}", text in "\\PC{0,6}") {
            let end = LogFilter::end_of_prefix(&prefix).unwrap();
            prop_assert_eq!(text.starts_with(&prefix), prefix <= text && text < end);
        }
    }
}
