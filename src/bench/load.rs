//! The load: connections that take turns until there are none, and what is looked after meanwhile.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    BenchError, Observer, connection::Connection, process::Process, readable::ReadableSampler, record::Record,
    request::Requests, schedule::Schedule, target::Target,
};

const TICK: Duration = Duration::from_millis(200);
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// A connection that cannot be made again for so long is given up.
const RECONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// After such a rest a connection may have been closed.
const LONG_REST: Duration = Duration::from_secs(5);

/// What all connections share.
pub(super) struct Load {
    pub(super) target: Rc<Target>,
    pub(super) requests: Requests,
    pub(super) schedule: Arc<Schedule>,
    pub(super) record: RefCell<Record>,
    pub(super) sampler: ReadableSampler,
    /// Connections that are left; none before the load is over means that the service is gone.
    pub(super) left: Cell<usize>,
}

/// Opens the connections of a load before its time begins.
pub(super) async fn connect(target: &Target, count: usize) -> Result<Vec<Connection>, BenchError> {
    let mut connections = Vec::with_capacity(count);
    for number in 1..=count {
        let connection = Connection::open(target.address).await;
        connections.push(connection.map_err(|error| BenchError::Connect(number, error))?);
    }
    Ok(connections)
}

impl Load {
    /// Runs the load to its end, or until `stop`; returns how long it took until the last answer. To be called within a
    /// `LocalSet`.
    pub(super) async fn run(
        self: &Rc<Self>,
        connections: Vec<Connection>,
        stop: &CancellationToken,
        process: &mut Option<Process>,
        observer: &mut dyn Observer,
    ) -> Duration {
        self.left.set(connections.len());
        let pacer = self.schedule.pace(connections.len());
        let mut posters = JoinSet::new();
        for connection in connections {
            let load = Rc::clone(self);
            posters.spawn_local(async move { load.post(connection).await });
        }
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                ended = posters.join_next() => if ended.is_none() { break },
                () = stop.cancelled(), if !self.schedule.is_over(Instant::now()) => self.schedule.stop(),
                _ = ticks.tick() => {
                    if let Some(process) = process {
                        process.sample();
                    }
                    observer.loading(self.record.borrow().acknowledged, self.schedule.began().elapsed());
                }
            }
        }
        let took = self.schedule.began().elapsed();
        self.schedule.stop();
        if let Some(pacer) = pacer {
            // It looks at the end at least every few milliseconds.
            let _ = pacer.join();
        }
        took
    }

    async fn post(&self, connection: Connection) {
        let mut connection = connection;
        let mut request = Vec::with_capacity(1024);
        let mut now = Instant::now();
        while let Some(turn) = self.schedule.turn(now).await {
            if turn.intended > now {
                let rested = now.elapsed();
                now += rested;
                if rested > LONG_REST && !connection.is_idle() {
                    // Closed while there was nothing to send: that must not turn the log into an unknown one.
                    connection = match Connection::open(self.target.address).await {
                        Ok(new) => new,
                        Err(_) => connection,
                    };
                }
            }
            let wants_event = self.sampler.wants(now);
            self.requests.write(&mut request, turn, wants_event);
            self.record.borrow_mut().journal.begin(turn);
            let answered = connection.exchange(&request, now).await;
            now = Instant::now();
            match answered {
                Ok(answer) => {
                    let event = self.record.borrow_mut().answered(turn, answer, now, wants_event);
                    if let Some(event) = event.filter(|_| wants_event) {
                        self.sampler.sample(event, now);
                    }
                }
                Err(_) => self.record.borrow_mut().broken(turn),
            }
            if !connection.is_usable() {
                match self.reconnect().await {
                    Some(new) => connection = new,
                    None => {
                        let over = self.schedule.is_over(Instant::now());
                        self.left.set(self.left.get() - usize::from(!over));
                        break;
                    }
                }
                now = Instant::now();
            }
        }
    }

    /// `None` when the load is over, or the service is gone.
    async fn reconnect(&self) -> Option<Connection> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        while !self.schedule.is_over(Instant::now()) && began.elapsed() < RECONNECT_PATIENCE {
            if let Ok(connection) = Connection::open(self.target.address).await {
                return Some(connection);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        None
    }
}
