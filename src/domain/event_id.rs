//! The identity of an event: what makes redelivery, replay and client retries store it once.

use std::fmt;

use sha2::{Digest, Sha256};
use uuid::{Builder, ContextV7, Uuid};

use super::{IdempotencyKey, Timestamp, UserId};

/// Names the rule by which an id is derived, so that two rules never give the same id for the same bytes.
const RULE_IDEMPOTENCY_KEY: u8 = 1;
const RULE_BUS_POSITION: u8 = 2;
const RULE_FOREIGN_KEY: u8 = 3;

/// A UUID: version 7 for a fresh event, version 8 where it is derived.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Uuid);

impl EventId {
    /// A fresh id, ordered by time, so that the store's unique index grows at its right edge.
    pub fn fresh(now: Timestamp) -> Self {
        static ORDER: std::sync::Mutex<ContextV7> = std::sync::Mutex::new(ContextV7::new());
        let millis = u64::try_from(now.as_millis()).unwrap_or(0);
        let nanos = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
        Self(Uuid::new_v7(uuid::Timestamp::from_unix(&ORDER, millis / 1000, nanos)))
    }

    /// The id that every request with this key gets (contract C2). The scope of a key is one user.
    pub fn for_key(user_id: &UserId, key: &IdempotencyKey) -> Self {
        let tenant: &[u8] = b"";
        Self::derive(RULE_IDEMPOTENCY_KEY, &[tenant, user_id.as_str().as_bytes(), key.as_str().as_bytes()])
    }

    /// The id of a record that came without one (the old service's): the same for every redelivery, another one for a
    /// record at the same offset of a topic that was made anew.
    pub fn for_position(topic: &str, partition: i32, offset: i64, timestamp: Timestamp, value: &[u8]) -> Self {
        Self::derive(
            RULE_BUS_POSITION,
            &[
                topic.as_bytes(),
                &partition.to_be_bytes(),
                &offset.to_be_bytes(),
                &timestamp.as_millis().to_be_bytes(),
                value,
            ],
        )
    }

    /// The id of a stored log that others wrote, under a key that is no event id: the same whenever and wherever it is
    /// exported. `kind` is BSON's number for the key's type; the old service's keys are ObjectIds, kind 7 and twelve
    /// bytes.
    pub fn for_foreign_key(kind: u8, key: &[u8]) -> Self {
        Self::derive(RULE_FOREIGN_KEY, &[&[kind], key])
    }

    fn derive(rule: u8, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        hash.update([rule]);
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// Reads the text form; `None` where it is no UUID in the hyphenated form.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten().map(Self)
    }

    /// Writes the text form into a buffer of [`EventId::buffer`].
    pub fn write<'b>(&self, buffer: &'b mut [u8; 36]) -> &'b str {
        self.0.hyphenated().encode_lower(buffer)
    }

    pub const fn buffer() -> [u8; 36] {
        [0; 36]
    }

    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    pub fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> UserId {
        UserId::parse(text.to_owned()).unwrap()
    }

    fn key(text: &str) -> IdempotencyKey {
        IdempotencyKey::parse(text).unwrap()
    }

    #[test]
    fn fresh_ids_are_version_7_and_grow() {
        let now = Timestamp::from_millis(1_747_830_896_789);
        let ids: Vec<_> = (0..1000).map(|_| EventId::fresh(now)).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(ids[0].as_uuid().get_version_num(), 7);
    }

    #[test]
    fn a_key_belongs_to_one_user_and_parts_do_not_run_together() {
        let id = EventId::for_key(&user("u1"), &key("k"));
        assert_eq!(id, EventId::for_key(&user("u1"), &key("k")));
        assert_ne!(id, EventId::for_key(&user("u2"), &key("k")));
        assert_ne!(EventId::for_key(&user("a"), &key("bc")), EventId::for_key(&user("ab"), &key("c")));
        assert_eq!(id.as_uuid().get_version_num(), 8);
    }

    #[test]
    fn a_topic_made_anew_gives_other_ids() {
        let at = |millis| EventId::for_position("t", 0, 7, Timestamp::from_millis(millis), b"{}");
        assert_eq!(at(1), at(1));
        assert_ne!(at(1), at(2));
    }

    #[test]
    fn a_foreign_key_always_gives_the_same_id() {
        let id = EventId::for_foreign_key(7, &[1; 12]);
        assert_eq!(id.to_string(), "4131dd5a-f712-8081-ad7b-396b8fe84b69");
        assert_ne!(id, EventId::for_foreign_key(2, &[1; 12]));
    }

    #[test]
    fn only_the_hyphenated_form_is_read() {
        assert!(EventId::parse("0196f1e2-7c3a-7000-8000-000000000001").is_some());
        for bad in ["", "x", "0196f1e27c3a70008000000000000001", "{0196f1e2-7c3a-7000-8000-000000000001}"] {
            assert!(EventId::parse(bad).is_none(), "{bad}");
        }
    }
}
