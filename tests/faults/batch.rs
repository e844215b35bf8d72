//! The load in batches: arrays and streams of lines in turn, half of them under a key and sent again while what became of
//! them is unknown.

use std::{ops::Range, time::Duration};

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    http::{Failure, Reply},
    load::{Client, Outcome, item, refusal},
};

pub(crate) const ITEMS: usize = 50;
/// A stream comes in so many pieces, so that a fault meets it in the middle.
const PIECES: usize = 5;
const PAUSE: Duration = Duration::from_millis(40);
/// How long a batch is sent again, and how often.
const TRYING: Duration = Duration::from_secs(40);
const AGAIN: Duration = Duration::from_millis(300);

/// Posts the batch, again where it may be, and returns what became of each item; whether a refusal said when to come
/// back.
pub(crate) async fn post(client: &Client<'_>, numbers: Range<usize>) -> (Vec<Outcome>, bool) {
    let nth = numbers.start / ITEMS;
    let (in_lines, keyed) = (nth % 2 == 1, nth % 4 < 2);
    let key = keyed.then(|| format!("batch-{nth}"));
    let items: Vec<_> = numbers.map(item).collect();
    let pieces = if in_lines { lines(key.as_deref(), &items) } else { vec![array(key.as_deref(), &items)] };
    let until = Instant::now() + TRYING;
    let (mut outcomes, mut polite) = (vec![Outcome::NotSent; items.len()], true);
    loop {
        let exchanged = client.exchange(&pieces, PAUSE).await;
        polite &= exchanged.as_ref().map_or(true, says_when_to_retry);
        for (outcome, next) in outcomes.iter_mut().zip(judge(exchanged, items.len())) {
            *outcome = after(outcome, next);
        }
        let unknown = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Unknown(_) | Outcome::Broken));
        if !(keyed && unknown && Instant::now() < until) {
            return (outcomes, polite);
        }
        sleep(AGAIN).await;
    }
}

fn says_when_to_retry(reply: &Reply) -> bool {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let later = ["unavailable", "unknown"].iter().any(|status| body[*status].as_u64().is_some_and(|count| count > 0));
    reply.says_when_to_retry() && (reply.retry_after || !later)
}

/// What is known of an item after one more attempt: only that it was taken changes what was unknown before.
fn after(before: &Outcome, next: Outcome) -> Outcome {
    match (before, &next) {
        (Outcome::Refused(_) | Outcome::NotSent, _) | (_, Outcome::Acknowledged(_)) => next,
        _ => before.clone(),
    }
}

fn array(key: Option<&str>, items: &[String]) -> Vec<u8> {
    let body = format!("[{}]", items.join(","));
    let length = body.len();
    (head("application/json", key, &format!("content-length: {length}")) + &body).into_bytes()
}

fn lines(key: Option<&str>, items: &[String]) -> Vec<Vec<u8>> {
    let head = head("application/x-ndjson", key, "transfer-encoding: chunked");
    let body = items.join("\n");
    // Cut wherever it happens to be: lines do not keep to pieces.
    let pieces = body.as_bytes().chunks(body.len().div_ceil(PIECES));
    let framed = pieces.map(|piece| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
    let mut pieces: Vec<_> = std::iter::once(head.into_bytes()).chain(framed).collect();
    pieces.push(b"0\r\n\r\n".to_vec());
    pieces
}

fn head(kind: &str, key: Option<&str>, length: &str) -> String {
    let key = key.map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
    format!("POST /api/logs/batch HTTP/1.1\r\nhost: faults\r\ncontent-type: {kind}\r\n{key}{length}\r\n\r\n")
}

fn judge(exchanged: Result<Reply, Failure>, items: usize) -> Vec<Outcome> {
    let reply = match exchanged {
        Ok(reply) => reply,
        Err(failure) => return vec![failure.into(); items],
    };
    if !matches!(reply.status, 200 | 207) {
        return vec![refusal(reply.status); items];
    }
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let Some(results) = body["results"].as_array() else { return vec![Outcome::Broken; items] };
    // Behind the last result nothing was read.
    let mut outcomes = vec![Outcome::Refused(207); items];
    for result in results {
        let outcome = match (result["status"].as_str(), result["eventId"].as_str()) {
            (Some("accepted"), Some(id)) => Outcome::Acknowledged(id.to_owned()),
            (Some("rejected"), None) => Outcome::Refused(400),
            (Some("unavailable"), None) => Outcome::Refused(503),
            (Some("unknown"), Some(_)) => Outcome::Unknown(504),
            _ => Outcome::Broken,
        };
        let index = result["index"].as_u64().and_then(|index| usize::try_from(index).ok());
        if let Some(place) = index.and_then(|index| outcomes.get_mut(index)) {
            *place = outcome;
        }
    }
    outcomes
}
