//! The contract of erasing many logs, on both stores: jobs, rules, and what stays away.

use std::{collections::HashSet, sync::Arc, time::Duration};

use eyego::{
    application::erasure_worker::ErasureWorker,
    domain::{
        ErasureFilter, ErasureJob, Event, JobId, JobKind, JobState, LogId, NewLog, NumberedEvent, Timestamp,
        ports::{
            AppendOutcome, Clock, DeadLetter, DeadLetterReason, ErasureRequest, ErasureStore, LogRepository, Position,
            RawRecord,
        },
    },
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    contract::contract_suite,
    repository::RepositoryHarness,
    support::{at, event, eventually, first_page, log, number, skip_ids, store},
};

contract_suite! { erasure_suite:
    a_users_logs_go_and_stay_away
    what_is_received_after_the_job_began_stays
    logs_before_a_time_go
    random_erasures_leave_what_a_model_leaves
    a_job_that_is_begun_again_stays_as_it_is
    a_job_that_has_finished_does_not_know_the_user
    a_cancelled_job_is_not_kept_on
    jobs_are_taken_one_after_the_other
    reopening_keeps_jobs_and_rules
    the_retention_keeps_old_events_away_until_it_moves_back
    a_worker_erases_what_comes_while_it_works
    a_worker_makes_a_job_a_day_of_the_retention
}

erasure_suite!(mongo, crate::mongo::MongoHarness);
erasure_suite!(embedded, crate::embedded::EmbeddedHarness);

const LEASE: Duration = Duration::from_secs(30);
/// What [`event`] says of the time of receiving.
pub(crate) const RECEIVED: i64 = 1_747_830_897_000;

pub(crate) fn of_user(user: &str) -> ErasureFilter {
    ErasureFilter::new(Some(user.to_owned()), None).unwrap()
}

pub(crate) fn job(name: &str, filter: &ErasureFilter, received_up_to: i64) -> ErasureJob {
    ErasureJob {
        id: JobId::derived(&[name.as_bytes()]),
        kind: JobKind::Erasure,
        user_id: filter.user_id().map(str::to_owned),
        before: filter.before(),
        received_up_to: Some(at(received_up_to)),
        state: JobState::Pending,
        created_at: at(received_up_to),
        finished_at: None,
        erased: 0,
    }
}

/// Erases all that is there, in small steps.
pub(crate) async fn erase_all(
    erasure: &dyn ErasureStore,
    filter: &ErasureFilter,
    received_up_to: Option<Timestamp>,
) -> u64 {
    let mut request = ErasureRequest { filter: filter.clone(), received_up_to, after: None, most: 3 };
    let mut erased = 0;
    loop {
        let step = erasure.erase(&request).await.unwrap();
        erased += step.erased;
        match step.next {
            Some(next) => request.after = Some(next),
            None => return erased,
        }
    }
}

async fn left(logs: &dyn LogRepository) -> Vec<LogId> {
    first_page(logs).await.logs.iter().filter_map(|log| log.id).collect()
}

fn ids<'a>(events: impl IntoIterator<Item = &'a NumberedEvent>) -> Vec<LogId> {
    events.into_iter().map(|event| event.id).collect()
}

/// Rules are known to every append once this is over.
pub(crate) async fn settle(erasure: &dyn ErasureStore) {
    tokio::time::sleep(erasure.settles_after() / 4).await;
}

async fn a_users_logs_go_and_stay_away(harness: &mut impl RepositoryHarness) {
    let (logs, erasure) = (harness.logs(), harness.erasure());
    let events: Vec<Event> = (0..20).map(|n| event(log(["u", "v"][n % 2], "a"))).collect();
    let batch = store(&*logs, &events).await;
    let job = job("one", &of_user("u"), RECEIVED);
    erasure.begin(&job).await.unwrap();
    assert_eq!(erase_all(&*erasure, &of_user("u"), job.received_up_to).await, 10);
    let others: Vec<LogId> = ids(batch.iter().skip(1).step_by(2));
    assert_eq!(left(&*logs).await, others);
    assert_eq!(first_page(&*logs).await.total, 10);
    settle(&*erasure).await;
    let again = number(&*logs, &events).await;
    let outcomes = logs.append(&again).await.unwrap();
    let expected = [AppendOutcome::Deleted, AppendOutcome::AlreadyStored];
    assert!(outcomes.iter().zip(expected.iter().cycle()).all(|(one, other)| one == other), "{outcomes:?}");
    assert_eq!(left(&*logs).await, others);
    assert_eq!(erase_all(&*erasure, &of_user("u"), job.received_up_to).await, 0);
}

async fn what_is_received_after_the_job_began_stays(harness: &mut impl RepositoryHarness) {
    let (logs, erasure) = (harness.logs(), harness.erasure());
    let received = |at_millis: i64| Event { received_at: at(at_millis), ..event(log("u", "a")) };
    let batch = store(&*logs, &[received(RECEIVED - 1), received(RECEIVED), received(RECEIVED + 1)]).await;
    let job = job("one", &of_user("u"), RECEIVED);
    erasure.begin(&job).await.unwrap();
    assert_eq!(erase_all(&*erasure, &of_user("u"), job.received_up_to).await, 2);
    assert_eq!(left(&*logs).await, ids(&batch[2..]));
    settle(&*erasure).await;
    let batch = number(&*logs, &[received(RECEIVED), received(RECEIVED + 1)]).await;
    assert_eq!(logs.append(&batch).await.unwrap(), [AppendOutcome::Deleted, AppendOutcome::Stored]);
}

async fn logs_before_a_time_go(harness: &mut impl RepositoryHarness) {
    let (logs, erasure) = (harness.logs(), harness.erasure());
    let events: Vec<Event> = [5, 9, 10, 11, 9, 2, 9, 9, 9]
        .into_iter()
        .map(|time| event(NewLog { timestamp: at(time), ..log("u", "a") }))
        .collect();
    store(&*logs, &events).await;
    let filter = ErasureFilter::new(None, Some(at(10))).unwrap();
    let job = job("one", &filter, RECEIVED);
    erasure.begin(&job).await.unwrap();
    assert_eq!(erase_all(&*erasure, &filter, job.received_up_to).await, 7);
    let times: Vec<i64> = first_page(&*logs).await.logs.iter().map(|log| log.timestamp.unwrap().as_millis()).collect();
    assert_eq!(times, [10, 11]);
}

/// Random logs and erasures, in any order, and every batch delivered once more at the end.
async fn random_erasures_leave_what_a_model_leaves(harness: &mut impl RepositoryHarness) {
    let (logs, erasure) = (harness.logs(), harness.erasure());
    let mut dice = StdRng::seed_from_u64(7);
    let mut all: Vec<Event> = Vec::new();
    let mut filters: Vec<(ErasureFilter, Timestamp)> = Vec::new();
    let erased = |event: &Event, filters: &[(ErasureFilter, Timestamp)]| {
        filters.iter().any(|(filter, last)| {
            filter.user_id().is_none_or(|user| user == event.log.user_id.as_str())
                && filter.before().is_none_or(|before| event.log.timestamp < before)
                && event.received_at <= *last
        })
    };
    for round in 0..6 {
        let more: Vec<Event> = (0..40)
            .map(|_| {
                let user = format!("u{}", dice.random_range(0..4));
                let timestamp = at(dice.random_range(0..100));
                Event { received_at: at(dice.random_range(0..100)), ..event(NewLog { timestamp, ..log(&user, "a") }) }
            })
            .collect();
        skip_ids(&*logs, &mut dice).await;
        let batch = number(&*logs, &more).await;
        let outcomes = logs.append(&batch).await.unwrap();
        for (event, outcome) in more.iter().zip(&outcomes) {
            let expected = if erased(event, &filters) { AppendOutcome::Deleted } else { AppendOutcome::Stored };
            assert_eq!(*outcome, expected, "{event:?}");
        }
        all.extend(more);
        let user = dice.random_bool(0.7).then(|| format!("u{}", dice.random_range(0..4)));
        let before = (user.is_none() || dice.random_bool(0.5)).then(|| at(dice.random_range(0..60)));
        let filter = ErasureFilter::new(user, before).unwrap();
        let last = dice.random_range(0..100);
        erasure.begin(&job(&format!("job{round}"), &filter, last)).await.unwrap();
        erase_all(&*erasure, &filter, Some(at(last))).await;
        filters.push((filter, at(last)));
        settle(&*erasure).await;
    }
    let again = number(&*logs, &all).await;
    logs.append(&again).await.unwrap();
    let left = first_page(&*logs).await;
    let expected = all.iter().filter(|event| !erased(event, &filters)).count();
    assert_eq!((left.logs.len(), left.total), (expected, expected as u64));
    let kept: HashSet<(String, i64)> = all
        .iter()
        .filter(|event| !erased(event, &filters))
        .map(|event| (event.log.user_id.as_str().to_owned(), event.log.timestamp.as_millis()))
        .collect();
    let found: HashSet<(String, i64)> =
        left.logs.into_iter().map(|log| (log.user_id.unwrap(), log.timestamp.unwrap().as_millis())).collect();
    assert_eq!(found, kept);
}

async fn a_job_that_is_begun_again_stays_as_it_is(harness: &mut impl RepositoryHarness) {
    let erasure = harness.erasure();
    let first = job("one", &of_user("u"), 5);
    assert_eq!(erasure.begin(&first).await.unwrap(), first);
    assert_eq!(erasure.begin(&job("one", &of_user("u"), 9)).await.unwrap(), first);
    assert_eq!(erasure.jobs(10).await.unwrap(), std::slice::from_ref(&first));
    assert_eq!(erasure.job(first.id).await.unwrap(), Some(first));
    assert_eq!(erasure.job(JobId::derived(&[b"other"])).await.unwrap(), None);
}

async fn a_job_that_has_finished_does_not_know_the_user(harness: &mut impl RepositoryHarness) {
    let (logs, erasure) = (harness.logs(), harness.erasure());
    let first = job("one", &of_user("u"), RECEIVED);
    erasure.begin(&first).await.unwrap();
    let owner = Uuid::now_v7();
    erasure.claim(owner, LEASE).await.unwrap().unwrap();
    erasure.finish(first.id, owner, 7, at(99)).await.unwrap();
    let done =
        ErasureJob { user_id: None, state: JobState::Done, finished_at: Some(at(99)), erased: 7, ..first.clone() };
    assert_eq!(erasure.job(first.id).await.unwrap(), Some(done.clone()));
    // Begun once more it stays done, and what it keeps away is still that user's events alone.
    assert_eq!(erasure.begin(&first).await.unwrap(), done);
    settle(&*erasure).await;
    let batch = number(&*logs, &[event(log("u", "a")), event(log("v", "a"))]).await;
    assert_eq!(logs.append(&batch).await.unwrap(), [AppendOutcome::Deleted, AppendOutcome::Stored]);
}

async fn a_cancelled_job_is_not_kept_on(harness: &mut impl RepositoryHarness) {
    let erasure = harness.erasure();
    let first = job("one", &of_user("u"), 5);
    erasure.begin(&first).await.unwrap();
    let owner = Uuid::now_v7();
    erasure.claim(owner, LEASE).await.unwrap().unwrap();
    assert!(erasure.keep(first.id, owner, 3, LEASE).await.unwrap());
    let cancelled = erasure.cancel(first.id, at(9)).await.unwrap().unwrap();
    assert_eq!((cancelled.state, cancelled.erased, cancelled.user_id.clone()), (JobState::Cancelled, 3, None));
    assert!(!erasure.keep(first.id, owner, 4, LEASE).await.unwrap());
    erasure.finish(first.id, owner, 4, at(10)).await.unwrap();
    assert_eq!(erasure.cancel(first.id, at(11)).await.unwrap(), Some(cancelled));
    assert_eq!(erasure.claim(owner, LEASE).await.unwrap(), None);
    assert_eq!(erasure.cancel(JobId::derived(&[b"other"]), at(9)).await.unwrap(), None);
}

async fn jobs_are_taken_one_after_the_other(harness: &mut impl RepositoryHarness) {
    let erasure = harness.erasure();
    let owner = Uuid::now_v7();
    assert_eq!(erasure.claim(owner, LEASE).await.unwrap(), None);
    for (name, created) in [("second", 6), ("first", 5), ("third", 7)] {
        erasure.begin(&job(name, &of_user("u"), created)).await.unwrap();
    }
    for name in ["first", "second", "third"] {
        let taken = erasure.claim(owner, LEASE).await.unwrap().unwrap();
        assert_eq!((taken.id, taken.state), (JobId::derived(&[name.as_bytes()]), JobState::Running));
        erasure.finish(taken.id, owner, 0, at(9)).await.unwrap();
    }
    assert_eq!(erasure.claim(owner, LEASE).await.unwrap(), None);
    let order: Vec<i64> = erasure.jobs(2).await.unwrap().iter().map(|job| job.created_at.as_millis()).collect();
    assert_eq!(order, [7, 6], "the newest first");
}

async fn reopening_keeps_jobs_and_rules(harness: &mut impl RepositoryHarness) {
    let first = job("one", &of_user("u"), RECEIVED);
    harness.erasure().begin(&first).await.unwrap();
    harness.reopen().await;
    let (logs, erasure) = (harness.logs(), harness.erasure());
    assert_eq!(erasure.jobs(10).await.unwrap(), [first]);
    let batch = number(&*logs, &[event(log("u", "a")), event(log("v", "a"))]).await;
    assert_eq!(logs.append(&batch).await.unwrap(), [AppendOutcome::Deleted, AppendOutcome::Stored]);
}

async fn the_retention_keeps_old_events_away_until_it_moves_back(harness: &mut impl RepositoryHarness) {
    let (logs, erasure) = (harness.logs(), harness.erasure());
    let aged = |time: i64, received: i64| Event {
        received_at: at(received),
        ..event(NewLog { timestamp: at(time), ..log("u", "a") })
    };
    let outcomes = async |events: &[Event]| {
        settle(&*erasure).await;
        logs.append(&number(&*logs, events).await).await.unwrap()
    };
    let (kept, away) = (AppendOutcome::Stored, AppendOutcome::Deleted);
    erasure.retain_from(Some(at(10)), at(100)).await.unwrap();
    assert_eq!(outcomes(&[aged(9, 200), aged(10, 200)]).await, [away.clone(), kept.clone()]);
    erasure.retain_from(Some(at(20)), at(300)).await.unwrap();
    assert_eq!(outcomes(&[aged(19, 400), aged(20, 400)]).await, [away.clone(), kept.clone()]);
    // Further back: what was received so far stays away, what comes from now on does not.
    erasure.retain_from(Some(at(10)), at(500)).await.unwrap();
    assert_eq!(
        outcomes(&[aged(19, 500), aged(19, 501), aged(9, 501)]).await,
        [away.clone(), kept.clone(), away.clone()]
    );
    erasure.retain_from(None, at(600)).await.unwrap();
    assert_eq!(outcomes(&[aged(9, 600), aged(9, 601)]).await, [away, kept]);
}

/// A clock that stands.
struct Standing(i64);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        at(self.0)
    }
}

async fn a_worker_erases_what_comes_while_it_works(harness: &mut impl RepositoryHarness) {
    let (logs, erasure) = (harness.logs(), harness.erasure());
    let of_u = |count: usize| -> Vec<Event> { (0..count).map(|_| event(log("u", "a"))).collect() };
    store(&*logs, &of_u(30)).await;
    let first = job("one", &of_user("u"), RECEIVED);
    let stop = CancellationToken::new();
    let worker = ErasureWorker::new(Arc::clone(&erasure), Arc::new(Standing(RECEIVED)), 0, stop.clone());
    let mut working = JoinSet::new();
    working.spawn(worker.run());
    erasure.begin(&first).await.unwrap();
    // By rules that were read before, as an append that is under way at that moment.
    logs.append(&number(&*logs, &of_u(10)).await).await.unwrap();
    eventually("the job is done", async || {
        erasure.job(first.id).await.unwrap().is_some_and(|job| job.state == JobState::Done)
    })
    .await;
    assert_eq!(left(&*logs).await, Vec::new());
    let erased = erasure.job(first.id).await.unwrap().unwrap().erased;
    assert!((30..=40).contains(&erased), "{erased}");
    stop.cancel();
    working.join_all().await;
}

async fn a_worker_makes_a_job_a_day_of_the_retention(harness: &mut impl RepositoryHarness) {
    const DAY: i64 = 86_400_000;
    let (logs, erasure) = (harness.logs(), harness.erasure());
    let aged = |day: i64| event(NewLog { timestamp: at(day * DAY), ..log("u", "a") });
    store(&*logs, &[aged(10), aged(11), aged(12), aged(20)]).await;
    for _ in 0..2 {
        let stop = CancellationToken::new();
        let clock = Arc::new(Standing(20 * DAY + 5));
        let mut working = JoinSet::new();
        working.spawn(ErasureWorker::new(Arc::clone(&erasure), clock, 8, stop.clone()).run());
        eventually("the job is done", async || {
            let jobs = erasure.jobs(10).await.unwrap();
            jobs.len() == 1 && jobs[0].state == JobState::Done
        })
        .await;
        stop.cancel();
        working.join_all().await;
    }
    let jobs = erasure.jobs(10).await.unwrap();
    let job = &jobs[0];
    assert_eq!((job.kind, job.before, job.erased), (JobKind::Retention, Some(at(12 * DAY)), 2));
    assert_eq!(first_page(&*logs).await.total, 2);
}

#[tokio::test]
async fn another_process_takes_a_job_once_its_lease_is_over() {
    crate::contract::run::<crate::mongo::MongoHarness>(async |harness| {
        let erasure = harness.erasure();
        let first = job("one", &of_user("u"), 5);
        erasure.begin(&first).await.unwrap();
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        let short = Duration::from_millis(300);
        assert!(erasure.claim(one, short).await.unwrap().is_some());
        assert_eq!(erasure.claim(other, short).await.unwrap(), None);
        assert!(erasure.claim(one, short).await.unwrap().is_some(), "one's own may be taken again");
        eventually("the lease is over", async || erasure.claim(other, short).await.unwrap().is_some()).await;
        assert!(!erasure.keep(first.id, one, 9, short).await.unwrap());
        assert!(erasure.keep(first.id, other, 1, short).await.unwrap());
        assert_eq!(erasure.job(first.id).await.unwrap().unwrap().erased, 1);
    })
    .await;
}

#[tokio::test]
async fn an_erased_user_leaves_the_embedded_dead_letters_too() {
    let mut place = crate::place::Place::new();
    let letter = |offset: i64, value: &[u8]| DeadLetter {
        event_id: event(log("u", "a")).id,
        reason: DeadLetterReason::StoreRejected,
        position: Position { topic: "queue".into(), partition: 0, offset },
        timestamp: at(5),
        record: RawRecord { key: None, value: Some(value.to_vec()), headers: Default::default() },
    };
    let letters = [letter(-3, br#"{"userId":"u","action":{}}"#), letter(-2, br#"{"userId":"v"}"#), letter(-1, b"u")];
    let store = place.engine().store.clone();
    eyego::domain::ports::DeadLetters::publish(&*store, &letters).await.unwrap();
    assert_eq!(store.erase_dead_letters(&of_user("u"), Some(at(4))).await.unwrap(), 0);
    assert_eq!(store.erase_dead_letters(&of_user("u"), Some(at(5))).await.unwrap(), 1);
    drop(store);
    place.stop();
    let left = crate::place::query(
        place.path(),
        "logs.db",
        "SELECT position FROM dead_letters WHERE value IS NOT NULL ORDER BY position",
    );
    assert_eq!(left, [-2, -1]);
    let verdict = place.verify().await;
    assert!(verdict.faults.is_empty(), "{:?}", verdict.faults);
}

#[tokio::test]
async fn erased_records_stay_accounted_for_embedded() {
    let mut place = crate::place::Place::new();
    let events: Vec<Event> = (0..30).map(|n| event(log(["u", "v", "w"][n % 3], "a"))).collect();
    place.publish(&events[..20]).await;
    place.drain().await;
    let store = place.engine().store.clone();
    let first = job("one", &of_user("u"), RECEIVED);
    store.begin(&first).await.unwrap();
    erase_all(&*store, &of_user("u"), first.received_up_to).await;
    // Some were on their way.
    place.publish(&events[20..]).await;
    place.drain().await;
    let users: HashSet<Option<String>> = first_page(&*store).await.logs.into_iter().map(|log| log.user_id).collect();
    assert!(!users.contains(&Some("u".to_owned())) && users.len() == 2);
    drop(store);
    assert!(place.verify().await.faults.is_empty());
    place.restart();
    assert!(place.verify().await.faults.is_empty());
}
