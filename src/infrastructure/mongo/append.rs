//! Appending: an unordered insert whose every document gets its own outcome, then the look at the tombstones. What a
//! rule of an erasure covers is not inserted at all.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use bson::{Binary, RawDocumentBuf, doc};
use mongodb::{ClientSession, error::ErrorKind, options::ReadConcern};

use super::{
    counts::{Change, Ids, Quarters, quarter_of},
    document, error,
    handles::Handles,
    store::MongoStore,
};
use crate::domain::{
    ErasureRules, EventId, NumberedEvent,
    ports::{AppendOutcome, PortError},
};

/// Longer than the server waits for the majority, for the insert and for the deletes.
const PATIENCE: Duration = Duration::from_secs(30);
/// How old the rules may be by which a batch goes.
const RULES_AGE: Duration = Duration::from_secs(2);
/// A batch that has taken longer than this since its rules were read is held against those of now. Then a rule is known
/// to every append that ends later than this after it was made.
const RULES_HOLD: Duration = Duration::from_secs(5);

pub(super) async fn append(store: &MongoStore, batch: &[NumberedEvent]) -> Result<Vec<AppendOutcome>, PortError> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let known = store.rules_of_late(RULES_AGE).await?;
    let counting = store.counting(quarters(batch)).await?;
    let Inserted { mut outcomes, mut doubtful } = insert_by(store, batch, &known.rules).await?;
    if known.at.elapsed() > RULES_HOLD {
        let now = store.rules_of_late(Duration::ZERO).await?;
        let erased: HashSet<EventId> = batch
            .iter()
            .filter(|numbered| now.rules.cover(&numbered.event))
            .map(|numbered| numbered.event.id)
            .collect();
        if !erased.is_empty() {
            remove(store, &erased).await?;
            let of_erased = outcomes.iter_mut().zip(batch).filter(|(_, numbered)| erased.contains(&numbered.event.id));
            for (outcome, numbered) in of_erased {
                *outcome = AppendOutcome::Deleted;
                doubtful.insert(quarter(numbered));
            }
        }
    }
    let of_batch = || outcomes.iter().zip(batch);
    // What is stored already may have been stored by an attempt that nobody counted.
    doubtful
        .extend(of_batch().filter(|(outcome, _)| **outcome == AppendOutcome::AlreadyStored).map(|(_, it)| quarter(it)));
    let stored = of_batch().filter(|(outcome, _)| **outcome == AppendOutcome::Stored);
    counting.settle(stored.map(|(_, numbered)| one_more(numbered)), doubtful);
    Ok(outcomes)
}

fn quarters(batch: &[NumberedEvent]) -> Quarters {
    let mut quarters = Quarters::new();
    for numbered in batch {
        let ids = quarters.entry(quarter(numbered)).or_insert(Ids::NONE);
        *ids = ids.and(Ids::of(numbered.id));
    }
    quarters
}

fn quarter(numbered: &NumberedEvent) -> i64 {
    quarter_of(numbered.event.log.timestamp)
}

fn one_more(numbered: &NumberedEvent) -> Change<'_> {
    Change { quarter: quarter(numbered), action: Some(numbered.event.log.action.as_str()), by: 1 }
}

/// What became of a batch.
struct Inserted {
    outcomes: Vec<AppendOutcome>,
    /// The quarters of which not only this batch's own logs were deleted.
    doubtful: BTreeSet<i64>,
}

async fn remove(store: &MongoStore, events: &HashSet<EventId>) -> Result<(), PortError> {
    let keys: Vec<Binary> = events.iter().copied().map(document::key).collect();
    store
        .call(PATIENCE, move |handles| async move {
            handles.logs().delete_many(doc! {"_id": {"$in": keys}}).await.map(drop)
        })
        .await
        .map_err(|failure| failure.while_trying("remove what was erased meanwhile"))
}

async fn insert_by(store: &MongoStore, batch: &[NumberedEvent], rules: &ErasureRules) -> Result<Inserted, PortError> {
    let ids: Vec<EventId> = batch.iter().map(|numbered| numbered.event.id).collect();
    let (documents, refused) = encode(batch, rules);
    let Checked { outcomes: inserted, deleted, removed } = store
        .call(PATIENCE, {
            let ids = ids.clone();
            move |handles| async move { insert_then_check(&handles, &documents, &ids).await }
        })
        .await
        .map_err(|failure| failure.while_trying("append logs"))?;
    let mut inserted = inserted.into_iter();
    let (mut own, mut doubtful) = (0, BTreeSet::new());
    let outcomes = batch.iter().zip(refused).map(|(numbered, refused)| {
        // The insert says something about every document that was not refused, so the default is never used.
        let outcome = refused.or_else(|| inserted.next()).unwrap_or(AppendOutcome::IdTaken);
        if !deleted.contains(&numbered.event.id) {
            return outcome;
        }
        own += u64::from(outcome == AppendOutcome::Stored);
        doubtful.insert(quarter(numbered));
        AppendOutcome::Deleted
    });
    let outcomes = outcomes.collect();
    if removed == own {
        doubtful.clear();
    }
    Ok(Inserted { outcomes, doubtful })
}

/// The documents that can and may be, and for each event why there is none. One by one, because a document that cannot
/// be sent would fail the whole command.
fn encode(batch: &[NumberedEvent], rules: &ErasureRules) -> (Vec<RawDocumentBuf>, Vec<Option<AppendOutcome>>) {
    let mut documents = Vec::with_capacity(batch.len());
    let refused = batch.iter().map(|numbered| match document::encode(numbered) {
        _ if rules.cover(&numbered.event) => Some(AppendOutcome::Deleted),
        Ok(document) => {
            documents.push(document);
            None
        }
        Err(reason) => Some(AppendOutcome::Rejected(reason)),
    });
    let refused = refused.collect();
    (documents, refused)
}

/// What became of the documents of a batch.
struct Checked {
    outcomes: Vec<AppendOutcome>,
    /// Those with tombstones, and how many of them were there to be deleted.
    deleted: HashSet<EventId>,
    removed: u64,
}

/// What is known to be deleted is not inserted at all, so that nobody sees it come and go. Then the insert, and then
/// the tombstones once more: a delete writes its tombstone before it deletes, so whichever way the two
/// interleave, either the insert is before the delete or the look-up is after the tombstone. The session makes the
/// look-up see at least what the insert saw, also across a change of the primary.
async fn insert_then_check(
    handles: &Handles,
    documents: &[RawDocumentBuf],
    ids: &[EventId],
) -> mongodb::error::Result<Checked> {
    let mut session = handles.writer().client().start_session().causal_consistency(true).await?;
    let known = tombstones_among(handles, &mut session, ids).await?;
    let outcomes = if known.is_empty() {
        insert(handles, &mut session, documents).await?
    } else {
        insert_all_but(&known, handles, &mut session, documents).await?
    };
    let deleted = tombstones_among(handles, &mut session, ids).await?;
    let mut removed = 0;
    if !deleted.is_empty() {
        let keys: Vec<Binary> = deleted.iter().copied().map(document::key).collect();
        let those = doc! {"_id": {"$in": keys}};
        removed = handles.logs().delete_many(those).session(&mut session).await?.deleted_count;
    }
    Ok(Checked { outcomes, deleted, removed })
}

/// What is left out counts as stored already; the tombstone found for it makes it a deleted one.
async fn insert_all_but(
    known: &HashSet<EventId>,
    handles: &Handles,
    session: &mut ClientSession,
    documents: &[RawDocumentBuf],
) -> mongodb::error::Result<Vec<AppendOutcome>> {
    let is_known = |document: &RawDocumentBuf| {
        document.get("_id").ok().flatten().and_then(document::event_id).is_some_and(|id| known.contains(&id))
    };
    let others: Vec<RawDocumentBuf> = documents.iter().filter(|document| !is_known(document)).cloned().collect();
    let mut inserted = insert(handles, session, &others).await?.into_iter();
    let outcome = |document| if is_known(document) { None } else { inserted.next() };
    Ok(documents.iter().map(outcome).map(|outcome| outcome.unwrap_or(AppendOutcome::AlreadyStored)).collect())
}

/// Inserts in one command; where the server refuses the whole because of some document, in halves until it is found.
async fn insert(
    handles: &Handles,
    session: &mut ClientSession,
    documents: &[RawDocumentBuf],
) -> mongodb::error::Result<Vec<AppendOutcome>> {
    let mut outcomes = Vec::with_capacity(documents.len());
    let mut open = vec![documents];
    while let Some(some) = open.pop() {
        match insert_at_once(handles, session, some).await {
            Ok(settled) => outcomes.extend(settled),
            Err(failed) if !error::is_about_a_document(&failed) => return Err(failed),
            Err(_) if some.len() == 1 => {
                outcomes.push(AppendOutcome::Rejected("the server refuses it by itself".to_owned()));
            }
            Err(_) => {
                let (first, second) = some.split_at(some.len() / 2);
                // The last one in is the first one out: outcomes stay in order.
                open.extend([second, first]);
            }
        }
    }
    Ok(outcomes)
}

async fn insert_at_once(
    handles: &Handles,
    session: &mut ClientSession,
    documents: &[RawDocumentBuf],
) -> mongodb::error::Result<Vec<AppendOutcome>> {
    if documents.is_empty() {
        return Ok(Vec::new());
    }
    let inserted = handles.logs().insert_many(documents).ordered(false).session(session).await;
    match inserted {
        Ok(_) => Ok(vec![AppendOutcome::Stored; documents.len()]),
        Err(failed) => match &*failed.kind {
            ErrorKind::InsertMany(errors) => error::outcomes(documents.len(), errors).ok_or(failed),
            _ => Err(failed),
        },
    }
}

async fn tombstones_among(
    handles: &Handles,
    session: &mut ClientSession,
    ids: &[EventId],
) -> mongodb::error::Result<HashSet<EventId>> {
    if !are_there_tombstones(handles, session).await? {
        return Ok(HashSet::new());
    }
    let keys: Vec<Binary> = ids.iter().copied().map(document::key).collect();
    let mut found = HashSet::new();
    let mut cursor = handles
        .tombstones()
        .find(doc! {"_id": {"$in": keys}})
        .projection(doc! {"_id": 1})
        .read_concern(ReadConcern::majority())
        .session(&mut *session)
        .await?;
    while cursor.advance(session).await? {
        found.extend(cursor.current().get("_id").ok().flatten().and_then(document::event_id));
    }
    Ok(found)
}

/// Most services never delete, and then one look tells as much as a thousand. Once there was one it is not asked again.
async fn are_there_tombstones(handles: &Handles, session: &mut ClientSession) -> mongodb::error::Result<bool> {
    if handles.has_tombstones() {
        return Ok(true);
    }
    let any = handles
        .tombstones()
        .find_one(doc! {})
        .projection(doc! {"_id": 1})
        .read_concern(ReadConcern::majority())
        .session(session)
        .await?;
    if any.is_some() {
        handles.note_tombstones();
    }
    Ok(any.is_some())
}
