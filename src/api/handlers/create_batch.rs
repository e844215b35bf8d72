//! `POST /api/logs/batch`.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER},
    response::Response,
};
use tracing::warn;

use super::json_held;
use crate::{
    api::{
        batch::{self, BatchBody, Taken},
        dto::{
            batch::{BatchAnswer, BatchItem},
            error::ErrorBody,
        },
        error::ApiError,
        extract::GivenKey,
        state::LogState,
    },
    domain::ports::ErrorChain,
};

const PREFER: &str = "prefer";
const PREFERENCE_APPLIED: &str = "preference-applied";
const MINIMAL: &str = "return=minimal";

/// Take many logs
///
/// A JSON array is read whole before anything is published. Lines of JSON are taken as they arrive, up to the limits.
/// Either may be packed with gzip or zstd. A bad item never spoils the others: each has its own result. With an
/// `Idempotency-Key` on the request item i has the key `<key>#<i>`, so sending all of it again stores nothing twice.
#[utoipa::path(
    post, path = "/api/logs/batch", tag = "logs", operation_id = "createLogs",
    request_body(content(
        (Vec<BatchItem> = "application/json"),
        (String = "application/x-ndjson", example = "{\"userId\":\"user1\",\"action\":\"login\"}\n"),
    )),
    params(
        (
            "Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible ASCII characters: item i has the key `<key>#<i>`, unless it has its own",
            min_length = 1, max_length = 255, pattern = "^[!-~]+$"
        ),
        (
            "Prefer" = Option<String>, Header,
            description = "`return=minimal`: only the results of items that were not accepted"
        ),
    ),
    responses(
        (status = 200, description = "Every item is durable and will be stored exactly once", body = BatchAnswer),
        (status = 207, description = "Not every item was taken; see the results", body = BatchAnswer,
            headers(("retry-after" = String, description = "Seconds, where items may be sent again"))),
        (status = 400, description = "No batch; nothing was taken", body = ErrorBody),
        (status = 408, description = "The body did not arrive in time; nothing was taken", body = ErrorBody),
        (status = 413, description = "The array is too large; nothing was taken", body = ErrorBody),
        (status = 415, description = "Neither JSON nor lines of JSON, or packed in an unknown way", body = ErrorBody),
        (status = 500, description = "Unknown what was taken", body = ErrorBody),
        (status = 503, description = "Nothing was taken: retry after `Retry-After`", body = ErrorBody),
    )
)]
pub(in crate::api) async fn create_batch(
    State(state): State<LogState>,
    GivenKey(key): GivenKey,
    headers: HeaderMap,
    mut body: BatchBody,
) -> Result<Response, ApiError> {
    let minimal = prefers_minimal(&headers);
    let taken = match key {
        Ok(key) => batch::take(&state, &mut body, key, minimal).await,
        Err(refused) => Err(refused),
    };
    body.drain().await;
    let Taken { results, room } = taken?;
    if let Some(doubt) = results.doubt() {
        warn!(error = %ErrorChain(doubt), "whether all of a batch was taken is unknown");
    }
    if results.is_all_unavailable() {
        return Err(results.into_refusal());
    }
    let (complete, retry) = (results.is_complete(), results.may_be_retried());
    let json = results.into_json();
    let mut response = json_held(room.settle(json.len()), json);
    if !complete {
        *response.status_mut() = StatusCode::MULTI_STATUS;
    }
    if retry {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if minimal {
        response.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static(MINIMAL));
    }
    Ok(response)
}

fn prefers_minimal(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(','));
    preferences.any(|preference| {
        // RFC 7240: the value may be quoted, and parameters may follow.
        let preference = preference.split(';').next().unwrap_or_default().replace('"', "");
        preference.trim().eq_ignore_ascii_case(MINIMAL)
    })
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use async_trait::async_trait;
    use axum::{
        body::{Body, to_bytes},
        extract::FromRequest,
        http::Request,
    };
    use tokio::sync::Semaphore;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        api::{error_code::ErrorCode, state::Intake},
        application::{
            erasure_service::{ErasureService, PreviewLimits},
            log_service::{LogService, Reading},
            paging::PageLimits,
            statistics_service::StatisticsService,
            stored_signal::StoredSignal,
            tip_watch::TipWatch,
            transfer::export_service::ExportService,
        },
        domain::{
            Event, Timestamp,
            ports::{Clock, EventPublisher, PublishOutcome},
        },
    };

    #[derive(Default)]
    struct Bus(AtomicUsize);

    #[async_trait]
    impl EventPublisher for Bus {
        async fn publish(&self, batch: Vec<Event>) -> Vec<PublishOutcome> {
            self.0.fetch_add(batch.len(), Ordering::Relaxed);
            batch.iter().map(|_| PublishOutcome::Taken).collect()
        }
    }

    struct Stopped;

    impl Clock for Stopped {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }
    }

    fn state(bus: Arc<Bus>, budget: usize, answers: usize) -> LogState {
        let signal = StoredSignal::default();
        let lag = Duration::from_secs(2);
        let limits = PageLimits { count_cap: 1000, max_time: lag, cursor_lag: lag };
        let tip = Arc::new(TipWatch::new(lag));
        let exports = Arc::new(ExportService::new(None, Arc::new(Stopped), Arc::clone(&tip), limits));
        let reading = Reading { tip, limits };
        let logs = LogService::new(bus, None, Arc::new(Stopped), signal, reading, 0, CancellationToken::new());
        let intake = Intake {
            budget: Arc::new(Semaphore::new(budget)),
            max_body_bytes: 1024,
            max_batch_items: 10_000,
            max_batch_bytes: 1 << 20,
            body_timeout: Duration::from_secs(10),
        };
        let previews = PreviewLimits { count_cap: 1000, max_time: lag };
        let erasure = Arc::new(ErasureService::new(None, Arc::new(Stopped), previews));
        let statistics = Arc::new(StatisticsService::new(None, Arc::new(Stopped), lag));
        let answers = Arc::new(Semaphore::new(answers));
        LogState { logs: Arc::new(logs), exports, erasure, statistics, intake, answers }
    }

    async fn post(state: &LogState, kind: &str, body: String) -> Result<Response, ApiError> {
        let request = Request::post("/").header("content-type", kind).body(Body::from(body)).unwrap();
        let body = BatchBody::from_request(request, state).await?;
        create_batch(State(state.clone()), GivenKey(Ok(None)), HeaderMap::new(), body).await
    }

    const ITEM: &str = r#"{"userId":"u","action":"a"}"#;

    fn bodies(items: usize) -> [(&'static str, String); 2] {
        let lines = format!("{ITEM}\n").repeat(items);
        [("application/json", format!("[{}]", vec![ITEM; items].join(","))), ("application/x-ndjson", lines)]
    }

    #[tokio::test]
    async fn nothing_is_taken_that_could_not_be_answered() {
        for (kind, body) in bodies(1000) {
            let bus = Arc::new(Bus::default());
            let state = state(bus.clone(), 1 << 20, 1000);
            let refused = post(&state, kind, body).await.unwrap_err();
            assert_eq!((refused.code(), bus.0.load(Ordering::Relaxed)), (ErrorCode::Overloaded, 0), "{kind}");
        }
    }

    #[tokio::test]
    async fn the_room_for_an_answer_is_held_until_it_is_gone() {
        for (kind, body) in bodies(1000) {
            let state = state(Arc::default(), 1 << 20, 200_000);
            let response = post(&state, kind, body).await.unwrap();
            assert_eq!((response.status(), state.intake.budget.available_permits()), (StatusCode::OK, 1 << 20));
            let held = 200_000 - state.answers.available_permits();
            let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            assert_eq!((held, state.answers.available_permits()), (bytes.len(), 200_000), "{kind}");
        }
    }

    #[tokio::test]
    async fn where_the_room_ends_in_the_middle_the_rest_may_be_sent_again() {
        let bus = Arc::new(Bus::default());
        let state = state(bus.clone(), 1 << 20, 300_000);
        let [_, (kind, body)] = bodies(9000);
        let response = post(&state, kind, body).await.unwrap();
        assert_eq!(
            (response.status(), &response.headers()[RETRY_AFTER]),
            (StatusCode::MULTI_STATUS, &"1".parse().unwrap())
        );
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(answer["accepted"], bus.0.load(Ordering::Relaxed));
        assert_eq!((&answer["rejected"], &answer["unavailable"]), (&0.into(), &1.into()));
        let last = answer["results"].as_array().unwrap().last().unwrap();
        assert_eq!((&last["index"], &last["code"]), (&answer["accepted"], &"overloaded".into()));
    }
}
