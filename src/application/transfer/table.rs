//! Logs as a table for people and their spreadsheets (RFC 4180).
//!
//! A spreadsheet runs what looks like a formula, and a user id is whatever a client sent. So a cell of text that begins
//! like one gets an apostrophe in front (OWASP, "CSV Injection"). That changes the text: a table cannot be imported.

use std::borrow::Cow;

use csv::{Terminator, Writer, WriterBuilder};

use crate::domain::{LogId, StoredLog, Timestamp};

const COLUMNS: [&str; 7] = ["id", "eventId", "userId", "action", "timestamp", "receivedAt", "metadata"];
const BEGINNINGS_OF_FORMULAS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

pub fn write_header(text: &mut Vec<u8>) {
    rows(text, |table| table.write_record(COLUMNS));
}

/// Appends a row for each log; what a log has not is an empty cell.
pub fn write_rows<'a>(text: &mut Vec<u8>, mut logs: impl Iterator<Item = StoredLog<'a>>) {
    rows(text, |table| logs.try_for_each(|log| write_row(table, &log)));
}

fn write_row(table: &mut Writer<&mut Vec<u8>>, log: &StoredLog<'_>) -> csv::Result<()> {
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
    table.write_field(log.id.map(LogId::get).map(|id| id.to_string()).unwrap_or_default())?;
    table.write_field(log.event_id.to_string())?;
    let times = [time(log.timestamp), time(log.received_at)];
    let texts = [log.user_id.unwrap_or_default(), log.action.unwrap_or_default()];
    for cell in texts.into_iter().chain(times.iter().map(String::as_str)).chain([log.metadata]) {
        table.write_field(harmless(cell).as_bytes())?;
    }
    table.write_record(None::<&[u8]>)
}

fn harmless(cell: &str) -> Cow<'_, str> {
    if cell.starts_with(BEGINNINGS_OF_FORMULAS) { format!("'{cell}").into() } else { cell.into() }
}

fn rows(text: &mut Vec<u8>, write: impl FnOnce(&mut Writer<&mut Vec<u8>>) -> csv::Result<()>) {
    let mut table = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(text);
    // A Vec takes everything, and every row has as many cells as the header.
    let _ = write(&mut table);
    let _ = table.flush();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EventId;

    fn table(user: &str, metadata: &str) -> String {
        let log = StoredLog {
            id: Some(LogId::new(-1)),
            event_id: EventId::from_bytes([0; 16]),
            user_id: Some(user),
            action: None,
            timestamp: Some(Timestamp::from_millis(0)),
            received_at: None,
            metadata,
        };
        let mut text = Vec::new();
        write_rows(&mut text, [log].into_iter());
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_table_has_a_header_and_ends_its_rows_as_the_standard_says() {
        let mut text = Vec::new();
        write_header(&mut text);
        assert_eq!(text, b"id,eventId,userId,action,timestamp,receivedAt,metadata\r\n");
        assert_eq!(
            table("a,\"b\"\n", r#"{"a":1}"#),
            "-1,00000000-0000-0000-0000-000000000000,\"a,\"\"b\"\"\n\",,1970-01-01T00:00:00.000Z,,\"{\"\"a\"\":1}\"\r\n"
        );
    }

    #[test]
    fn nothing_a_client_sent_becomes_a_formula() {
        for beginning in BEGINNINGS_OF_FORMULAS {
            let user = format!("{beginning}1+1");
            let row = table(&user, "-1");
            let mut cells = csv::ReaderBuilder::new().has_headers(false).from_reader(row.as_bytes()).into_records();
            let cells = cells.next().unwrap().unwrap();
            assert_eq!((&cells[0], &cells[2], &cells[6]), ("-1", format!("'{user}").as_str(), "'-1"));
        }
        assert!(table("a=1", "{}").contains(",a=1,"));
    }
}
