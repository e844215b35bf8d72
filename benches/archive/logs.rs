//! Logs of ninety days: 100,000 users and 200 actions, a few of them most of the time.

use eyego::{
    domain::{Action, Event, EventId, LogId, Metadata, NewLog, NumberedEvent, Timestamp, UserId, ports::Clock},
    infrastructure::clock::SystemClock,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

const USERS: f64 = 100_000.0;
const AREAS: [&str; 10] = ["auth", "cart", "file", "item", "mail", "order", "page", "report", "search", "team"];
const VERBS: usize = 20;
const SPAN: i64 = 90 * 24 * 60 * 60 * 1000;
/// How long after it happened a log comes, on average and at most: clients gather a little, or are away for a moment.
const LATENESS: f64 = 1000.0;
const MOST_LATE: f64 = 30_000.0;
/// How many come in a second, where they came just now.
const LIVE_PER_S: i64 = 20_000;

/// When logs happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    /// One after the other over the ninety days.
    InOrder,
    /// Anywhere in them, and came just now.
    Shuffled,
    /// Just before they came, which was just now.
    Live,
}

impl Times {
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "shuffled" => Some(Self::Shuffled),
            "live" => Some(Self::Live),
            _ => None,
        }
    }
}

/// The same logs each time, but for their times and event ids.
pub(crate) struct Logs {
    random: StdRng,
    total: i64,
    now: i64,
    times: Times,
}

impl Logs {
    pub(crate) fn new(total: u64, times: Times) -> Self {
        let now = SystemClock.now().as_millis();
        Self { random: StdRng::seed_from_u64(7), total: i64::try_from(total).unwrap(), now, times }
    }

    pub(crate) fn batch(&mut self, ids: impl Iterator<Item = LogId>) -> Vec<NumberedEvent> {
        // The store is searched by a service afterwards, from whose queue they did not come.
        ids.map(|id| NumberedEvent { id, offset: -1, event: self.event(id.get()) }).collect()
    }

    /// The first so many.
    pub(crate) fn events(mut self) -> impl Iterator<Item = Event> {
        (0..self.total).map(move |number| self.event(number))
    }

    fn event(&mut self, number: i64) -> Event {
        let random = &mut self.random;
        let before_now = match self.times {
            Times::InOrder => SPAN - SPAN / self.total * number.min(self.total),
            Times::Shuffled | Times::Live => 1000 * (self.total - number) / LIVE_PER_S,
        };
        let received_at = Timestamp::from_millis(self.now - before_now);
        let late = match self.times {
            Times::Shuffled => random.random_range(0..SPAN),
            Times::InOrder | Times::Live => (-LATENESS * (1.0 - random.random::<f64>()).ln()).min(MOST_LATE) as i64,
        };
        let at = Timestamp::from_millis(received_at.as_millis() - late);
        let user = (USERS * random.random::<f64>().powi(4)) as u32;
        let action = ((AREAS.len() * VERBS) as f64 * random.random::<f64>().powi(3)) as usize;
        let action = format!("{}.verb{}", AREAS[action % AREAS.len()], action / AREAS.len());
        let device = if random.random_ratio(1, 3) { r#","device":{"os":"ios","v":17}"# } else { "" };
        let metadata = format!(
            r#"{{"ip":"10.0.{}.{}","path":"/shop/item/{}","ms":{}{device}}}"#,
            random.random::<u8>(),
            random.random::<u8>(),
            random.random_range(0..100_000),
            random.random_range(0..5000),
        );
        let log = NewLog {
            user_id: UserId::parse(format!("user-{user:05}")).unwrap(),
            action: Action::parse(action).unwrap(),
            timestamp: at,
            metadata: Metadata::from_canonical(metadata),
        };
        Event { id: EventId::fresh(received_at), received_at, log }
    }
}
