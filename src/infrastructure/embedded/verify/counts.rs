//! Whether the counters and the account say what the rows say, all read at one moment.

use rusqlite::Connection;

use super::super::ledger_rows;

const COUNTS: &str = "SELECT
    (SELECT stored FROM counters),
    (SELECT count(*) FROM logs),
    (SELECT count(*) FROM logs WHERE seq IS NULL),
    (SELECT count(*) FROM tombstones WHERE seq IS NOT NULL) + (SELECT count(*) FROM forgotten),
    (SELECT count(*) FROM duplicates),
    (SELECT count(*) FROM dead_letters WHERE position >= ?)";

/// What is wrong, one line each.
pub(super) fn faults(connection: &mut Connection) -> rusqlite::Result<Vec<String>> {
    let transaction = connection.transaction()?;
    let Some(ledger) = ledger_rows::read(&transaction)? else { return Ok(Vec::new()) };
    let counts = transaction.query_row(COUNTS, [ledger.account.first], |row| {
        Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get::<_, i64>(5)?])
    })?;
    let [counter, logs, unnumbered, deleted, duplicates, dead_letters] = counts;
    let tally = ledger.account.tally;
    let said = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let checks = [
        ("the counter of logs", counter, logs),
        ("the account of stored logs", said(tally.stored), logs - unnumbered + deleted),
        ("the account of duplicates", said(tally.duplicates), duplicates),
        ("the account of dead letters", said(tally.dead_lettered), dead_letters),
    ];
    let wrong = checks.into_iter().filter(|(_, said, found)| said != found);
    Ok(wrong.map(|(what, said, found)| format!("logs.db: {what} says {said}, the rows say {found}")).collect())
}
