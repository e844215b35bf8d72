//! `GET /api/logs/stats`.

use axum::{Json, extract::State};

use crate::{
    api::{
        dto::{
            error::ErrorBody,
            filter::FilterQuery,
            statistics::{Question, Statistics, StatisticsQuery, StatisticsResponse, parse},
        },
        error::ApiError,
        error_code::ErrorCode,
        extract::QueryParameters,
        state::LogState,
    },
    application::statistics_service::StatisticsError,
};

/// Count logs
///
/// The largest groups of the matching logs, or a histogram over time. Counts follow what is stored and deleted within
/// about a second.
#[utoipa::path(
    get, path = "/api/logs/stats", tag = "logs", operation_id = "logStatistics",
    params(StatisticsQuery, FilterQuery),
    responses(
        (status = 200, description = "The counts", body = StatisticsResponse),
        (status = 400, description = "A parameter makes no sense; `error` names it", body = ErrorBody),
        (status = 500, description = "The store failed", body = ErrorBody),
        (status = 503, description = "The store is away, this instance has none, or counting takes too long", body = ErrorBody),
    )
)]
pub(in crate::api) async fn log_statistics(
    State(state): State<LogState>,
    parameters: QueryParameters,
) -> Result<Json<StatisticsResponse>, ApiError> {
    let Statistics { filter, question } = parse(parameters)?;
    let answer = match question {
        Question::Groups(by, most) => StatisticsResponse::groups(by, state.statistics.tops(&filter, by, most).await?),
        Question::Histogram(interval, zone) => {
            let counted = state.statistics.histogram(&filter, interval, &zone).await.map_err(refused)?;
            StatisticsResponse::histogram(interval, &zone, counted)
        }
    };
    Ok(Json(answer))
}

fn refused(error: StatisticsError) -> ApiError {
    match error {
        StatisticsError::TooManyBuckets(problem) => ApiError::new(ErrorCode::TooManyBuckets, problem.to_string()),
        StatisticsError::Service(error) => error.into(),
    }
}
