//! How far the service is with storing: from its ledger, or by counting the logs of the run where it keeps none.

use serde_json::Value;

use super::{client::Client, contents::Contents};

/// As many users as one query takes.
const USERS_PER_QUERY: usize = 100;

/// A reading of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    /// Logs stored since the ledger was begun.
    pub(super) stored: u64,
    /// For each partition its number, the first offset that is not counted yet, and the end.
    partitions: Vec<(i64, i64, i64)>,
}

impl Reading {
    /// `None` where there is no ledger, or it cannot be read now.
    pub(super) async fn ask(client: &mut Client) -> Option<Self> {
        let answer = client.get("/api/ledger").await.ok().filter(|answer| answer.status == 200)?;
        Self::parse(answer.body)
    }

    fn parse(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let stored = body.get("total")?.get("stored")?.as_u64()?;
        let partition = |one: &Value| {
            let number = |name| one.get(name).and_then(Value::as_i64);
            Some((number("partition")?, number("next")?, number("end")?))
        };
        let partitions = body.get("partitions")?.as_array()?.iter().map(partition).collect::<Option<_>>()?;
        Some(Self { stored, partitions })
    }

    /// How much of what was on the bus at `self` is still not counted at `later`.
    pub(super) fn left_at(&self, later: &Self) -> u64 {
        let left = self.partitions.iter().map(|(partition, next, end)| {
            let found = later.partitions.iter().find(|(other, ..)| other == partition);
            let next = found.map_or(*next, |(_, next, _)| *next);
            end.saturating_sub(next).max(0).unsigned_abs()
        });
        left.sum()
    }
}

/// How many logs of the run can be found.
pub(super) async fn count_stored(client: &mut Client, contents: &Contents, logs: u64) -> Result<u64, Silence> {
    let users: Vec<String> = contents.users(logs).collect();
    let mut stored = 0;
    for users in users.chunks(USERS_PER_QUERY) {
        let path = format!("/api/logs?limit=1&userId={}", users.join("&userId="));
        let answer = client.get(&path).await.map_err(|_| Silence::NotNow)?;
        match answer.status {
            200 => {}
            400..=499 => return Err(Silence::Never),
            _ => return Err(Silence::NotNow),
        }
        let body: Value = serde_json::from_slice(answer.body).map_err(|_| Silence::Never)?;
        stored += body.get("total").and_then(Value::as_u64).ok_or(Silence::Never)?;
    }
    Ok(stored)
}

/// Why nothing is known about what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// Asking again may help.
    NotNow,
    /// The service does not answer such questions.
    Never,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(stored: u64, partitions: &[(i64, i64, i64)]) -> Reading {
        Reading { stored, partitions: partitions.to_vec() }
    }

    #[test]
    fn a_ledger_is_read() {
        let body = r#"{"balanced":true,"total":{"stored":7},"partitions":[{"partition":0,"next":5,"end":9}]}"#;
        assert_eq!(Reading::parse(body.as_bytes()), Some(reading(7, &[(0, 5, 9)])));
        for body in ["", "{}", r#"{"total":{"stored":7}}"#, r#"{"total":{"stored":7},"partitions":[{}]}"#] {
            assert_eq!(Reading::parse(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn what_arrives_after_the_load_does_not_delay_its_end() {
        let end_of_load = reading(5, &[(0, 5, 10), (1, 3, 3)]);
        assert_eq!(end_of_load.left_at(&end_of_load), 5);
        assert_eq!(end_of_load.left_at(&reading(9, &[(0, 8, 90), (1, 3, 70)])), 2);
        assert_eq!(end_of_load.left_at(&reading(99, &[(0, 50, 90), (1, 3, 70)])), 0);
        assert_eq!(end_of_load.left_at(&reading(0, &[])), 5);
    }
}
