//! Counting logs: from the kept counts where they tell it, else from the logs.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use futures_util::TryStreamExt;

use super::{
    counts::{field_of, in_doubt, whole},
    document::integer,
    erasure_rules::{date, time},
    filter,
    find::GRACE,
    handles::Handles,
    store::MongoStore,
    top_actions::top_actions,
};
use crate::domain::{
    Group, GroupBy, LogFilter, QUARTER_HOUR, Slot, Span, Timestamp, Tops,
    ports::{LogStatistics, PortError},
};

/// With more gaps than this between quarters in doubt, what lies between them is counted from the logs as well.
pub(super) const MAX_SPANS: usize = 32;

#[async_trait]
impl LogStatistics for MongoStore {
    async fn histogram(&self, filter: &LogFilter, grain: i64, max_time: Duration) -> Result<Vec<Slot>, PortError> {
        let kept = grain == QUARTER_HOUR && filter.is_of_actions() && self.counts().are_complete();
        let (filter, lease) = (filter.clone(), self.counts().lease());
        let (undated, indexed) = (false, kept);
        self.call(max_time + GRACE, move |handles| async move {
            let reading = Reading { handles: &handles, filter: &filter, lease, undated, indexed, max_time };
            let slots = if kept { reading.kept_slots().await? } else { reading.slots(&filter, grain, None).await? };
            Ok(slots.into_iter().map(slot).collect())
        })
        .await
        .map_err(|failure| failure.while_trying("count logs"))
    }

    async fn tops(&self, filter: &LogFilter, by: GroupBy, most: u32, max_time: Duration) -> Result<Tops, PortError> {
        let kept = by == GroupBy::Action && filter.is_of_actions() && self.counts().are_complete();
        let (filter, counts) = (filter.clone(), self.counts());
        let (lease, undated, indexed) = (counts.lease(), counts.have_undated(), counts.are_complete());
        self.call(max_time + GRACE, move |handles| async move {
            let reading = Reading { handles: &handles, filter: &filter, lease, undated, indexed, max_time };
            if kept { top_actions(&reading, most).await } else { reading.tops(by, most).await }
        })
        .await
        .map_err(|failure| failure.while_trying("count logs"))
    }
}

fn slot((start, count): (i64, i64)) -> Slot {
    // What was deleted may be taken off before what was stored is added.
    Slot { start: Timestamp::from_millis(start), count: u64::try_from(count).unwrap_or(0) }
}

/// One question under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) handles: &'a Handles,
    pub(super) filter: &'a LogFilter,
    lease: Duration,
    /// Some logs have no time.
    pub(super) undated: bool,
    /// The indexes of filters have been built.
    indexed: bool,
    max_time: Duration,
}

impl Reading<'_> {
    async fn kept_slots(&self) -> mongodb::error::Result<BTreeMap<i64, i64>> {
        let (before, whole, behind) = Span::of(self.filter).split(QUARTER_HOUR);
        let mut in_doubt = self.in_doubt(whole).await?;
        let (projection, by_action) = match self.filter {
            filter if filter.takes_every_action() => (doc! {"n": 1}, false),
            LogFilter { actions, action_prefix: None, .. } => {
                let fields = actions.iter().map(|action| (format!("a.{}", field_of(Some(action))), Bson::Int32(1)));
                (fields.chain([("o".to_owned(), Bson::Int32(1))]).collect(), true)
            }
            _ => (doc! {"a": 1, "o": 1}, true),
        };
        let mut slots = BTreeMap::new();
        let mut counts = self.counts_of(whole, projection).await?;
        while counts.advance().await? {
            let counts = counts.current();
            let Some(start) = time(counts, "_id").map(Timestamp::as_millis) else { continue };
            if in_doubt.contains(&start) {
                continue;
            }
            if by_action && counts.get_bool("o").unwrap_or(false) {
                in_doubt.insert(start);
                continue;
            }
            let count = if by_action { self.sum_of_actions(counts) } else { number(counts, "n") };
            if count != 0 {
                slots.insert(start, count);
            }
        }
        for span in spans(in_doubt.into_iter(), &[before, behind]) {
            let selected = span.select(self.filter);
            let counted = self.slots(&selected, QUARTER_HOUR, Some(doc! {"timestamp": 1, "id": 1})).await?;
            slots.retain(|start, _| *start < span.from || *start >= span.end);
            slots.extend(counted);
        }
        Ok(slots)
    }

    fn sum_of_actions(&self, counts: &RawDocument) -> i64 {
        actions(counts).filter(|(action, _)| self.filter.takes_action(action.as_deref())).map(|(_, count)| count).sum()
    }

    pub(super) async fn in_doubt(&self, span: Span) -> mongodb::error::Result<std::collections::BTreeSet<i64>> {
        in_doubt(self.handles, span, self.lease, self.max_time).await
    }

    /// The documents of counts of a stretch of time, in order.
    pub(super) async fn counts_of(
        &self,
        span: Span,
        projection: Document,
    ) -> mongodb::error::Result<mongodb::Cursor<RawDocumentBuf>> {
        let range = doc! {"$gte": millis(span.from), "$lt": millis(span.end)};
        let counts = self.handles.counts_to_read();
        let found = counts.find(doc! {"_id": range}).projection(projection);
        found.sort(doc! {"_id": 1}).batch_size(10_000).max_time(self.max_time).await
    }

    /// From the logs.
    async fn slots(
        &self,
        filter: &LogFilter,
        grain: i64,
        hint: Option<Document>,
    ) -> mongodb::error::Result<BTreeMap<i64, i64>> {
        let slot = doc! {"$floor": {"$divide": [{"$toLong": "$timestamp"}, grain]}};
        let group = doc! {"$group": {"_id": slot, "n": {"$sum": 1_i64}}};
        let groups = self.groups(filter, vec![group], hint).await?;
        let read = |group: Document| Some((whole(group.get("_id")?)? * grain, whole(group.get("n")?)?));
        Ok(groups.into_iter().filter_map(read).collect())
    }

    /// From the logs of a stretch of time: each action and its logs.
    pub(super) async fn actions_of_logs(&self, span: Span) -> mongodb::error::Result<Vec<(Option<String>, i64)>> {
        let hint = doc! {"timestamp": 1, "id": 1};
        let groups = self.groups(&span.select(self.filter), vec![by_action()], Some(hint)).await?;
        Ok(Self::actions_of(&groups))
    }

    /// The actions of logs without a time.
    pub(super) async fn actions_of_undated(&self) -> mongodb::error::Result<Vec<(Option<String>, i64)>> {
        let stages = vec![doc! {"$match": filter::without_time()}, by_action()];
        Ok(Self::actions_of(&self.groups(self.filter, stages, None).await?))
    }

    fn actions_of(groups: &[Document]) -> Vec<(Option<String>, i64)> {
        groups.iter().map(|group| (group.get_str("_id").ok().map(str::to_owned), of_group(group))).collect()
    }

    /// From the logs.
    pub(super) async fn tops(&self, by: GroupBy, most: u32) -> mongodb::error::Result<Tops> {
        let field = match by {
            GroupBy::Action => "action",
            GroupBy::UserId => "userId",
        };
        let stages = vec![
            doc! {"$group": {"_id": filter::text_of(field), "n": {"$sum": 1_i64}}},
            doc! {"$facet": {
                "groups": [{"$sort": {"n": -1, "_id": 1}}, {"$limit": i64::from(most)}],
                "total": [{"$group": {"_id": Bson::Null, "n": {"$sum": "$n"}}}],
            }},
        ];
        // Without a condition it is the keys of one index, and else every log.
        let hint = (self.indexed && *self.filter == LogFilter::default()).then(|| doc! {field: 1, "id": 1});
        let found = self.groups(self.filter, stages, hint).await?.pop().unwrap_or_default();
        let list = |name: &str| found.get_array(name).into_iter().flatten().filter_map(Bson::as_document);
        let total = list("total").map(of_group).sum::<i64>();
        let groups = list("groups").map(|group| Group {
            value: group.get_str("_id").ok().map(str::to_owned),
            count: u64::try_from(of_group(group)).unwrap_or(0),
        });
        Ok(Tops { total: u64::try_from(total).unwrap_or(0), groups: groups.collect() })
    }

    async fn groups(
        &self,
        filter: &LogFilter,
        stages: Vec<Document>,
        hint: Option<Document>,
    ) -> mongodb::error::Result<Vec<Document>> {
        let condition = doc! {"$match": filter::of_filter(filter)};
        let logs = self.handles.logs_to_read().clone_with_type::<Document>();
        let mut found =
            logs.aggregate([condition].into_iter().chain(stages)).allow_disk_use(true).max_time(self.max_time);
        if let Some(hint) = hint {
            found = found.hint(mongodb::options::Hint::Keys(hint));
        }
        found.await?.try_collect().await
    }
}

fn by_action() -> Document {
    doc! {"$group": {"_id": filter::text_of("action"), "n": {"$sum": 1_i64}}}
}

fn of_group(group: &Document) -> i64 {
    group.get("n").and_then(whole).unwrap_or(0)
}

/// Each action of a document of counts, and its logs.
pub(super) fn actions(counts: &RawDocument) -> impl Iterator<Item = (Option<String>, i64)> + '_ {
    let of_actions = counts.get_document("a").ok().into_iter().flat_map(|of_actions| of_actions.iter_elements());
    of_actions.filter_map(|element| {
        let element = element.ok()?;
        let count = integer(element.value().ok()?)?;
        Some((super::counts::action_of(element.key().as_str()), count))
    })
}

pub(super) fn number(document: &RawDocument, field: &str) -> i64 {
    document.get(field).ok().flatten().and_then(integer).unwrap_or(0)
}

fn millis(millis: i64) -> Bson {
    date(Timestamp::from_millis(millis))
}

/// Quarters in order, as stretches without gaps.
pub(super) fn stretches(quarters: impl Iterator<Item = i64>) -> Vec<Span> {
    let mut stretches: Vec<Span> = Vec::new();
    for from in quarters {
        match stretches.last_mut() {
            Some(last) if last.end == from => last.end += QUARTER_HOUR,
            _ => stretches.push(Span { from, end: from + QUARTER_HOUR }),
        }
    }
    stretches
}

/// What has to be read: the quarters as few stretches, with others between them where need be, and the rest.
pub(super) fn spans(quarters: impl Iterator<Item = i64>, rest: &[Span]) -> Vec<Span> {
    let mut spans = stretches(quarters);
    if spans.len() > MAX_SPANS
        && let (Some(first), Some(last)) = (spans.first().copied(), spans.last().copied())
    {
        spans = vec![Span { from: first.from, end: last.end }];
    }
    spans.extend(rest.iter().copied().filter(|span| !span.is_empty()));
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_stretch_and_too_many_are_one_as_well() {
        let rest = [Span { from: -5, end: 0 }, Span { from: 9, end: 9 }];
        let quarters = [0, 1, 3].map(|number| number * QUARTER_HOUR);
        let one = |from: i64, end: i64| Span { from: from * QUARTER_HOUR, end: end * QUARTER_HOUR };
        assert_eq!(spans(quarters.into_iter(), &rest), [one(0, 2), one(3, 4), rest[0]]);
        let many = (0..40).map(|number| 2 * number * QUARTER_HOUR);
        assert_eq!(spans(many, &[]), [one(0, 79)]);
    }
}
