//! Whether the two databases still fit together: each keeps what the other had, so a lost end is noticed.

use std::path::Path;

use super::{folder_error::FolderError, ledger_rows::LedgerRow, sequence::SequenceRow};

const RESTORE: &str = "restore queue.db and logs.db from one backup; eyego verify tells more";
const ACCEPT: &str = "restore queue.db and logs.db from one backup; if this is one, or to go on without those events, \
                      remove eyego.lock";

/// The two databases, to be named.
pub(super) struct Files<'a> {
    pub(super) queue: &'a Path,
    pub(super) logs: &'a Path,
}

impl Files<'_> {
    /// `acknowledged` is what the process noted outside of both.
    pub(super) fn check(
        &self,
        queue: SequenceRow,
        ledger: Option<LedgerRow>,
        acknowledged: i64,
    ) -> Result<(), FolderError> {
        let used = queue.last >= queue.first;
        let Some(LedgerRow { account, queue_last }) = ledger else {
            // It meets its queue for the first time: then there is nothing yet that it should know.
            return if used { Err(self.logs_shortened(queue.first, queue.position)) } else { Ok(()) };
        };
        if account.first != queue.first {
            return Err(FolderError::Strangers(self.queue.to_owned(), self.logs.to_owned()));
        }
        if queue.last < queue_last.max(account.next - 1) {
            return Err(self.queue_shortened(queue.last, queue_last.max(account.next - 1), account.next));
        }
        if queue.position > account.next {
            return Err(self.logs_shortened(account.next, queue.position));
        }
        if acknowledged > queue.last {
            let gone = events(queue.last + 1, acknowledged);
            let lost = format!("{gone}, acknowledged, are gone from it");
            return Err(FolderError::Shortened { file: self.queue.to_owned(), lost, advice: ACCEPT });
        }
        Ok(())
    }

    fn queue_shortened(&self, last: i64, known: i64, next: i64) -> FolderError {
        let gone = events(last + 1, known);
        let unstored = next.max(last + 1);
        let lost = if unstored <= known {
            format!("{gone} are gone from it, and of these {} were not stored yet", events(unstored, known))
        } else {
            format!("{gone} are gone from it; these are stored, but later ones may have followed")
        };
        FolderError::Shortened { file: self.queue.to_owned(), lost, advice: RESTORE }
    }

    fn logs_shortened(&self, next: i64, position: i64) -> FolderError {
        let lost = format!("{} were stored and are gone from it", events(next, position - 1));
        FolderError::Shortened { file: self.logs.to_owned(), lost, advice: RESTORE }
    }
}

/// How many they are, and which.
fn events(first: i64, last: i64) -> String {
    match last - first + 1 {
        1 => format!("1 event (sequence {first})"),
        count => format!("{count} events (sequence {first} to {last})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Account;

    fn check(last: i64, position: i64, next: i64, queue_last: i64, acknowledged: i64) -> String {
        let files = Files { queue: Path::new("queue.db"), logs: Path::new("logs.db") };
        let account = Account { next, ..Account::beginning_at(0, 1) };
        let ledger = Some(LedgerRow { account, queue_last });
        match files.check(SequenceRow { first: 1, last, position }, ledger, acknowledged) {
            Ok(()) => "fine".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_was_stored_and_not_marked_as_such_is_fine() {
        assert_eq!(check(0, 1, 1, 0, 0), "fine");
        assert_eq!(check(10, 4, 8, 9, 10), "fine");
        assert_eq!(check(10, 11, 11, 10, 9), "fine");
    }

    #[test]
    fn a_lost_end_is_named_with_what_is_lost() {
        let lost = check(10, 4, 8, 12, 10);
        assert!(lost.starts_with("queue.db has lost its end: 2 events (sequence 11 to 12)"), "{lost}");
        let lost = check(10, 4, 13, 12, 10);
        assert!(lost.contains("2 events (sequence 11 to 12) are gone from it; these are stored"), "{lost}");
        let lost = check(10, 9, 8, 9, 10);
        assert!(lost.starts_with("logs.db has lost its end: 1 event (sequence 8)"), "{lost}");
        let lost = check(10, 4, 8, 9, 11);
        assert!(
            lost.contains("1 event (sequence 11), acknowledged, are gone") && lost.contains("remove eyego.lock"),
            "{lost}"
        );
    }
}
