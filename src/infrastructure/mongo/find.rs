//! Reading: pages of logs, and one log by its number.

use std::time::Duration;

use bson::{Bson, DateTime, Document, doc};

use super::{document, handles::Handles, store::MongoStore, totals};
use crate::domain::{ActivityLog, LogFilter, LogId, LogPage, PageBuilder, PageRequest, Timestamp, ports::PortError};

/// How long the server may work on a read; it gives up by itself then.
const MAX_TIME: Duration = Duration::from_secs(10);
/// How long anybody waits for it.
pub(super) const PATIENCE: Duration = Duration::from_secs(12);
/// No collection holds more; the server adds to what it is told to skip, so it must not be told the largest number.
const MAX_SKIP: u64 = 1 << 53;

pub(super) async fn find(store: &MongoStore, filter: &LogFilter, page: PageRequest) -> Result<LogPage, PortError> {
    let query = query(filter);
    let correction = store.totals().correction();
    store
        .call(PATIENCE, move |handles| async move {
            let logs = logs_of(&handles, query.clone(), page).await?;
            // A page that is cut short is not shown, so nobody needs its total.
            let total =
                if logs.is_cut_short() { 0 } else { total(&handles, query, page, logs.len(), correction).await? };
            Ok(logs.finish(total))
        })
        .await
        .map_err(|failure| failure.while_trying("list logs"))
}

async fn logs_of(handles: &Handles, query: Document, page: PageRequest) -> mongodb::error::Result<PageBuilder> {
    let mut cursor = handles
        .logs_to_read()
        .find(query)
        .sort(doc! {"id": 1})
        .skip(page.offset().min(MAX_SKIP))
        .limit(i64::from(page.limit()))
        .batch_size(page.limit())
        .allow_disk_use(true)
        .max_time(MAX_TIME)
        .await?;
    let mut logs = PageBuilder::default();
    while cursor.advance().await? {
        if !logs.push(document::decode(cursor.current())) {
            break;
        }
    }
    Ok(logs)
}

/// How many match. A page that is not full is the last one, and then no counting is needed.
async fn total(
    handles: &Handles,
    query: Document,
    page: PageRequest,
    found: usize,
    correction: Option<i64>,
) -> mongodb::error::Result<u64> {
    let found = found as u64;
    let up_to_here = page.offset().saturating_add(found);
    if found < u64::from(page.limit()) && (found > 0 || page.offset() == 0) {
        return Ok(up_to_here);
    }
    let counted = if query.is_empty() {
        totals::total(handles, correction, MAX_TIME).await?
    } else {
        handles.logs_to_read().count_documents(query).max_time(MAX_TIME).await?
    };
    // Logs may go while the second answer is under way; a full page is never more than all.
    Ok(if found > 0 { counted.max(up_to_here) } else { counted })
}

fn query(filter: &LogFilter) -> Document {
    let mut query = Document::new();
    any_of(&mut query, "userId", &filter.user_ids);
    any_of(&mut query, "action", &filter.actions);
    let mut range = Document::new();
    if let Some(from) = filter.from {
        range.insert("$gte", date(from));
    }
    if let Some(to) = filter.to {
        range.insert("$lte", date(to));
    }
    if !range.is_empty() {
        query.insert("timestamp", range);
    }
    query
}

/// Equality where there is one value: only then does the index deliver the logs in the order of their ids.
fn any_of(query: &mut Document, field: &str, values: &[String]) {
    match values {
        [] => {}
        [one] => {
            query.insert(field, doc! {"$eq": one});
        }
        several => {
            query.insert(field, doc! {"$in": several});
        }
    }
}

fn date(at: Timestamp) -> Bson {
    Bson::DateTime(DateTime::from_millis(at.as_millis()))
}

pub(super) async fn get(store: &MongoStore, id: LogId) -> Result<Option<ActivityLog>, PortError> {
    // Numbers compare by value: this finds Int32, Int64 and Double alike.
    let query = doc! {"id": id.get()};
    store
        .call(PATIENCE, |handles| async move { handles.logs_to_read().find_one(query).max_time(MAX_TIME).await })
        .await
        .map(|found| found.map(|log| document::decode(&log)))
        .map_err(|failure| failure.while_trying("read a log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_holds_every_condition_and_nothing_else() {
        assert_eq!(query(&LogFilter::default()), Document::new());
        let filter = LogFilter {
            user_ids: vec!["$gt".to_owned()],
            actions: vec!["a".to_owned(), "b".to_owned()],
            from: Some(Timestamp::from_millis(1)),
            to: Some(Timestamp::from_millis(2)),
        };
        let range = doc! {"$gte": DateTime::from_millis(1), "$lte": DateTime::from_millis(2)};
        let expected = doc! {"userId": {"$eq": "$gt"}, "action": {"$in": ["a", "b"]}, "timestamp": range};
        assert_eq!(query(&filter), expected);
    }
}
