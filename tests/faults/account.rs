//! The account: what was posted against what is stored.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    thread,
    time::{Duration, Instant},
};

use crate::{
    load::{Outcome, Post},
    process::Service,
    store::Stored,
};

/// How long the ledger may take to see what the account sees.
const SETTLING: Duration = Duration::from_secs(15);

/// One line of the table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    pub(crate) posted: usize,
    pub(crate) acknowledged: usize,
    pub(crate) refused: usize,
    pub(crate) unknown: usize,
    pub(crate) stored: usize,
    pub(crate) lost: usize,
    pub(crate) twice: usize,
    /// Deliveries of what was stored before, as the service's ledger has them.
    pub(crate) duplicates: usize,
    /// From the end of the fault until a new post was answered 202 and all that was acknowledged until then stored.
    pub(crate) recovered: Option<Duration>,
    pub(crate) notes: Vec<String>,
}

impl Row {
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

/// What the account may find besides zeros.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exceptions {
    /// Events that the broker expired before anyone read them.
    pub(crate) expired: Vec<String>,
    /// Logs that were deleted on purpose.
    pub(crate) deleted: Vec<String>,
    /// Records that are no logs.
    pub(crate) dead_letters: usize,
}

impl Exceptions {
    /// How many of those that expired had not been stored before.
    pub(crate) fn expired_unread(&self, stored: &[Stored]) -> usize {
        let stored: HashSet<_> = stored.iter().map(|log| &log.event_id).collect();
        self.expired.iter().filter(|id| !stored.contains(id)).count()
    }
}

/// Fills the row and returns everything that is wrong.
pub(crate) fn settle(row: &mut Row, posts: &[Post], stored: &[Stored], exceptions: &Exceptions) -> Vec<String> {
    let mut faults = Vec::new();
    let mut by_action: HashMap<&str, Vec<&Stored>> = HashMap::new();
    let mut by_id: BTreeMap<i64, usize> = BTreeMap::new();
    for log in stored {
        by_action.entry(&log.action).or_default().push(log);
        *by_id.entry(log.id).or_default() += 1;
    }
    let used_twice: Vec<_> = by_id.iter().filter(|(_, times)| **times > 1).map(|(id, _)| *id).collect();
    let (mut lost, mut twice, mut refused_but_stored, mut other_id, mut undead) =
        <(Vec<_>, Vec<_>, Vec<_>, Vec<_>, Vec<_>)>::default();
    for post in posts {
        let action = post.number.to_string();
        let copies = by_action.get(action.as_str()).map_or(&[][..], Vec::as_slice);
        row.stored += copies.len();
        if copies.len() > 1 {
            twice.push(post.number);
        }
        match &post.outcome {
            Outcome::Acknowledged(id) if exceptions.deleted.contains(id) => {
                undead.extend((!copies.is_empty()).then_some(post.number));
            }
            Outcome::Acknowledged(id) => match copies {
                [] if exceptions.expired.contains(id) => {}
                [] => lost.push(post.number),
                [first, ..] => other_id.extend((first.event_id != *id).then_some(post.number)),
            },
            Outcome::Refused(_) | Outcome::NotSent if !copies.is_empty() => refused_but_stored.push(post.number),
            Outcome::Refused(_) | Outcome::NotSent | Outcome::Unknown(_) | Outcome::Broken => {}
        }
    }
    row.posted = posts.len();
    row.acknowledged = posts.iter().filter(|post| post.event_id().is_some()).count();
    row.refused = posts.iter().filter(|post| post.is_refused()).count();
    row.unknown = posts.iter().filter(|post| post.is_unknown()).count();
    (row.lost, row.twice) = (lost.len(), twice.len());
    let impolite: Vec<_> = posts.iter().filter(|post| post.impolite).map(|post| post.number).collect();
    for (what, numbers) in [
        ("acknowledged but missing", lost),
        ("stored twice", twice),
        ("refused but stored", refused_but_stored),
        ("stored under another event id than the 202 gave", other_id),
        ("deleted but back", undead),
        ("503 or 429 without Retry-After", impolite),
    ] {
        if let Some(first) = numbers.first() {
            faults.push(format!("{what}: {} posts, the first is {first}", numbers.len()));
        }
    }
    if let Some(first) = used_twice.first() {
        faults.push(format!("ids used twice: {}, the first is {first}", used_twice.len()));
    }
    if row.acknowledged == 0 {
        faults.push("nothing at all was acknowledged".to_owned());
    }
    faults
}

/// What is wrong with the committed offsets: a group's commit must never take a partition back.
pub(crate) fn commits_go_forward(commits: &[(i32, i64)]) -> Vec<String> {
    let mut highest = BTreeMap::new();
    let mut faults = Vec::new();
    for (partition, offset) in commits {
        let before = highest.insert(*partition, *offset).unwrap_or(0);
        if *offset < before {
            faults.push(format!("the commit of partition {partition} went back from {before} to {offset}"));
        }
    }
    faults
}

/// Whether the service's own ledger balances and agrees with the account, and `eyego verify` finds nothing; nothing to
/// say where the service keeps no ledger.
pub(crate) fn ledger_balances(
    row: &mut Row,
    service: &Service,
    exceptions: &Exceptions,
    expired: usize,
) -> Vec<String> {
    let Some((200, mut ledger)) = service.get("/api/ledger") else { return Vec::new() };
    let deadline = Instant::now() + SETTLING;
    while ledger["total"]["pending"] != 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(100));
        ledger = service.get("/api/ledger").map_or(ledger, |(_, later)| later);
    }
    let mut faults = Vec::new();
    let count = |name: &str| usize::try_from(ledger["total"][name].as_u64().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    if ledger["balanced"] != true || count("pending") != 0 {
        faults.push(format!("the ledger does not balance: {ledger}"));
    }
    // A batch that was stored, and not counted yet when service and records went, counts as expired too.
    let letters = exceptions.dead_letters..=exceptions.dead_letters;
    for (name, wanted) in [("deadLettered", letters), ("expired", expired..=exceptions.expired.len())] {
        if !wanted.contains(&count(name)) {
            faults.push(format!("{name} should be {wanted:?} in the ledger: {ledger}"));
        }
    }
    row.duplicates = count("duplicates");
    let verified = service.recipe.command(&["verify"]).output().unwrap();
    if !verified.status.success() {
        let said = String::from_utf8_lossy(&verified.stdout).into_owned() + &String::from_utf8_lossy(&verified.stderr);
        faults.push(format!("eyego verify ends with {}: {said}", verified.status));
    }
    faults
}

/// The share of these times that lies under the result, of 100.
pub(crate) fn percentile(times: impl IntoIterator<Item = Duration>, share: f64) -> Duration {
    let mut times: Vec<_> = times.into_iter().collect();
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    times.get((last as f64 * share / 100.0).round() as usize).copied().unwrap_or_default()
}
