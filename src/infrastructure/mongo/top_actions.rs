//! The most frequent actions, from the counts of quarters; days that are over are summed up once.
//!
//! A sum of a day stands in `logcountdays` beside the sum of the versions of its quarters, and holds for as long as
//! that is the same: versions only grow.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bson::{Document, doc};

use super::{
    counts::field_of,
    erasure_rules::{date, time},
    statistics::{MAX_SPANS, Reading, actions, number, spans, stretches},
};
use crate::domain::{DAY, GroupBy, QUARTER_HOUR, Span, Timestamp, TopGroups, Tops};

/// A day with more actions is summed up each time.
const MAX_ACTIONS_OF_DAY: usize = 5000;

type Counts = HashMap<Option<String>, i64>;

pub(super) async fn top_actions(reading: &Reading<'_>, most: u32) -> mongodb::error::Result<Tops> {
    let (before, whole, behind) = Span::of(reading.filter).split(QUARTER_HOUR);
    let mut in_doubt = reading.in_doubt(whole).await?;
    let versions = versions(reading, whole, &mut in_doubt).await?;
    if stretches(in_doubt.iter().copied()).len() > MAX_SPANS {
        return reading.tops(GroupBy::Action, most).await;
    }
    let (_, days, _) = match (versions.first_key_value(), versions.last_key_value()) {
        // From the first to the last quarter that has counts: the range may have no bounds.
        (Some((first, _)), Some((last, _))) => {
            let from = if whole.from == i64::MIN { first.div_euclid(DAY) * DAY } else { whole.from };
            let end = if whole.end == i64::MAX { (last.div_euclid(DAY) + 1) * DAY } else { whole.end };
            Span { from, end }.split(DAY)
        }
        _ => (whole, Span { from: 0, end: 0 }, whole),
    };
    let day_of = |quarter: &i64| quarter.div_euclid(DAY) * DAY;
    let doubtful_days: BTreeSet<i64> = in_doubt.iter().map(day_of).collect();
    let mut days_by_version: BTreeMap<i64, i64> = BTreeMap::new();
    for (quarter, version) in &versions {
        let day = day_of(quarter);
        if day >= days.from && day < days.end && !doubtful_days.contains(&day) {
            *days_by_version.entry(day).or_default() += version;
        }
    }
    let mut counts = Counts::new();
    let summed_up = add_days(reading, days, &days_by_version, &mut counts).await?;
    // That of the newest day would not hold for long.
    let newest = versions.last_key_value().map_or(i64::MIN, |(last, _)| day_of(last));
    let left = versions.keys().copied().filter(|quarter| !summed_up.contains(&day_of(quarter)));
    let to_sum_up = days_by_version.into_iter().filter(|(day, _)| *day < newest && !summed_up.contains(day)).collect();
    add_quarters(reading, left.filter(|quarter| !in_doubt.contains(quarter)), &to_sum_up, &mut counts).await?;
    add_logs(reading, &in_doubt, &[before, behind], &mut counts).await?;
    let mut tops = TopGroups::new(most);
    for (action, count) in counts {
        // What was deleted may be taken off before what was stored is added.
        if let Some(count) = u64::try_from(count).ok().filter(|count| *count > 0)
            && reading.filter.takes_action(action.as_deref())
        {
            tops.push(action, count);
        }
    }
    Ok(tops.finish())
}

/// Of each quarter; one whose actions are not kept apart counts as one in doubt.
async fn versions(
    reading: &Reading<'_>,
    whole: Span,
    in_doubt: &mut BTreeSet<i64>,
) -> mongodb::error::Result<BTreeMap<i64, i64>> {
    let mut versions = BTreeMap::new();
    let mut found = reading.counts_of(whole, doc! {"v": 1, "o": 1}).await?;
    while found.advance().await? {
        let counts = found.current();
        let Some(start) = time(counts, "_id").map(Timestamp::as_millis) else { continue };
        versions.insert(start, number(counts, "v"));
        if counts.get_bool("o").unwrap_or(false) {
            in_doubt.insert(start);
        }
    }
    Ok(versions)
}

/// Adds the days whose sums hold, and returns which.
async fn add_days(
    reading: &Reading<'_>,
    days: Span,
    wanted: &BTreeMap<i64, i64>,
    counts: &mut Counts,
) -> mongodb::error::Result<BTreeSet<i64>> {
    let mut summed_up = BTreeSet::new();
    if days.is_empty() {
        return Ok(summed_up);
    }
    let range = doc! {"$gte": date(Timestamp::from_millis(days.from)), "$lt": date(Timestamp::from_millis(days.end))};
    let mut found = reading.handles.count_days().find(doc! {"_id": range}).batch_size(10_000).await?;
    while found.advance().await? {
        let sum = found.current();
        let Some(day) = time(sum, "_id").map(Timestamp::as_millis) else { continue };
        if wanted.get(&day) == Some(&number(sum, "v")) {
            summed_up.insert(day);
            actions(sum).for_each(|(action, count)| *counts.entry(action).or_default() += count);
        }
    }
    Ok(summed_up)
}

/// Adds quarters one by one, and keeps the sums of those days.
async fn add_quarters(
    reading: &Reading<'_>,
    quarters: impl Iterator<Item = i64>,
    to_sum_up: &BTreeMap<i64, i64>,
    counts: &mut Counts,
) -> mongodb::error::Result<()> {
    let wanted: BTreeSet<i64> = quarters.collect();
    let mut sums: BTreeMap<i64, (i64, Counts)> = BTreeMap::new();
    for span in spans(wanted.iter().copied(), &[]) {
        let mut found = reading.counts_of(span, doc! {"v": 1, "a": 1}).await?;
        while found.advance().await? {
            let quarter = found.current();
            let Some(start) = time(quarter, "_id").map(Timestamp::as_millis).filter(|it| wanted.contains(it)) else {
                continue;
            };
            let day = start.div_euclid(DAY) * DAY;
            let sum = sums.entry(day).or_default();
            sum.0 += number(quarter, "v");
            for (action, count) in actions(quarter) {
                *sum.1.entry(action.clone()).or_default() += count;
                *counts.entry(action).or_default() += count;
            }
        }
    }
    // One that has changed since is summed up the next time.
    sums.retain(|day, (version, of_actions)| {
        to_sum_up.get(day) == Some(version) && of_actions.len() <= MAX_ACTIONS_OF_DAY
    });
    keep(reading, sums).await;
    Ok(())
}

/// The answer does not depend on it.
async fn keep(reading: &Reading<'_>, sums: BTreeMap<i64, (i64, Counts)>) {
    let update = |(day, (version, counts)): (i64, (i64, Counts))| {
        let of_actions: Document =
            counts.into_iter().map(|(action, count)| (field_of(action.as_deref()), count.into())).collect();
        let sum = doc! {"$set": {"v": version, "a": of_actions}};
        doc! {"q": {"_id": date(Timestamp::from_millis(day))}, "u": sum, "upsert": true}
    };
    let updates: Vec<Document> = sums.into_iter().map(update).collect();
    for some in updates.chunks(500) {
        let command = doc! {"update": reading.handles.count_days().name(), "updates": some, "ordered": false};
        if let Err(error) = reading.handles.reader().run_command(command).await {
            tracing::debug!(error = %error.kind, "the sums of days could not be kept");
            return;
        }
    }
}

async fn add_logs(
    reading: &Reading<'_>,
    in_doubt: &BTreeSet<i64>,
    rest: &[Span],
    counts: &mut Counts,
) -> mongodb::error::Result<()> {
    let rest = rest.iter().copied().filter(|span| !span.is_empty());
    let mut found = Vec::new();
    for span in stretches(in_doubt.iter().copied()).into_iter().chain(rest) {
        found.extend(reading.actions_of_logs(span).await?);
    }
    if reading.undated && Span::of(reading.filter) == Span::ALL {
        found.extend(reading.actions_of_undated().await?);
    }
    for (action, count) in found {
        *counts.entry(action).or_default() += count;
    }
    Ok(())
}
