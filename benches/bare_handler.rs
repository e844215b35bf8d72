//! The yardstick of `benches/compare.sh`: the least that a handler on the same framework can do with the same body.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for benchmarks may end where it stands")]

use axum::{Json, Router, http::StatusCode, routing::post};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    user_id: String,
    action: String,
    timestamp: Option<String>,
    metadata: Map<String, Value>,
}

async fn take(Json(log): Json<Log>) -> (StatusCode, Json<Value>) {
    std::hint::black_box((log.user_id, log.action, log.timestamp, log.metadata));
    (StatusCode::ACCEPTED, Json(json!({"message": "taken"})))
}

#[tokio::main]
async fn main() {
    if std::env::args().skip(1).any(|argument| argument == "--bench") {
        return; // `cargo bench` runs everything; this one is for the script.
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("bare handler listening on http://{}", listener.local_addr().unwrap());
    axum::serve(listener, Router::new().route("/api/logs", post(take))).await.unwrap();
}
