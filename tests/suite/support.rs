//! What all suites need: servers, names of one's own, waiting for conditions, events.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use eyego::domain::{
    Action, ActivityLog, Event, EventId, From, LogFilter, LogQuery, Metadata, NewLog, NumberedEvent, Order,
    PageRequest, Timestamp, UserId,
    ports::{LogRepository, PortError},
};
use rand::{Rng, rngs::StdRng};

/// How long a condition may take to become true; only how long a failing test takes. A group whose member went without
/// a word needs its time.
const PATIENCE: Duration = Duration::from_secs(120);

/// The address of a server, or `None` with a notice where it is not set. With `REQUIRE_SERVICES=1` that is a failure.
#[expect(clippy::disallowed_methods, reason = "tests are told about servers by the environment")]
pub(crate) fn service(variable: &str) -> Option<String> {
    let address = std::env::var(variable).ok().filter(|address| !address.is_empty());
    if address.is_none() {
        let required = std::env::var("REQUIRE_SERVICES").is_ok_and(|required| required == "1");
        assert!(!required, "{variable} is not set, and REQUIRE_SERVICES=1");
        eprintln!("skipped: {variable} is not set");
    }
    address
}

/// Whether a program is there; without it as with a server that is not set.
#[expect(clippy::disallowed_methods, reason = "tests are told what must be there by the environment")]
pub(crate) fn tool(name: &str) -> bool {
    let found = std::process::Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        let required = std::env::var("REQUIRE_SERVICES").is_ok_and(|required| required == "1");
        assert!(!required, "{name} is not installed, and REQUIRE_SERVICES=1");
        eprintln!("skipped: {name} is not installed");
    }
    found
}

/// A name that no other test and no other run has.
pub(crate) fn unique_name(prefix: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let id = EventId::fresh(Timestamp::from_millis(0)).as_uuid().simple().to_string();
    format!("{prefix}_{}_{}_{}", std::process::id(), &id[20..], COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Waits until the condition holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A log of `user`, `action` at a fixed time; tests change what they are about.
pub(crate) fn log(user: &str, action: &str) -> NewLog {
    NewLog {
        user_id: UserId::parse_unbounded(user.to_owned()).unwrap(),
        action: Action::parse_unbounded(action.to_owned()).unwrap(),
        timestamp: at(1_747_830_896_789),
        metadata: Metadata::empty(),
    }
}

/// The log as an event with an identity of its own.
pub(crate) fn event(log: NewLog) -> Event {
    Event { id: EventId::fresh(at(1_747_830_896_789)), received_at: at(1_747_830_897_000), log }
}

pub(crate) fn some_events(count: usize) -> Vec<Event> {
    (0..count).map(|n| event(log("user1", &format!("action{n}")))).collect()
}

/// Gives the events the next ids of the store, as the worker does.
pub(crate) async fn number(logs: &dyn LogRepository, events: &[Event]) -> Vec<NumberedEvent> {
    let ids = logs.reserve(u32::try_from(events.len()).unwrap()).await.unwrap();
    ids.zip(events).map(|(id, event)| NumberedEvent { id, offset: id.get(), event: event.clone() }).collect()
}

/// Stores the events and returns them with their ids.
pub(crate) async fn store(logs: &dyn LogRepository, events: &[Event]) -> Vec<NumberedEvent> {
    use eyego::domain::ports::AppendOutcome;
    let batch = number(logs, events).await;
    assert_eq!(logs.append(&batch).await.unwrap(), vec![AppendOutcome::Stored; batch.len()]);
    batch
}

/// As [`store`], some at a time, with ids between that nobody has: more than one block of ids is needed, by which the
/// embedded engine keeps its users.
pub(crate) async fn store_far_apart(
    logs: &dyn LogRepository,
    events: &[Event],
    dice: &mut StdRng,
) -> Vec<NumberedEvent> {
    let mut stored = Vec::new();
    for some in events.chunks(20) {
        skip_ids(logs, dice).await;
        stored.extend(store(logs, some).await);
    }
    stored
}

pub(crate) async fn skip_ids(logs: &dyn LogRepository, dice: &mut StdRng) {
    logs.reserve(dice.random_range(1..100_000)).await.unwrap();
}

/// A page by number, and how many logs match.
#[derive(Debug, PartialEq)]
pub(crate) struct Listed {
    pub(crate) logs: Vec<ActivityLog>,
    pub(crate) total: u64,
}

/// Longer than any query of a test.
pub(crate) const MAX_TIME: Duration = Duration::from_secs(30);

pub(crate) async fn list(logs: &dyn LogRepository, filter: &LogFilter, page: PageRequest) -> Result<Listed, PortError> {
    let query = LogQuery {
        filter: filter.clone(),
        order: Order::Id,
        from: From::Offset(page.offset()),
        up_to: None,
        limit: page.limit(),
        max_time: MAX_TIME,
    };
    let slice = logs.find(&query).await?;
    let total = logs.count(filter, u64::MAX, MAX_TIME).await?.number;
    Ok(Listed { logs: slice.logs, total })
}

pub(crate) async fn first_page(logs: &dyn LogRepository) -> Listed {
    list(logs, &LogFilter::default(), PageRequest::new(1, 1000).unwrap()).await.unwrap()
}
