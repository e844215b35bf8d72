//! The records of one publish on their way: each carries a ticket through the native client, and whoever waits is woken
//! once, when the last of them has landed.

use std::{
    future::poll_fn,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
};

use futures_util::task::AtomicWaker;
use rdkafka::error::KafkaError;
use tokio::sync::Notify;

/// What is known of one record.
#[derive(Debug)]
pub(super) enum Landing {
    Acknowledged,
    /// The client did not take it.
    NotQueued(KafkaError),
    /// The client took it and gave it up, or a broker refused it.
    Failed(KafkaError),
    /// Nothing yet.
    InTheAir,
}

#[derive(Debug)]
pub(super) struct Flight {
    in_the_air: AtomicUsize,
    acknowledged: Box<[AtomicBool]>,
    others: Mutex<Vec<(usize, Landing)>>,
    waiter: AtomicWaker,
}

/// Travels with a record through the native client. Dropping it is a landing too: the client was given up.
#[derive(Debug)]
pub(super) struct Ticket {
    flight: Arc<Flight>,
    index: usize,
    landed: bool,
}

impl Flight {
    /// Of so many records, for each of which there has to be a ticket.
    pub(super) fn of(records: usize) -> Arc<Self> {
        let acknowledged = (0..records).map(|_| AtomicBool::new(false)).collect();
        let in_the_air = AtomicUsize::new(records);
        Arc::new(Self { in_the_air, acknowledged, others: Mutex::default(), waiter: AtomicWaker::new() })
    }

    pub(super) fn ticket(self: &Arc<Self>, index: usize) -> Box<Ticket> {
        Box::new(Ticket { flight: Arc::clone(self), index, landed: false })
    }

    /// Waits until every record has landed. Only one can wait.
    pub(super) async fn landed(&self) {
        poll_fn(|context| {
            self.waiter.register(context.waker());
            if self.in_the_air.load(Ordering::Acquire) == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// What is known of each record by now.
    pub(super) fn landings(&self) -> Vec<Landing> {
        let known = |flag: &AtomicBool| {
            if flag.load(Ordering::Acquire) { Landing::Acknowledged } else { Landing::InTheAir }
        };
        let mut landings: Vec<Landing> = self.acknowledged.iter().map(known).collect();
        for (index, other) in mem::take(&mut *self.others()) {
            landings[index] = other;
        }
        landings
    }

    pub(super) fn wake(&self) {
        self.waiter.wake();
    }

    fn others(&self) -> MutexGuard<'_, Vec<(usize, Landing)>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn land(&self, index: usize, landing: Landing) -> bool {
        match landing {
            Landing::Acknowledged => self.acknowledged[index].store(true, Ordering::Release),
            other => self.others().push((index, other)),
        }
        self.in_the_air.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl Ticket {
    /// Returns the flight if this was its last record: whoever waits for it is to be woken.
    pub(super) fn land(mut self, landing: Landing) -> Option<Arc<Flight>> {
        self.landed = true;
        self.flight.land(self.index, landing).then(|| Arc::clone(&self.flight))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.landed && self.flight.land(self.index, Landing::Failed(KafkaError::Canceled)) {
            self.flight.wake();
        }
    }
}

/// Flights that are complete, on their way to those who wait.
///
/// The native client tells of its records one by one, on a thread of its own. To wake a task from such a thread is
/// expensive, so one task is woken for as many as come while it wakes the others.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    complete: Mutex<Vec<Arc<Flight>>>,
    announced: Notify,
}

impl Arrivals {
    pub(super) fn announce(&self, flight: Arc<Flight>) {
        let mut complete = self.complete();
        complete.push(flight);
        if complete.len() == 1 {
            drop(complete);
            self.announced.notify_one();
        }
    }

    /// Wakes whoever waits, for ever.
    pub(super) async fn forward(&self) {
        loop {
            self.announced.notified().await;
            let complete = mem::take(&mut *self.complete());
            complete.iter().for_each(|flight| flight.wake());
        }
    }

    fn complete(&self) -> MutexGuard<'_, Vec<Arc<Flight>>> {
        self.complete.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_flight_is_complete_with_its_last_record_and_knows_of_each() {
        let flight = Flight::of(4);
        let tickets: Vec<_> = (0..4).map(|index| flight.ticket(index)).collect();
        let mut tickets = tickets.into_iter();
        assert!(tickets.next().unwrap().land(Landing::Acknowledged).is_none());
        drop(tickets.next());
        assert!(tickets.next().unwrap().land(Landing::NotQueued(KafkaError::Canceled)).is_none());
        assert!(timeout(Duration::from_millis(10), flight.landed()).await.is_err());
        assert!(matches!(
            flight.landings()[..],
            [Landing::Acknowledged, Landing::Failed(_), Landing::NotQueued(_), Landing::InTheAir]
        ));
        assert!(tickets.next().unwrap().land(Landing::Acknowledged).is_some());
        flight.landed().await;
    }

    #[tokio::test]
    async fn who_waits_is_woken_through_the_arrivals() {
        let arrivals = Arc::new(Arrivals::default());
        let mut tasks = tokio::task::JoinSet::new();
        let mut tickets = Vec::new();
        for _ in 0..100 {
            let flight = Flight::of(1);
            tickets.push(flight.ticket(0));
            tasks.spawn(async move { flight.landed().await });
        }
        tokio::task::yield_now().await;
        let forwarding = async { arrivals.forward().await };
        let announcing = async {
            for ticket in tickets {
                arrivals.announce(ticket.land(Landing::Acknowledged).unwrap());
            }
            while tasks.join_next().await.is_some() {}
        };
        tokio::select! {
            () = forwarding => unreachable!("it forwards for ever"),
            () = announcing => {}
        }
    }
}
