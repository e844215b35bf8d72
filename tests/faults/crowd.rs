//! A crowd: many connections at once, each posting large logs one after the other.

use std::{net::SocketAddr, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use crate::http::{self, Connection};

/// What a refused client waits before it tries again.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) struct Crowd {
    pub(crate) connections: usize,
    /// How often each posts.
    pub(crate) rounds: usize,
    pub(crate) bytes: usize,
}

/// What became of the crowd's posts.
#[derive(Default)]
pub(crate) struct Outcomes {
    /// The event ids of what was taken.
    pub(crate) acknowledged: Vec<String>,
    pub(crate) refused: usize,
    /// Anything but 202 and a polite 503.
    pub(crate) other: Vec<String>,
}

impl Crowd {
    pub(crate) fn post_to(&self, port: u16) -> Outcomes {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let padding: std::sync::Arc<str> = "x".repeat(self.bytes).into();
        runtime.block_on(async {
            let mut clients = JoinSet::new();
            for client in 0..self.connections {
                clients.spawn(one(SocketAddr::from(([127, 0, 0, 1], port)), client, self.rounds, padding.clone()));
            }
            let mut all = Outcomes::default();
            for outcomes in clients.join_all().await {
                all.acknowledged.extend(outcomes.acknowledged);
                all.refused += outcomes.refused;
                all.other.extend(outcomes.other);
            }
            all
        })
    }
}

async fn one(address: SocketAddr, client: usize, rounds: usize, padding: std::sync::Arc<str>) -> Outcomes {
    let mut outcomes = Outcomes::default();
    let mut kept = None;
    for round in 0..rounds {
        let body = format!(
            r#"{{"userId":"crowd{client}","action":"crowd-{client}-{round}","metadata":{{"padding":"{padding}"}}}}"#
        );
        let connection = match kept.take() {
            Some(connection) => Ok(connection),
            None => Connection::open(address).await,
        };
        let Ok(connection) = connection else {
            outcomes.other.push("no connection".to_owned());
            continue;
        };
        match connection.send(&[http::post(&body)], Duration::ZERO).await {
            Ok((reply, connection)) => {
                kept = connection;
                match reply.status {
                    202 => {
                        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
                        outcomes.acknowledged.push(body["eventId"].as_str().unwrap().to_owned());
                    }
                    503 if reply.retry_after => {
                        outcomes.refused += 1;
                        sleep(PAUSE).await;
                    }
                    status => outcomes.other.push(format!("{status}")),
                }
            }
            Err(_) => outcomes.other.push("a broken connection".to_owned()),
        }
    }
    outcomes
}
