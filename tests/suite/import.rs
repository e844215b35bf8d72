//! Putting an export back: every event once, with its own id where that is nobody else's.

use std::num::NonZeroUsize;

use eyego::{
    application::transfer::{
        import::{Import, ImportError, ImportParts},
        line_batches::{LineBatch, LineBatches, highest_id},
    },
    domain::{
        Event, LogId, NumberedEvent,
        ports::{DeleteOutcome, ImportIds, ImportProgress, ImportReporter, ImportSummary, LogRepository},
    },
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    contract::contract_suite,
    erasure::{RECEIVED, erase_all, job, of_user, settle},
    export::{lines, lines_of, varied},
    repository::RepositoryHarness,
    support::{at, event, log, store},
};

contract_suite! { import_suite:
    an_empty_store_becomes_what_was_exported
    ids_that_follow_are_above_those_that_were_kept
    a_store_that_held_a_log_gives_new_ids_in_order
    an_import_that_was_broken_off_goes_on_with_the_same_ids
    an_import_of_a_pipe_that_was_broken_off_goes_on_with_the_same_ids
    ids_that_somebody_took_meanwhile_are_not_taken_from_him
    an_import_is_finished_once
    deleted_events_stay_away
    erased_events_stay_away
    what_the_retention_drops_stays_away
    an_id_that_leaves_no_room_is_the_only_one_not_kept
    an_event_twice_is_stored_once
    another_event_under_an_id_that_is_taken_gets_one_of_its_own
    a_bad_line_ends_it_and_what_stands_before_is_stored
    bad_lines_are_left_out_if_asked_for
    an_end_that_is_asked_for_comes_after_the_batch_in_hand
    a_log_too_large_for_the_store_is_a_bad_line_or_is_stored
}

import_suite!(mongo, crate::mongo::MongoHarness);
import_suite!(embedded, crate::embedded::EmbeddedHarness);

#[derive(Debug, Default)]
pub(crate) struct Told {
    progress: ImportProgress,
    left_out: Vec<(u64, String)>,
}

impl ImportReporter for Told {
    fn begins(&mut self, _: ImportIds) {}

    fn progress(&mut self, progress: ImportProgress) {
        self.progress = progress;
    }

    fn left_out(&mut self, line: u64, reason: &str) {
        self.left_out.push((line, reason.to_owned()));
    }
}

/// An import, and what was told of it.
pub(crate) struct Imported {
    pub(crate) ids: ImportIds,
    pub(crate) summary: ImportSummary,
    pub(crate) ended: Result<(), ImportError>,
    told: Told,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct How {
    pub(crate) leaves_out: bool,
    /// As of a pipe: it cannot be looked through before.
    pub(crate) once: bool,
    pub(crate) stopped: bool,
}

pub(crate) async fn import_as(harness: &impl RepositoryHarness, text: &str, how: How) -> Imported {
    let parts = ImportParts {
        repository: harness.logs(),
        target: harness.import(),
        in_flight: NonZeroUsize::new(3).unwrap(),
        leaves_out: how.leaves_out,
    };
    let import = Import::begin(parts).await.unwrap();
    let ids = import.ids();
    if let Some(highest) = highest_id(text.as_bytes()).unwrap().filter(|_| !how.once) {
        import.set_aside(highest).await.unwrap();
    }
    let (sender, pieces) = mpsc::channel(2);
    let stop = CancellationToken::new();
    if how.stopped {
        stop.cancel();
    }
    let mut told = Told::default();
    let reading = async {
        let mut batches = LineBatches::of(text.as_bytes());
        loop {
            let batch = batches.read();
            if batch.as_ref().is_ok_and(LineBatch::is_empty) || sender.send((batch, 7)).await.is_err() {
                break;
            }
        }
        drop(sender);
    };
    let (ended, ()) = tokio::join!(import.run(pieces, &mut told, &stop), reading);
    let (summary, ended) = ended;
    Imported { ids, summary, ended, told }
}

pub(crate) async fn import(harness: &impl RepositoryHarness, text: &str) -> ImportSummary {
    let imported = import_as(harness, text, How::default()).await;
    imported.ended.unwrap();
    assert_eq!(imported.told.left_out, []);
    imported.summary
}

/// As another store may have given them out: with gaps, and not from 0 on.
fn elsewhere(count: usize) -> Vec<NumberedEvent> {
    let ids = (0..).map(|n| LogId::new(3 * n + 5));
    ids.zip(varied(count)).map(|(id, event)| NumberedEvent { id, offset: 0, event }).collect()
}

fn renumbered(events: &[NumberedEvent], first: i64) -> Vec<NumberedEvent> {
    (first..).zip(events).map(|(id, event)| NumberedEvent { id: LogId::new(id), ..event.clone() }).collect()
}

fn stored(count: usize) -> ImportSummary {
    ImportSummary { lines: count as u64, stored: count as u64, ..ImportSummary::default() }
}

async fn next_id(logs: &dyn LogRepository) -> i64 {
    logs.reserve(1).await.unwrap().next().unwrap().get()
}

async fn an_empty_store_becomes_what_was_exported(harness: &mut impl RepositoryHarness) {
    let text = lines(&elsewhere(2500));
    let imported = import_as(harness, &text, How::default()).await;
    imported.ended.unwrap();
    assert_eq!((imported.ids, imported.summary), (ImportIds::Kept { below: LogId::new(0) }, stored(2500)));
    assert_eq!(imported.told.progress, ImportProgress { lines: 2500, bytes: 7 });
    assert_eq!(lines_of(harness.export()).await, text);
    let again = import(harness, &text).await;
    assert_eq!((again.stored, again.already_stored), (0, 2500));
    assert_eq!(lines_of(harness.export()).await, text);
}

async fn ids_that_follow_are_above_those_that_were_kept(harness: &mut impl RepositoryHarness) {
    let events = elsewhere(10);
    import(harness, &lines(&events)).await;
    let highest = events.last().unwrap().id.get();
    assert_eq!(next_id(&*harness.logs()).await, highest + 1);
    harness.reopen().await;
    assert!(next_id(&*harness.logs()).await > highest);
}

async fn a_store_that_held_a_log_gives_new_ids_in_order(harness: &mut impl RepositoryHarness) {
    let own = store(&*harness.logs(), &[event(log("u", "own"))]).await;
    assert_eq!(harness.logs().delete(own[0].id).await.unwrap(), DeleteOutcome::Deleted);
    let events = elsewhere(1500);
    let imported = import_as(harness, &lines(&events), How::default()).await;
    imported.ended.unwrap();
    assert_eq!(imported.ids, ImportIds::New);
    assert_eq!(imported.summary, ImportSummary { renumbered: 1500, ..stored(1500) });
    assert_eq!(lines_of(harness.export()).await, lines(&renumbered(&events, 1)));
}

async fn an_import_that_was_broken_off_goes_on_with_the_same_ids(harness: &mut impl RepositoryHarness) {
    goes_on(harness, How::default()).await;
}

async fn an_import_of_a_pipe_that_was_broken_off_goes_on_with_the_same_ids(harness: &mut impl RepositoryHarness) {
    goes_on(harness, How { once: true, ..How::default() }).await;
}

async fn goes_on(harness: &mut impl RepositoryHarness, how: How) {
    let events = elsewhere(2500);
    let text = lines(&events);
    let half = format!("{}nonsense\n{}", lines(&events[..1700]), lines(&events[1700..]));
    let broken = import_as(harness, &half, how).await;
    assert!(matches!(broken.ended, Err(ImportError::Line(1701, _))), "{:?}", broken.ended);
    assert_eq!(broken.summary, ImportSummary { lines: 1701, ..stored(1700) });
    harness.reopen().await;
    let rest = import_as(harness, &text, how).await;
    rest.ended.unwrap();
    assert!(matches!(rest.ids, ImportIds::Kept { below } if below > LogId::new(0)), "{:?}", rest.ids);
    assert_eq!(rest.summary, ImportSummary { stored: 800, already_stored: 1700, ..stored(2500) });
    assert_eq!(lines_of(harness.export()).await, text);
}

async fn ids_that_somebody_took_meanwhile_are_not_taken_from_him(harness: &mut impl RepositoryHarness) {
    let events = elsewhere(1500);
    let half = format!("{}nonsense\n", lines(&events[..700]));
    let broken = import_as(harness, &half, How { once: true, ..How::default() }).await;
    assert!(broken.ended.is_err());
    let own = store(&*harness.logs(), &varied(20)).await;
    let next = events[699].id.get() + 1;
    assert_eq!(own[0].id, LogId::new(next), "nobody knows of ids that are still to come");
    let rest = import_as(harness, &lines(&events), How::default()).await;
    rest.ended.unwrap();
    assert_eq!(rest.summary, ImportSummary { stored: 800, already_stored: 700, renumbered: 800, ..stored(1500) });
    let new = renumbered(&events[700..], next + 20);
    let expected = [lines(&events[..700]), lines(&own), lines(&new)].concat();
    assert_eq!(lines_of(harness.export()).await, expected);
}

async fn an_import_is_finished_once(harness: &mut impl RepositoryHarness) {
    import(harness, &lines(&elsewhere(5))).await;
    let other = renumbered(&elsewhere(5), 100);
    let imported = import_as(harness, &lines(&other), How::default()).await;
    imported.ended.unwrap();
    assert_eq!((imported.ids, imported.summary.renumbered), (ImportIds::New, 5));
}

async fn deleted_events_stay_away(harness: &mut impl RepositoryHarness) {
    let events = elsewhere(5);
    let text = lines(&events);
    import(harness, &text).await;
    assert_eq!(harness.logs().delete(events[2].id).await.unwrap(), DeleteOutcome::Deleted);
    let again = import(harness, &text).await;
    assert_eq!((again.stored, again.already_stored, again.deleted), (0, 4, 1));
    let left = [lines(&events[..2]), lines(&events[3..])].concat();
    assert_eq!(lines_of(harness.export()).await, left);
}

async fn erased_events_stay_away(harness: &mut impl RepositoryHarness) {
    let events: Vec<Event> = (0..6).map(|n| event(log(["gone", "kept"][n % 2], "a"))).collect();
    let text = lines(&store(&*harness.logs(), &events).await);
    let (erasure, filter) = (harness.erasure(), of_user("gone"));
    let job = job("one", &filter, RECEIVED);
    erasure.begin(&job).await.unwrap();
    erase_all(&*erasure, &filter, job.received_up_to).await;
    settle(&*erasure).await;
    let again = import(harness, &text).await;
    assert_eq!((again.stored, again.already_stored, again.deleted), (0, 3, 3));
}

async fn what_the_retention_drops_stays_away(harness: &mut impl RepositoryHarness) {
    let events = elsewhere(12);
    let (old, young) = events.split_at(6);
    let (erasure, first) = (harness.erasure(), young[0].event.log.timestamp);
    erasure.retain_from(Some(first), at(0)).await.unwrap();
    settle(&*erasure).await;
    for stored in [6, 0] {
        let summary = import(harness, &lines(&events)).await;
        assert_eq!((summary.stored, summary.already_stored, summary.deleted), (stored, 6 - stored, old.len() as u64));
        assert_eq!(lines_of(harness.export()).await, lines(young));
    }
}

async fn an_id_that_leaves_no_room_is_the_only_one_not_kept(harness: &mut impl RepositoryHarness) {
    let mut events = elsewhere(4);
    events[1].id = LogId::new(i64::MAX);
    events[2].id = LogId::new(1 << 53);
    let summary = import(harness, &lines(&events)).await;
    assert_eq!((summary.stored, summary.renumbered), (4, 2));
    let above = events[3].id.get() + 1;
    let expected = [&events[..1], &events[3..], &renumbered(&events[1..3], above)].concat();
    assert_eq!(lines_of(harness.export()).await, lines(&expected));
}

async fn an_event_twice_is_stored_once(harness: &mut impl RepositoryHarness) {
    let events = elsewhere(3);
    let twice = [lines(&events), lines(&events)].concat();
    let summary = import(harness, &twice).await;
    assert_eq!((summary.stored, summary.already_stored), (3, 3));
}

async fn another_event_under_an_id_that_is_taken_gets_one_of_its_own(harness: &mut impl RepositoryHarness) {
    let events = elsewhere(3);
    let other = NumberedEvent { id: events[0].id, ..elsewhere(4).remove(3) };
    let summary = import(harness, &[lines(&events), lines(std::slice::from_ref(&other))].concat()).await;
    assert_eq!((summary.stored, summary.renumbered), (4, 1));
    let renumbered = NumberedEvent { id: LogId::new(events[2].id.get() + 1), ..other };
    assert_eq!(lines_of(harness.export()).await, [lines(&events), lines(&[renumbered])].concat());
}

async fn a_bad_line_ends_it_and_what_stands_before_is_stored(harness: &mut impl RepositoryHarness) {
    let events = elsewhere(4);
    let text = format!("{}\n\n{{\"id\":1}}\n{}", lines(&events[..2]), lines(&events[2..]));
    let imported = import_as(harness, &text, How::default()).await;
    let Err(ImportError::Line(5, reason)) = &imported.ended else { panic!("{:?}", imported.ended) };
    assert!(reason.contains("not those of a list"), "{reason}");
    assert_eq!(imported.summary, ImportSummary { lines: 3, ..stored(2) });
    assert_eq!(lines_of(harness.export()).await, lines(&events[..2]));
}

async fn bad_lines_are_left_out_if_asked_for(harness: &mut impl RepositoryHarness) {
    let events = elsewhere(4);
    let text = format!("x\n{}\ny\n{}", lines(&events[..2]), lines(&events[2..]));
    let imported = import_as(harness, &text, How { leaves_out: true, ..How::default() }).await;
    imported.ended.unwrap();
    assert_eq!(imported.summary, ImportSummary { lines: 6, left_out: 2, ..stored(4) });
    assert_eq!(imported.told.left_out.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 5]);
    assert_eq!(lines_of(harness.export()).await, lines(&events));
}

async fn an_end_that_is_asked_for_comes_after_the_batch_in_hand(harness: &mut impl RepositoryHarness) {
    let text = lines(&elsewhere(5));
    let imported = import_as(harness, &text, How { stopped: true, ..How::default() }).await;
    assert!(matches!(imported.ended, Err(ImportError::Interrupted)), "{:?}", imported.ended);
    assert_eq!(import(harness, &text).await.stored, 5);
    assert_eq!(lines_of(harness.export()).await, text);
}

async fn a_log_too_large_for_the_store_is_a_bad_line_or_is_stored(harness: &mut impl RepositoryHarness) {
    let mut events = elsewhere(3);
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(17 << 20));
    events[1].event = Event {
        log: eyego::domain::NewLog {
            metadata: eyego::domain::Metadata::from_canonical(large),
            ..events[1].event.log.clone()
        },
        ..events[1].event.clone()
    };
    let imported = import_as(harness, &lines(&events), How { leaves_out: true, ..How::default() }).await;
    imported.ended.unwrap();
    let ImportSummary { stored, left_out, .. } = imported.summary;
    if left_out == 1 {
        assert_eq!(stored, 2);
        let (line, reason) = &imported.told.left_out[0];
        assert!(*line == 2 && reason.contains("the limit is 16777216"), "{reason}");
    } else {
        assert_eq!((stored, left_out), (3, 0));
        assert!(lines_of(harness.export()).await == lines(&events));
    }
}
