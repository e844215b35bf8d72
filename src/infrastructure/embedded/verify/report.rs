//! What a verification says on its way, handed from the thread that reads to whoever listens.

use tokio::sync::mpsc;

use crate::domain::ports::{PortError, VerificationProgress, VerificationSummary};

pub(super) enum Report {
    Progress(VerificationProgress),
    Fault(String),
}

/// The reading thread's end, with the sums.
pub(super) struct Reports {
    sender: mpsc::Sender<Report>,
    pub(super) summary: VerificationSummary,
    pub(super) total: u64,
}

impl Reports {
    pub(super) fn new(sender: mpsc::Sender<Report>) -> Self {
        Self { sender, summary: VerificationSummary::default(), total: 0 }
    }

    pub(super) fn missing(&mut self, fault: String, count: u64) -> Result<(), PortError> {
        self.summary.missing += count;
        self.send(Report::Fault(fault))
    }

    pub(super) fn damaged(&mut self, fault: String) -> Result<(), PortError> {
        self.summary.damaged += 1;
        self.send(Report::Fault(fault))
    }

    pub(super) fn progress(&self) -> Result<(), PortError> {
        let done = self.summary.looked_up;
        self.send(Report::Progress(VerificationProgress { done, total: self.total.max(done) }))
    }

    fn send(&self, report: Report) -> Result<(), PortError> {
        self.sender.blocking_send(report).map_err(|_| PortError::closed("nobody listens to the verification"))
    }
}
