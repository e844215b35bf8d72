//! Which documents a query selects.

use bson::{Bson, DateTime, Document, doc};

use super::{counts::Ids, document};
use crate::domain::{From, LogFilter, LogQuery, MetadataMatch, MetadataNumber, Order, Place, Timestamp};

/// By the filter, the place from where on, and the place up to which.
pub(super) fn of_query(query: &LogQuery, ids: Option<Ids>) -> Document {
    let mut conditions = conditions(&query.filter);
    if let From::After(place) = query.from {
        conditions.extend(behind(query.order, place));
    }
    if let Some(up_to) = query.up_to {
        conditions.push(doc! {"id": {"$lte": up_to.get()}});
    }
    conditions.extend(ids.into_iter().flat_map(within));
    all_of(conditions)
}

/// By the filter alone.
pub(super) fn of_filter(filter: &LogFilter) -> Document {
    all_of(conditions(filter))
}

/// By the filter and one more condition.
pub(super) fn of_filter_and(filter: &LogFilter, condition: Document) -> Document {
    let mut conditions = conditions(filter);
    conditions.push(condition);
    all_of(conditions)
}

fn all_of(conditions: Vec<Document>) -> Document {
    if conditions.is_empty() {
        Document::new()
    } else {
        doc! {"$and": conditions}
    }
}

fn conditions(filter: &LogFilter) -> Vec<Document> {
    let mut all = Vec::new();
    all.extend(any_of("userId", &filter.user_ids));
    all.extend(any_of("action", &filter.actions));
    all.extend(filter.action_prefix.as_deref().map(prefixed));
    all.extend(filter.from.map(|from| doc! {"timestamp": {"$gte": date(from)}}));
    all.extend(filter.to.map(|to| doc! {"timestamp": {"$lte": date(to)}}));
    all.extend(filter.event_id.map(|id| doc! {"_id": document::key(id)}));
    all.extend(filter.metadata.iter().map(has));
    all
}

/// A bound that is none would leave out ids that are no numbers.
pub(super) fn within(ids: Ids) -> impl Iterator<Item = Document> {
    let from = (ids.first != i64::MIN).then(|| doc! {"id": {"$gte": ids.first}});
    let to = (ids.last != i64::MAX).then(|| doc! {"id": {"$lte": ids.last}});
    from.into_iter().chain(to)
}

/// Equality where there is one value: only then does the index deliver the logs in the order of their ids.
fn any_of(field: &str, values: &[String]) -> Option<Document> {
    match values {
        [] => None,
        [one] => Some(doc! {field: {"$eq": one}}),
        several => Some(doc! {field: {"$in": several}}),
    }
}

/// A range of texts, which is what the index has.
fn prefixed(prefix: &str) -> Document {
    match LogFilter::end_of_prefix(prefix) {
        Some(end) => doc! {"action": {"$gte": prefix, "$lt": end}},
        None => doc! {"action": {"$gte": prefix}},
    }
}

fn date(at: Timestamp) -> Bson {
    Bson::DateTime(DateTime::from_millis(at.as_millis()))
}

/// A dotted path goes through arrays by itself, and numbers of all types compare by value.
fn has(condition: &MetadataMatch) -> Document {
    let mut values = vec![Bson::from(condition.text())];
    values.extend(condition.boolean().map(Bson::from));
    values.extend(condition.number().map(|number| match number {
        MetadataNumber::Integer(integer) => Bson::Int64(integer),
        MetadataNumber::Double(double) => Bson::Double(double),
    }));
    doc! {format!("metadata.{}", condition.path()): {"$in": values}}
}

/// Logs of the old service whose timestamp is none: by type, so that an index leads to them.
pub(super) fn without_time() -> Document {
    let types = ["double", "string", "object", "array", "binData", "objectId", "bool", "int", "long", "decimal"];
    doc! {"$or": [{"timestamp": Bson::Null}, {"timestamp": {"$type": types.as_slice()}}]}
}

/// The value of a field where it is a text, else null.
pub(super) fn text_of(field: &str) -> Document {
    let value = format!("${field}");
    doc! {"$cond": [{"$eq": [{"$type": &value}, "string"]}, &value, Bson::Null]}
}

/// By timestamp there are two: the first is what the index is entered by, the second leaves out what has the very
/// timestamp and stands before.
fn behind(order: Order, place: Place) -> Vec<Document> {
    let (compared, or_equal) = if order.is_descending() { ("$lt", "$lte") } else { ("$gt", "$gte") };
    let by_id = doc! {"id": {compared: place.id.get()}};
    if !order.is_by_timestamp() {
        return vec![by_id];
    }
    let has_none = doc! {"timestamp": Bson::Null};
    let Some(at) = place.timestamp.map(date) else {
        let same = doc! {"$and": [has_none, by_id]};
        return match order.is_descending() {
            true => vec![same],
            false => vec![doc! {"$or": [same, {"timestamp": {"$gte": DateTime::MIN}}]}],
        };
    };
    let beyond = doc! {"$or": [{"timestamp": {compared: &at}}, by_id]};
    let from_there = doc! {"timestamp": {or_equal: at}};
    match order.is_descending() {
        // Those without a timestamp come last.
        true => vec![doc! {"$or": [has_none, {"$and": [from_there, beyond]}]}],
        false => vec![from_there, beyond],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conditions_are_those_of_the_filter_and_no_others() {
        assert_eq!(of_filter(&LogFilter::default()), Document::new());
        let filter = LogFilter {
            user_ids: vec!["$gt".to_owned()],
            actions: vec!["a".to_owned(), "b".to_owned()],
            action_prefix: Some("a.".to_owned()),
            from: Some(Timestamp::from_millis(1)),
            to: Some(Timestamp::from_millis(2)),
            metadata: vec![MetadataMatch::parse("x.y", "7").unwrap()],
            ..LogFilter::default()
        };
        let expected = doc! {"$and": [
            {"userId": {"$eq": "$gt"}},
            {"action": {"$in": ["a", "b"]}},
            {"action": {"$gte": "a.", "$lt": "a/"}},
            {"timestamp": {"$gte": DateTime::from_millis(1)}},
            {"timestamp": {"$lte": DateTime::from_millis(2)}},
            {"metadata.x.y": {"$in": ["7", 7_i64]}},
        ]};
        assert_eq!(of_filter(&filter), expected);
    }
}
