//! Large stores for `benches/queries.sh`, filled through the store's own append and read by the bare drivers for
//! comparison; and backlogs of such logs for a service to drain, with and without the indexes for filters.
//!
//! Each command prints a line of JSON.
#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a program for benchmarks")]

#[path = "../shared/backlog.rs"]
mod backlog;
mod embedded;
mod logs;
mod mongo;

use std::time::Instant;

use logs::{Logs, Times};

const USAGE: &str = "archive fill-embedded FOLDER LOGS
archive backlog-embedded FOLDER LOGS shuffled|live
archive drop-indexes-embedded FOLDER
archive read-embedded FOLDER
archive fill-mongo URI LOGS
archive backlog-kafka BROKERS TOPIC LOGS shuffled|live
archive drop-indexes-mongo URI
archive read-mongo URI
archive original URI
archive drop-mongo URI";

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["fill-embedded", folder, logs] => embedded::fill(folder.as_ref(), logs.parse().unwrap()).await,
        ["backlog-embedded", folder, logs, times] => {
            let logs = Logs::new(logs.parse().unwrap(), Times::parse(times).unwrap());
            backlog::embedded(folder.as_ref(), logs.events()).await;
            println!("{{}}");
        }
        ["drop-indexes-embedded", folder] => embedded::drop_indexes(folder.as_ref()),
        ["read-embedded", folder] => embedded::read(folder.as_ref()),
        ["fill-mongo", uri, logs] => mongo::fill(uri, logs.parse().unwrap()).await,
        ["backlog-kafka", brokers, topic, logs, times] => {
            let logs = Logs::new(logs.parse().unwrap(), Times::parse(times).unwrap());
            backlog::kafka(brokers, topic, logs.events()).await;
            println!("{{}}");
        }
        ["drop-indexes-mongo", uri] => mongo::drop_indexes(uri).await,
        ["read-mongo", uri] => mongo::read(uri).await,
        ["drop-mongo", uri] => mongo::drop(uri).await,
        ["original", uri] => mongo::original(uri).await,
        // `cargo bench` runs everything; this one is for the script.
        [.., "--bench"] => {}
        _ => {
            eprintln!("{USAGE}");
            std::process::exit(64);
        }
    }
}

fn tell(count: u64, begun: Instant) {
    let per_s = count as f64 / begun.elapsed().as_secs_f64();
    println!(r#"{{"count":{count},"per_s":{per_s:.0}}}"#);
}
