//! The query of `GET /api/logs/stats`, and its answers.

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::filter::take_filter;
use crate::{
    api::{error::ApiError, error_code::ErrorCode, extract::QueryParameters},
    application::{
        statistics_service::Histogram as Counted,
        time_buckets::{Interval, Zone},
    },
    domain::{GroupBy, LogFilter, Tops},
};

const DEFAULT_TOP: u32 = 10;
const MAX_TOP: u32 = 1000;

/// What is counted, beside the filter: either groups (`groupBy`, `top`) or a histogram (`interval`, `tz`).
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query; it is read by parse")]
pub struct StatisticsQuery {
    /// The largest groups of logs that have this in common: `action` or `userId`.
    #[param(rename = "groupBy", pattern = "^(action|userId)$")]
    group_by: Option<String>,
    /// How many groups.
    #[param(minimum = 1, maximum = 1000, default = 10)]
    top: Option<u32>,
    /// A histogram of buckets of this length: `15m`, `1h`, `1d`, `1w` (from Monday on) or `1M`; at most 10,000 of them.
    /// Without `endDate` it goes up to now, without `startDate` it begins thirty days before its end.
    #[param(pattern = "^(15m|1h|1d|1w|1M)$")]
    interval: Option<String>,
    /// By whose clock buckets begin: the name of a time zone in the IANA database.
    #[param(default = "UTC", example = "Europe/Berlin")]
    tz: Option<String>,
}

/// What a query asks for.
#[derive(Debug)]
pub(in crate::api) struct Statistics {
    pub(in crate::api) filter: LogFilter,
    pub(in crate::api) question: Question,
}

#[derive(Debug)]
pub(in crate::api) enum Question {
    Groups(GroupBy, u32),
    Histogram(Interval, Zone),
}

pub(in crate::api) fn parse(parameters: QueryParameters) -> Result<Statistics, ApiError> {
    let mut parameters = parameters;
    let group_by = parameters.take_one("groupBy")?.map(|text| group_by(&text)).transpose()?;
    let top = parameters.take_one("top")?.map(|text| top(&text)).transpose()?;
    let interval = parameters.take_one("interval")?.map(|text| interval(&text)).transpose()?;
    let zone = parameters.take_one("tz")?.map(|text| zone(&text)).transpose()?;
    let filter = take_filter(&mut parameters)?;
    parameters.refuse_rest()?;
    let excluded = |code, problem| Err(ApiError::new(code, problem));
    let question = match (group_by, interval) {
        (None, None) => return Err(ErrorCode::MissingGrouping.into()),
        (Some(_), Some(_)) => return excluded(ErrorCode::InvalidInterval, "interval and groupBy exclude each other"),
        (Some(_), None) if zone.is_some() => {
            return excluded(ErrorCode::InvalidTimeZone, "tz goes with interval");
        }
        (None, Some(_)) if top.is_some() => return excluded(ErrorCode::InvalidTop, "top goes with groupBy"),
        (Some(by), None) => Question::Groups(by, top.unwrap_or(DEFAULT_TOP)),
        (None, Some(interval)) => Question::Histogram(interval, zone.unwrap_or(Zone::UTC)),
    };
    Ok(Statistics { filter, question })
}

fn group_by(text: &str) -> Result<GroupBy, ApiError> {
    match text {
        "action" => Ok(GroupBy::Action),
        "userId" => Ok(GroupBy::UserId),
        _ => Err(ApiError::new(ErrorCode::InvalidGroupBy, "groupBy must be action or userId")),
    }
}

fn top(text: &str) -> Result<u32, ApiError> {
    let number = text.parse().ok().filter(|number| (1..=MAX_TOP).contains(number));
    number.ok_or_else(|| ApiError::new(ErrorCode::InvalidTop, format!("top must be a number from 1 to {MAX_TOP}")))
}

fn interval(text: &str) -> Result<Interval, ApiError> {
    let problem = "interval must be 15m, 1h, 1d, 1w or 1M";
    Interval::parse(text).ok_or_else(|| ApiError::new(ErrorCode::InvalidInterval, problem))
}

fn zone(text: &str) -> Result<Zone, ApiError> {
    let problem = "tz must be the name of a time zone, such as Europe/Berlin";
    Zone::named(text).ok_or_else(|| ApiError::new(ErrorCode::InvalidTimeZone, problem))
}

/// Either of the two.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(in crate::api) enum StatisticsResponse {
    Groups(Groups),
    Histogram(Histogram),
}

/// The largest groups: by `count`, and by `value` where counts are equal.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct Groups {
    /// `action` or `userId`.
    group_by: &'static str,
    /// All matching logs, also those of groups that are left out.
    total: u64,
    groups: Vec<Group>,
}

/// The logs that have a value in common.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Group {
    /// `null` only for logs of the old service that have no text there.
    value: Option<String>,
    count: u64,
}

/// The matching logs over time, also where there are none.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Histogram {
    interval: &'static str,
    tz: String,
    /// All matching logs of this time.
    total: u64,
    buckets: Vec<Bucket>,
}

/// A stretch of time. The first and the last one hold no more than the range that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Bucket {
    #[schema(example = "2025-05-20T22:00:00.000Z")]
    start: String,
    count: u64,
}

impl StatisticsResponse {
    pub(in crate::api) fn groups(by: GroupBy, tops: Tops) -> Self {
        let group_by = match by {
            GroupBy::Action => "action",
            GroupBy::UserId => "userId",
        };
        let groups = tops.groups.into_iter().map(|group| Group { value: group.value, count: group.count }).collect();
        Self::Groups(Groups { group_by, total: tops.total, groups })
    }

    pub(in crate::api) fn histogram(interval: Interval, zone: &Zone, counted: Counted) -> Self {
        let bucket = |slot: crate::domain::Slot| Bucket { start: slot.start.to_string(), count: slot.count };
        Self::Histogram(Histogram {
            interval: interval.as_str(),
            tz: zone.name().to_owned(),
            total: counted.total,
            buckets: counted.buckets.into_iter().map(bucket).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Statistics, ErrorCode> {
        parse(QueryParameters::parse(query).unwrap()).map_err(|error| error.code())
    }

    #[test]
    fn a_question_is_about_groups_or_about_time() {
        use ErrorCode::{
            InvalidGroupBy, InvalidInterval, InvalidStartDate, InvalidTimeZone, InvalidTop, MissingGrouping,
            UnknownParameter,
        };
        for (query, code) in [
            ("", MissingGrouping),
            ("tz=UTC", MissingGrouping),
            ("top=3", MissingGrouping),
            ("groupBy=metadata", InvalidGroupBy),
            ("groupBy=action&top=0", InvalidTop),
            ("groupBy=action&top=1001", InvalidTop),
            ("groupBy=action&top=x", InvalidTop),
            ("groupBy=action&interval=1h", InvalidInterval),
            ("groupBy=action&tz=UTC", InvalidTimeZone),
            ("interval=1h&top=3", InvalidTop),
            ("interval=1m", InvalidInterval),
            ("interval=1h&tz=Nowhere", InvalidTimeZone),
            ("interval=1h&startDate=x", InvalidStartDate),
            ("interval=1h&page=1", UnknownParameter),
        ] {
            assert_eq!(read(query).map(|_| ()).unwrap_err(), code, "{query}");
        }
        let asked = read("groupBy=userId&top=1000&action=a").unwrap();
        assert!(matches!(asked.question, Question::Groups(GroupBy::UserId, 1000)));
        assert_eq!(asked.filter.actions, ["a"]);
        assert!(matches!(read("groupBy=action").unwrap().question, Question::Groups(GroupBy::Action, DEFAULT_TOP)));
        let Question::Histogram(interval, zone) = read("interval=1d&tz=europe/berlin").unwrap().question else {
            panic!("a histogram")
        };
        assert_eq!((interval, zone.name()), (Interval::Day, "Europe/Berlin"));
    }
}
