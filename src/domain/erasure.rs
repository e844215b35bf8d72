//! Erasure: which logs are to go, and which events have to stay away from then on, whatever is delivered again.
//!
//! A rule stands for all that a job erases, so that what it leaves behind does not grow with the number of logs. It knows
//! the user by a digest alone: what is left of an erased user is not his name.

use std::{collections::HashMap, fmt};

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use super::{Event, Timestamp};

/// SHA-256 of a user id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserDigest([u8; 32]);

impl UserDigest {
    pub fn of(user_id: &str) -> Self {
        Self(Sha256::digest(user_id.as_bytes()).into())
    }

    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for UserDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Which logs are to be erased. All conditions hold at once; one at least is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureFilter {
    user_id: Option<String>,
    before: Option<Timestamp>,
}

impl ErasureFilter {
    /// `None` without any condition: nobody erases everything by leaving something out.
    pub fn new(user_id: Option<String>, before: Option<Timestamp>) -> Option<Self> {
        (user_id.is_some() || before.is_some()).then_some(Self { user_id, before })
    }

    /// The logs of this user.
    pub fn user_id(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// The logs with an earlier timestamp.
    pub fn before(&self) -> Option<Timestamp> {
        self.before
    }

    /// A short digest: two filters that select differently differ in it, for all practical purposes.
    pub fn fingerprint(&self) -> [u8; 8] {
        let mut hash = Sha256::new();
        hash.update([u8::from(self.user_id.is_some()), u8::from(self.before.is_some())]);
        hash.update(self.before.map_or(0, Timestamp::as_millis).to_be_bytes());
        hash.update(self.user_id.as_deref().unwrap_or_default());
        let mut short = [0; 8];
        short.copy_from_slice(&hash.finalize()[..8]);
        short
    }
}

/// Which events were erased: all conditions hold at once, and `None` is no condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasureRule {
    pub user: Option<UserDigest>,
    /// Events with an earlier timestamp.
    pub before: Option<Timestamp>,
    /// Events that were received up to here: what the user does afterwards is kept again.
    pub received_up_to: Option<Timestamp>,
}

impl ErasureRule {
    fn covers(&self, event: &Event) -> bool {
        self.before.is_none_or(|before| event.log.timestamp < before)
            && self.received_up_to.is_none_or(|last| event.received_at <= last)
    }
}

/// All rules there are.
#[derive(Debug, Default)]
pub struct ErasureRules {
    of_users: HashMap<UserDigest, Vec<ErasureRule>>,
    of_everybody: Vec<ErasureRule>,
}

impl ErasureRules {
    pub fn is_empty(&self) -> bool {
        self.of_users.is_empty() && self.of_everybody.is_empty()
    }

    /// Whether the event was erased and has to stay away.
    pub fn cover(&self, event: &Event) -> bool {
        if self.of_everybody.iter().any(|rule| rule.covers(event)) {
            return true;
        }
        // Most stores know no rules, and digests take their time.
        !self.of_users.is_empty()
            && self
                .of_users
                .get(&UserDigest::of(event.log.user_id.as_str()))
                .is_some_and(|rules| rules.iter().any(|rule| rule.covers(event)))
    }
}

impl FromIterator<ErasureRule> for ErasureRules {
    fn from_iter<I: IntoIterator<Item = ErasureRule>>(rules: I) -> Self {
        let mut all = Self::default();
        for rule in rules {
            match (rule.user, rule.before) {
                (Some(user), _) => all.of_users.entry(user).or_default().push(rule),
                (None, Some(_)) => all.of_everybody.push(rule),
                // It would keep everything away: nobody makes one, so it is damaged.
                (None, None) => {}
            }
        }
        all
    }
}

/// The identity of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(Uuid);

impl JobId {
    /// The same job for the same bytes: a request that is repeated begins nothing twice.
    pub fn derived(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        Self(Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// Reads the text form; `None` where it is no UUID in the hyphenated form.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten().map(Self)
    }

    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// The stable word for programs and databases.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

words! {
    /// Why logs are erased.
    JobKind {
        /// Somebody asked for it.
        Erasure = "erasure",
        /// They are older than logs are kept.
        Retention = "retention",
    }
}

words! {
    /// How far a job is.
    JobState {
        Pending = "pending",
        Running = "running",
        Done = "done",
        /// What it had erased by then stays away; its rule holds.
        Cancelled = "cancelled",
    }
}

impl JobState {
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }
}

/// Logs are erased, a few at a time, until none is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureJob {
    pub id: JobId,
    pub kind: JobKind,
    /// `None` once it has finished: the job does not keep the name of whom it erased.
    pub user_id: Option<String>,
    pub before: Option<Timestamp>,
    /// Logs that were received up to here; `None` is all.
    pub received_up_to: Option<Timestamp>,
    pub state: JobState,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    /// So many logs it has erased; after a crash a few more than it says.
    pub erased: u64,
}

impl ErasureJob {
    /// What it is to erase; `None` once it has finished.
    pub fn filter(&self) -> Option<ErasureFilter> {
        let filter = ErasureFilter::new(self.user_id.clone(), self.before);
        filter.filter(|_| !self.state.is_finished())
    }

    /// What has to stay away from its beginning on.
    pub fn rule(&self) -> ErasureRule {
        ErasureRule {
            user: self.user_id.as_deref().map(UserDigest::of),
            before: self.before,
            received_up_to: self.received_up_to,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Action, EventId, Metadata, NewLog, UserId};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn event(user: &str, timestamp: i64, received_at: i64) -> Event {
        let log = NewLog {
            user_id: UserId::parse(user.to_owned()).unwrap(),
            action: Action::parse("a".to_owned()).unwrap(),
            timestamp: at(timestamp),
            metadata: Metadata::empty(),
        };
        Event { id: EventId::from_bytes([0; 16]), received_at: at(received_at), log }
    }

    #[test]
    fn a_users_rule_ends_with_what_was_received_when_it_was_made() {
        let rule = ErasureRule { user: Some(UserDigest::of("u")), before: None, received_up_to: Some(at(10)) };
        let rules: ErasureRules = [rule].into_iter().collect();
        assert!(rules.cover(&event("u", 99, 10)));
        assert!(!rules.cover(&event("u", 1, 11)));
        assert!(!rules.cover(&event("v", 1, 1)));
        assert!(!ErasureRules::default().cover(&event("u", 1, 1)));
    }

    #[test]
    fn all_conditions_of_a_rule_hold_at_once_and_any_rule_does() {
        let of_user = ErasureRule { user: Some(UserDigest::of("u")), before: Some(at(5)), received_up_to: None };
        let of_all = ErasureRule { user: None, before: Some(at(3)), received_up_to: None };
        let rules: ErasureRules = [of_user, of_all].into_iter().collect();
        assert!(rules.cover(&event("u", 4, 9)) && rules.cover(&event("v", 2, 9)));
        assert!(!rules.cover(&event("u", 5, 9)) && !rules.cover(&event("v", 3, 9)));
    }

    #[test]
    fn a_filter_has_a_condition() {
        assert_eq!(ErasureFilter::new(None, None), None);
        let filters = [
            ErasureFilter::new(Some("u".to_owned()), None),
            ErasureFilter::new(Some(String::new()), None),
            ErasureFilter::new(None, Some(at(0))),
            ErasureFilter::new(Some("u".to_owned()), Some(at(0))),
        ];
        let prints: std::collections::HashSet<_> =
            filters.iter().map(|one| one.as_ref().unwrap().fingerprint()).collect();
        assert_eq!(prints.len(), filters.len());
    }

    #[test]
    fn a_digest_does_not_show_the_user() {
        assert!(!format!("{:?}", UserDigest::of("user1")).contains("user1"));
    }
}
