//! The load: distinct logs at a steady rate, whatever the answers, each outcome on record.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    ops::Range,
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{task::LocalSet, time::timeout};

use crate::{
    batch,
    http::{self, Connection, Failure, Reply},
};

/// Longer than `PUBLISH_TIMEOUT`, so that it is the service that answers.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(8);
/// Open requests at a time; a hung service must not take all the connections there are.
const MOST_OPEN: usize = 3500;
const TICK: Duration = Duration::from_millis(4);
const USERS: usize = 50;

/// What became of a post, as its client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// 202, with the event's id.
    Acknowledged(String),
    /// 503, 429 or 4xx.
    Refused(u16),
    /// Nobody listened.
    NotSent,
    /// 500 or 504.
    Unknown(u16),
    /// The connection broke, or no answer came.
    Broken,
}

#[derive(Debug, Clone)]
pub(crate) struct Post {
    /// The number that its log carries as its action.
    pub(crate) number: usize,
    /// Since the load began.
    pub(crate) at: Duration,
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
    /// A 503 or 429 without `Retry-After`.
    pub(crate) impolite: bool,
}

struct Shared {
    began: Instant,
    /// Logs a second, and with each request.
    rate: f64,
    items: usize,
    stop: AtomicBool,
    targets: Mutex<Vec<SocketAddr>>,
    posts: Mutex<Vec<Post>>,
}

impl Shared {
    fn posts(&self) -> MutexGuard<'_, Vec<Post>> {
        self.posts.lock().unwrap()
    }
}

/// A running load. It ends when it is finished or dropped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Load {
    /// Posts to the ports in turn, so many logs a second.
    pub(crate) fn start(ports: &[u16], rate: f64) -> Self {
        Self::start_with(ports, rate, 1)
    }

    pub(crate) fn start_in_batches(ports: &[u16], rate: f64) -> Self {
        Self::start_with(ports, rate, batch::ITEMS)
    }

    fn start_with(ports: &[u16], rate: f64, items: usize) -> Self {
        let shared = Arc::new(Shared {
            began: Instant::now(),
            rate,
            items,
            stop: AtomicBool::new(false),
            targets: Mutex::default(),
            posts: Mutex::default(),
        });
        let mut load = Self { shared: Arc::clone(&shared), thread: None };
        load.aim(ports);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        load.thread = Some(thread::spawn(move || LocalSet::new().block_on(&runtime, generate(shared))));
        load
    }

    /// Posts to these ports from now on.
    pub(crate) fn aim(&self, ports: &[u16]) {
        let addresses = ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port)));
        *self.shared.targets.lock().unwrap() = addresses.collect();
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.shared.began.elapsed()
    }

    /// What is known so far of the posts that have ended.
    pub(crate) fn posts(&self) -> Vec<Post> {
        self.shared.posts().clone()
    }

    /// The event ids of all that is acknowledged so far.
    pub(crate) fn acknowledged(&self) -> Vec<String> {
        self.shared.posts().iter().filter_map(Post::event_id).collect()
    }

    /// Whether a post sent after this moment has been answered 202.
    pub(crate) fn taken_since(&self, moment: Duration) -> Option<Duration> {
        let posts = self.shared.posts();
        let taken = posts.iter().filter(|post| post.at >= moment && post.event_id().is_some());
        taken.map(|post| post.at + post.took).min()
    }

    pub(crate) fn run_for(&self, time: Duration) {
        thread::sleep(time);
    }

    /// Until the load has run this long in all.
    pub(crate) fn run_until(&self, total: Duration) {
        thread::sleep(total.saturating_sub(self.elapsed()));
    }

    /// No further posts; waits for the answers of those under way. Returns all, and how long posts were made.
    pub(crate) fn finish(mut self) -> (Vec<Post>, Duration) {
        let lasted = self.elapsed();
        self.end();
        (std::mem::take(&mut *self.shared.posts()), lasted)
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

impl Post {
    pub(crate) fn event_id(&self) -> Option<String> {
        match &self.outcome {
            Outcome::Acknowledged(id) => Some(id.clone()),
            _ => None,
        }
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.outcome, Outcome::Refused(_) | Outcome::NotSent)
    }

    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self.outcome, Outcome::Unknown(_) | Outcome::Broken)
    }

    /// When its answer came.
    pub(crate) fn until(&self) -> Duration {
        self.at + self.took
    }
}

type Idle = Rc<RefCell<Vec<(SocketAddr, Connection)>>>;

async fn generate(shared: Arc<Shared>) {
    let (idle, open) = (Idle::default(), Rc::new(Cell::new(0_usize)));
    let mut posting = tokio::task::JoinSet::new();
    let mut ticks = tokio::time::interval(TICK);
    let mut number = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        while posting.try_join_next().is_some() {}
        while (number as f64) < shared.began.elapsed().as_secs_f64() * shared.rate && open.get() < MOST_OPEN {
            open.set(open.get() + 1);
            let (shared, idle, open) = (Arc::clone(&shared), Rc::clone(&idle), Rc::clone(&open));
            let numbers = number..number + shared.items;
            number = numbers.end;
            posting.spawn_local(async move {
                post(&shared, &idle, numbers).await;
                open.set(open.get() - 1);
            });
        }
    }
    while posting.join_next().await.is_some() {}
}

/// Posts these logs, and puts on record what became of each.
async fn post(shared: &Shared, idle: &Idle, numbers: Range<usize>) {
    let client = Client { shared, idle, nth: numbers.start / shared.items };
    let at = shared.began.elapsed();
    let (outcomes, polite) = if shared.items == 1 {
        let exchanged = client.exchange(&[http::post(&item(numbers.start))], Duration::ZERO).await;
        let polite = exchanged.as_ref().map_or(true, Reply::says_when_to_retry);
        (vec![exchanged.map_or_else(Outcome::from, |reply| judge(&reply))], polite)
    } else {
        batch::post(&client, numbers.clone()).await
    };
    let took = shared.began.elapsed() - at;
    let posts = numbers.zip(outcomes);
    shared.posts().extend(posts.map(|(number, outcome)| Post { number, at, took, outcome, impolite: !polite }));
}

/// The log of this number.
pub(crate) fn item(number: usize) -> String {
    format!(
        r#"{{"userId":"user{}","action":"{number}","metadata":{{"ip":"127.0.0.1","device":"web","number":{number},"note":"{:032x}"}}}}"#,
        number % USERS,
        number.wrapping_mul(0x9e37_79b9),
    )
}

/// One of many clients; idle connections are anybody's.
pub(crate) struct Client<'a> {
    shared: &'a Shared,
    idle: &'a Idle,
    nth: usize,
}

impl Client<'_> {
    /// Sends a request in these pieces and reads the answer.
    pub(crate) async fn exchange(&self, pieces: &[Vec<u8>], pause: Duration) -> Result<Reply, Failure> {
        timeout(CLIENT_TIMEOUT, self.send(pieces, pause)).await.unwrap_or(Err(Failure::Broken))
    }

    async fn send(&self, pieces: &[Vec<u8>], pause: Duration) -> Result<Reply, Failure> {
        let target = self.target();
        let connection = match self.idle_connection(target) {
            Some(connection) => connection,
            None => Connection::open(target).await?,
        };
        let (reply, kept) = connection.send(pieces, pause).await?;
        if let Some(connection) = kept {
            self.idle.borrow_mut().push((target, connection));
        }
        Ok(reply)
    }

    fn target(&self) -> SocketAddr {
        let targets = self.shared.targets.lock().unwrap();
        targets[self.nth % targets.len()]
    }

    fn idle_connection(&self, target: SocketAddr) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        while let Some((address, connection)) = idle.pop() {
            if address == target && connection.is_idle() {
                return Some(connection);
            }
        }
        None
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotSent => Self::NotSent,
            Failure::Broken => Self::Broken,
        }
    }
}

fn judge(reply: &Reply) -> Outcome {
    match reply.status {
        202 => {
            let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            body["eventId"].as_str().map_or(Outcome::Broken, |id| Outcome::Acknowledged(id.to_owned()))
        }
        status => refusal(status),
    }
}

/// What a status says that is no success.
pub(crate) fn refusal(status: u16) -> Outcome {
    match status {
        503 | 400..=499 => Outcome::Refused(status),
        _ => Outcome::Unknown(status),
    }
}
