//! Appending: an unordered insert whose every document gets its own outcome, then the look at the tombstones. What a
//! rule of an erasure covers is not inserted at all.

use std::{collections::HashSet, time::Duration};

use bson::{Binary, RawDocumentBuf, doc};
use mongodb::{ClientSession, error::ErrorKind, options::ReadConcern};

use super::{document, error, handles::Handles, store::MongoStore};
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
    let mut outcomes = insert_by(store, batch, &known.rules).await?;
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
            of_erased.for_each(|(outcome, _)| *outcome = AppendOutcome::Deleted);
        }
    }
    Ok(outcomes)
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

async fn insert_by(
    store: &MongoStore,
    batch: &[NumberedEvent],
    rules: &ErasureRules,
) -> Result<Vec<AppendOutcome>, PortError> {
    let ids: Vec<EventId> = batch.iter().map(|numbered| numbered.event.id).collect();
    let (documents, refused) = encode(batch, rules);
    let (inserted, deleted) = store
        .call(PATIENCE, {
            let ids = ids.clone();
            move |handles| async move { insert_then_check(&handles, &documents, &ids).await }
        })
        .await
        .map_err(|failure| failure.while_trying("append logs"))?;
    let mut inserted = inserted.into_iter();
    let outcomes = ids.iter().zip(refused).map(|(id, refused)| {
        // The insert says something about every document that was not refused, so the default is never used.
        let outcome = refused.or_else(|| inserted.next()).unwrap_or(AppendOutcome::IdTaken);
        if deleted.contains(id) { AppendOutcome::Deleted } else { outcome }
    });
    Ok(outcomes.collect())
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

/// What is known to be deleted is not inserted at all, so that nobody sees it come and go. Then the insert, and then
/// the tombstones once more: a delete writes its tombstone before it deletes, so whichever way the two
/// interleave, either the insert is before the delete or the look-up is after the tombstone. The session makes the
/// look-up see at least what the insert saw, also across a change of the primary.
async fn insert_then_check(
    handles: &Handles,
    documents: &[RawDocumentBuf],
    ids: &[EventId],
) -> mongodb::error::Result<(Vec<AppendOutcome>, HashSet<EventId>)> {
    let mut session = handles.writer().client().start_session().causal_consistency(true).await?;
    let known = tombstones_among(handles, &mut session, ids).await?;
    let outcomes = if known.is_empty() {
        insert(handles, &mut session, documents).await?
    } else {
        insert_all_but(&known, handles, &mut session, documents).await?
    };
    let deleted = tombstones_among(handles, &mut session, ids).await?;
    if !deleted.is_empty() {
        let keys: Vec<Binary> = deleted.iter().copied().map(document::key).collect();
        handles.logs().delete_many(doc! {"_id": {"$in": keys}}).session(&mut session).await?;
    }
    Ok((outcomes, deleted))
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
