//! How the service is, from cached states: no probe has a side effect or waits.

use std::sync::Arc;

use crate::domain::ports::{Probe, Status};

/// What a caller wants to do, so that a lost store does not take writers out of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Write,
    Read,
    /// All that this process is there for.
    Everything,
}

/// The parts of a process; an empty one is not its business.
pub struct HealthParts {
    /// Takes events.
    pub bus: Arc<dyn Probe>,
    /// Serves and stores logs.
    pub store: Option<Arc<dyn Probe>>,
    /// Drains the bus into the store.
    pub worker: Option<Arc<dyn Probe>>,
    /// Down while the process shuts down.
    pub lifecycle: Arc<dyn Probe>,
}

/// One part's name and state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub status: Status,
}

/// Reads the parts' states.
pub struct HealthService {
    parts: HealthParts,
    takes_events: bool,
    serves_logs: bool,
}

impl HealthService {
    /// `takes_events` and `serves_logs` tell what the process does over HTTP; a worker does neither.
    pub fn new(parts: HealthParts, takes_events: bool, serves_logs: bool) -> Self {
        Self { parts, takes_events, serves_logs }
    }

    pub fn bus(&self) -> Status {
        self.parts.bus.status()
    }

    /// The store's state; `None` where this process has none.
    pub fn store(&self) -> Option<Status> {
        self.parts.store.as_ref().map(|store| store.status())
    }

    /// The parts that matter for the purpose. The process is ready for it when all of them are up.
    pub fn checks(&self, purpose: Purpose) -> Vec<Check> {
        let mut checks = vec![Check { name: "process", status: self.parts.lifecycle.status() }];
        if purpose != Purpose::Read {
            let status = if purpose == Purpose::Write && !self.takes_events {
                Status::Down("this process takes no logs".to_owned())
            } else {
                self.bus()
            };
            checks.push(Check { name: "bus", status });
        }
        if purpose != Purpose::Write {
            match self.store() {
                Some(_) if purpose == Purpose::Read && !self.serves_logs => {
                    let status = Status::Down("this process serves no logs".to_owned());
                    checks.push(Check { name: "store", status });
                }
                Some(status) => checks.push(Check { name: "store", status }),
                None if purpose == Purpose::Read => {
                    let status = Status::Down("this process has no store".to_owned());
                    checks.push(Check { name: "store", status });
                }
                None => {}
            }
        }
        if let (Purpose::Everything, Some(worker)) = (purpose, &self.parts.worker) {
            checks.push(Check { name: "worker", status: worker.status() });
        }
        checks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Status);

    impl Probe for Fixed {
        fn status(&self) -> Status {
            self.0.clone()
        }
    }

    fn up() -> Arc<dyn Probe> {
        Arc::new(Fixed(Status::Up))
    }

    fn down(reason: &str) -> Arc<dyn Probe> {
        Arc::new(Fixed(Status::Down(reason.to_owned())))
    }

    fn ready(service: &HealthService, purpose: Purpose) -> bool {
        service.checks(purpose).iter().all(|check| check.status.is_up())
    }

    #[test]
    fn a_lost_store_does_not_stop_writing_nor_a_lost_bus_reading() {
        let parts = HealthParts { bus: up(), store: Some(down("away")), worker: Some(up()), lifecycle: up() };
        let service = HealthService::new(parts, true, true);
        assert!(ready(&service, Purpose::Write));
        assert!(!ready(&service, Purpose::Read) && !ready(&service, Purpose::Everything));
        let parts = HealthParts { bus: down("away"), store: Some(up()), worker: Some(up()), lifecycle: up() };
        let service = HealthService::new(parts, true, true);
        assert!(ready(&service, Purpose::Read) && !ready(&service, Purpose::Write));
    }

    #[test]
    fn a_process_without_a_store_is_ready_but_not_for_reading() {
        let parts = HealthParts { bus: up(), store: None, worker: None, lifecycle: up() };
        let service = HealthService::new(parts, true, true);
        assert!(ready(&service, Purpose::Everything) && ready(&service, Purpose::Write));
        assert!(!ready(&service, Purpose::Read));
    }

    #[test]
    fn a_process_that_shuts_down_is_ready_for_nothing() {
        let parts = HealthParts { bus: up(), store: Some(up()), worker: None, lifecycle: down("shutting down") };
        let service = HealthService::new(parts, true, true);
        assert!([Purpose::Write, Purpose::Read, Purpose::Everything].iter().all(|purpose| !ready(&service, *purpose)));
    }
}
