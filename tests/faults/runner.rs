//! Chooses the scenarios, runs two at a time, and prints the table.

use std::{
    cell::RefCell,
    collections::VecDeque,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::{
    account::Row,
    environment,
    rig::Rig,
    scenario::{Backend, Scenario, all},
    servers,
};

const AT_A_TIME: usize = 2;
/// Options of the standard test harness that have a value.
const WITH_VALUE: [&str; 6] = ["--test-threads", "--skip", "--format", "--color", "--logfile", "-Z"];

struct Ended {
    scenario: Scenario,
    row: Row,
    took: Duration,
    /// What went wrong, and where to look.
    failure: Option<String>,
}

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

pub(crate) fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let whole = environment("FAULTS").is_some();
    let chosen = choose(&arguments, whole);
    if arguments.iter().any(|argument| argument == "--list") {
        for scenario in &chosen {
            println!("{}: test", scenario.name);
        }
        return ExitCode::SUCCESS;
    }
    let chosen = if arguments.iter().any(|argument| argument == "--ignored") { Vec::new() } else { chosen };
    let count = chosen.len();
    println!("\nrunning {count} fault scenarios");
    let Ok(chosen) = with_servers(chosen, !names(&arguments).is_empty()) else { return ExitCode::FAILURE };
    let skipped = count - chosen.len();
    remember_panics();
    end_on_signals();
    let began = Instant::now();
    let ended = run_all(chosen, whole);
    servers::end_all();
    print_table(&ended);
    let failed = ended.iter().filter(|one| one.failure.is_some()).count();
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {failed} failed; {skipped} ignored; 0 measured; 0 filtered out; finished in {:.0}s\n",
        ended.len() - failed,
        began.elapsed().as_secs_f64()
    );
    if failed == 0 {
        let _ = std::fs::remove_dir_all(servers::run_folder());
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// By names, by `FAULTS`, or the quick ones.
fn choose(arguments: &[String], whole: bool) -> Vec<Scenario> {
    let mut names = names(arguments);
    let listed = environment("FAULTS").filter(|list| list != "all");
    names.extend(listed.iter().flat_map(|list| list.split(',')));
    let named = |scenario: &Scenario| names.iter().any(|name| scenario.name.contains(name));
    all()
        .into_iter()
        .filter(|scenario| if names.is_empty() { whole || scenario.quick } else { named(scenario) })
        .collect()
}

/// The arguments that are no options of the standard test harness.
fn names(arguments: &[String]) -> Vec<&str> {
    let mut names = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(&word.as_str()) {
            words.next();
        } else if !word.starts_with('-') {
            names.push(word.as_str());
        }
    }
    names
}

/// Leaves out what cannot be run here, unless that is a failure.
fn with_servers(chosen: Vec<Scenario>, named: bool) -> Result<Vec<Scenario>, ()> {
    if chosen.iter().all(|scenario| scenario.backend == Backend::Embedded) {
        return Ok(chosen);
    }
    let required = environment("REQUIRE_SERVICES").as_deref() == Some("1");
    // Like all tests, those on servers run where servers are meant to be used.
    let asked_for = required || named || environment("FAULTS").is_some() || environment("KAFKA_BROKERS").is_some();
    if !asked_for {
        println!("neither KAFKA_BROKERS nor FAULTS is set: the embedded scenarios alone");
        return Ok(chosen.into_iter().filter(|scenario| scenario.backend == Backend::Embedded).collect());
    }
    match servers::available(required) {
        Ok(()) => Ok(chosen),
        Err(why) if required => {
            eprintln!("no Kafka and MongoDB, and REQUIRE_SERVICES=1: {why}");
            Err(())
        }
        Err(_) => {
            println!("without Kafka and MongoDB (tests/servers.sh up fetches them): the embedded scenarios alone");
            Ok(chosen.into_iter().filter(|scenario| scenario.backend == Backend::Embedded).collect())
        }
    }
}

fn run_all(chosen: Vec<Scenario>, whole: bool) -> Vec<Ended> {
    let (alone, together): (VecDeque<_>, VecDeque<_>) =
        chosen.into_iter().partition(|scenario| whole && scenario.alone);
    let ended: Mutex<Vec<Ended>> = Mutex::default();
    for (queue, threads) in [(together, AT_A_TIME), (alone, 1)] {
        let queue = Mutex::new(queue);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(next) = { queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() } {
                        let one = run(next, whole);
                        ended.lock().unwrap_or_else(PoisonError::into_inner).push(one);
                    }
                });
            }
        });
    }
    ended.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn run(scenario: Scenario, whole: bool) -> Ended {
    let began = Instant::now();
    let mut rig = Rig::new(&scenario, whole);
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
        rig.prepare(scenario.setup);
        (scenario.run)(&mut rig);
    }));
    let failure = outcome.err().map(|_| last_panic() + &rig.evidence());
    let (took, row, folder) = (began.elapsed(), rig.row.clone(), rig.folder.clone());
    drop(rig);
    match &failure {
        None => {
            println!("test {} ... ok ({:.0} s)", scenario.name, took.as_secs_f64());
            let _ = std::fs::remove_dir_all(folder);
        }
        Some(failure) => println!("test {} ... FAILED ({:.0} s)\n    {failure}", scenario.name, took.as_secs_f64()),
    }
    Ended { scenario, row, took, failure }
}

/// What the last panic of this thread said.
pub(crate) fn last_panic() -> String {
    LAST_PANIC.with_borrow(Clone::clone)
}

fn remember_panics() {
    panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("a panic without words");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        LAST_PANIC.set(format!("{text} ({place})"));
    }));
}

/// Servers live in sessions of their own: Ctrl-C alone would leave them behind.
fn end_on_signals() {
    thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        });
        servers::end_all();
        std::process::exit(130);
    });
}

fn print_table(ended: &[Ended]) {
    let heads = [
        "posted",
        "acknowledged",
        "refused",
        "unknown",
        "stored",
        "lost",
        "twice",
        "duplicates",
        "recovered s",
        "took s",
    ];
    println!("\n{:44} {}  notes", "scenario", heads.join("  "));
    for Ended { scenario, row, took, failure } in ended {
        let recovered = row.recovered.map_or("-".to_owned(), |time| format!("{:.1}", time.as_secs_f64()));
        let numbers =
            [row.posted, row.acknowledged, row.refused, row.unknown, row.stored, row.lost, row.twice, row.duplicates];
        let mut cells: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        cells.extend([recovered, format!("{:.0}", took.as_secs_f64())]);
        let cells = cells.iter().zip(heads).map(|(cell, head)| format!("{cell:>width$}", width = head.len()));
        let verdict = if failure.is_some() { "FAILED " } else { "" };
        let cells = cells.collect::<Vec<_>>().join("  ");
        println!("{:44} {cells}  {verdict}{}", scenario.name, row.notes.join(", "));
    }
}
