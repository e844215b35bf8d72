//! Every error a client can get: its status, its stable word and its message. The list in `docs/ERRORS.md` is held
//! against this one by a test.

use axum::http::StatusCode;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident => $status:ident, $word:literal, $message:literal;)*) => {
        /// What went wrong, as a client sees it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            pub fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// The stable word for programs.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            pub fn message(self) -> &'static str {
                match self { $(Self::$variant => $message,)* }
            }
        }
    };
}

error_codes! {
    MissingFields => BAD_REQUEST, "missing_fields", "Missing required fields: userId, action";
    InvalidJson => BAD_REQUEST, "invalid_json", "Request body is not valid JSON";
    NotAnObject => BAD_REQUEST, "not_an_object", "Request body must be a JSON object";
    RepeatedField => BAD_REQUEST, "repeated_field", "A field stands more than once in the request body";
    InvalidUserId => BAD_REQUEST, "invalid_user_id", "Invalid field: userId";
    InvalidAction => BAD_REQUEST, "invalid_action", "Invalid field: action";
    InvalidTimestamp => BAD_REQUEST, "invalid_timestamp", "Invalid field: timestamp";
    InvalidMetadata => BAD_REQUEST, "invalid_metadata", "Invalid field: metadata";
    InvalidIdempotencyKey => BAD_REQUEST, "invalid_idempotency_key", "Invalid header: Idempotency-Key";
    NotAnArray => BAD_REQUEST, "not_an_array", "Request body must be a JSON array";
    EmptyBatch => BAD_REQUEST, "empty_batch", "The batch holds no items";
    InvalidBody => BAD_REQUEST, "invalid_body", "Request body could not be read";
    InvalidQuery => BAD_REQUEST, "invalid_query", "Query string is not valid UTF-8";
    RepeatedParameter => BAD_REQUEST, "repeated_parameter", "A query parameter is given more than once";
    InvalidPage => BAD_REQUEST, "invalid_page", "Invalid parameter: page";
    InvalidLimit => BAD_REQUEST, "invalid_limit", "Invalid parameter: limit";
    PageTooLarge => BAD_REQUEST, "page_too_large", "The page is too large";
    PageTooDeep => BAD_REQUEST, "page_too_deep", "The page is too far behind: go on with cursor";
    InvalidCursor => BAD_REQUEST, "invalid_cursor", "Invalid parameter: cursor";
    InvalidSort => BAD_REQUEST, "invalid_sort", "Invalid parameter: sort";
    InvalidCount => BAD_REQUEST, "invalid_count", "Invalid parameter: count";
    InvalidFormat => BAD_REQUEST, "invalid_format", "Invalid parameter: format";
    InvalidAfterId => BAD_REQUEST, "invalid_after_id", "Invalid parameter: afterId";
    UnknownParameter => BAD_REQUEST, "unknown_parameter", "Unknown parameter";
    InvalidMetadataFilter => BAD_REQUEST, "invalid_metadata_filter", "Invalid parameter: metadata";
    InvalidStartDate => BAD_REQUEST, "invalid_start_date", "Invalid parameter: startDate";
    InvalidEndDate => BAD_REQUEST, "invalid_end_date", "Invalid parameter: endDate";
    MissingGrouping => BAD_REQUEST, "missing_grouping", "Missing parameter: groupBy or interval";
    InvalidGroupBy => BAD_REQUEST, "invalid_group_by", "Invalid parameter: groupBy";
    InvalidTop => BAD_REQUEST, "invalid_top", "Invalid parameter: top";
    InvalidInterval => BAD_REQUEST, "invalid_interval", "Invalid parameter: interval";
    InvalidTimeZone => BAD_REQUEST, "invalid_time_zone", "Invalid parameter: tz";
    TooManyBuckets => BAD_REQUEST, "too_many_buckets", "The histogram has too many buckets";
    MissingSelection => BAD_REQUEST, "missing_selection", "Missing parameter: userId or before";
    InvalidBefore => BAD_REQUEST, "invalid_before", "Invalid parameter: before";
    InvalidDryRun => BAD_REQUEST, "invalid_dry_run", "Invalid parameter: dryRun";
    InvalidToken => BAD_REQUEST, "invalid_token", "Invalid parameter: token";
    InvalidJobId => BAD_REQUEST, "invalid_job_id", "Invalid job ID format";
    InvalidWait => BAD_REQUEST, "invalid_wait", "Invalid parameter: wait";
    InvalidPurpose => BAD_REQUEST, "invalid_purpose", "Invalid parameter: for";
    TooManyValues => BAD_REQUEST, "too_many_values", "A query parameter has too many values";
    InvalidLogId => BAD_REQUEST, "invalid_log_id", "Invalid log ID format";
    InvalidEventId => BAD_REQUEST, "invalid_event_id", "Invalid event ID format";
    LogNotFound => NOT_FOUND, "log_not_found", "Log not found";
    EventNotFound => NOT_FOUND, "event_not_found", "Event not found";
    JobNotFound => NOT_FOUND, "job_not_found", "Job not found";
    RouteNotFound => NOT_FOUND, "route_not_found", "Route not found";
    MethodNotAllowed => METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed";
    BodyTimeout => REQUEST_TIMEOUT, "body_timeout", "Request body did not arrive in time";
    LogDeleted => GONE, "log_deleted", "Log was deleted";
    BodyTooLarge => PAYLOAD_TOO_LARGE, "body_too_large", "Request body is too large";
    BatchLimit => PAYLOAD_TOO_LARGE, "batch_limit", "The batch is too large";
    EventTooLarge => PAYLOAD_TOO_LARGE, "event_too_large", "Log is too large for the topic";
    UnsupportedMediaType => UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Content-Type must be application/json";
    UnsupportedEncoding => UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", "Content-Encoding is not supported";
    TooManyExports => TOO_MANY_REQUESTS, "too_many_exports", "Too many exports are running; try again";
    DeadLettered => UNPROCESSABLE_ENTITY, "dead_lettered", "Event can not become a log";
    Internal => INTERNAL_SERVER_ERROR, "internal_error", "Internal server error";
    QueueUnavailable => SERVICE_UNAVAILABLE, "queue_unavailable", "The log was not taken; try again";
    BusUnavailable => SERVICE_UNAVAILABLE, "bus_unavailable", "The bus is away; try again";
    StoreUnavailable => SERVICE_UNAVAILABLE, "store_unavailable", "The store is away; try again";
    QueryTimeout => SERVICE_UNAVAILABLE, "query_timeout", "The query takes too long: narrow it";
    StoreNotConfigured => SERVICE_UNAVAILABLE, "store_not_configured", "This instance only takes logs";
    Overloaded => SERVICE_UNAVAILABLE, "overloaded", "Too much is in flight; try again";
    TooManyWaiters => SERVICE_UNAVAILABLE, "too_many_waiters", "Too many requests wait for events; try again";
    NotReady => SERVICE_UNAVAILABLE, "not_ready", "Not ready";
    NeedsHttp11 => HTTP_VERSION_NOT_SUPPORTED, "needs_http_1_1", "An export needs HTTP/1.1: in HTTP/1.0 a break looks like its end";
    OutcomeUnknown => GATEWAY_TIMEOUT, "outcome_unknown", "Whether the log was taken is unknown; retry with the same Idempotency-Key";
    DeleteUnconfirmed => GATEWAY_TIMEOUT, "delete_unconfirmed", "Whether the log is deleted is unknown; try again";
}
