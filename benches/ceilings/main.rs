//! What the machine gives at most: the same records, documents and rows as the service's, with the same durability,
//! through the bare drivers. And backlogs for `benches/compare.sh` to drain.
//!
//! Each ceiling prints a line of JSON per variant, and at last the best.
#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a program for benchmarks")]

#[path = "../shared/backlog.rs"]
mod backlog;
mod kafka;
mod logs;
mod mongo;
mod sqlite;

use std::time::Instant;

use logs::Logs;

const USAGE: &str = "ceilings kafka BROKERS TOPIC SECONDS
ceilings mongo URI DOCUMENTS
ceilings sqlite-queue FOLDER ROWS
ceilings sqlite-logs FOLDER ROWS
ceilings backlog-kafka BROKERS TOPIC LOGS
ceilings backlog-embedded FOLDER LOGS";

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["kafka", brokers, topic, seconds] => kafka::measure(brokers, topic, seconds.parse().unwrap()).await,
        ["mongo", uri, documents] => mongo::measure(uri, documents.parse().unwrap()).await,
        ["sqlite-queue", folder, rows] => sqlite::queue(folder.as_ref(), rows.parse().unwrap()),
        ["sqlite-logs", folder, rows] => sqlite::logs(folder.as_ref(), rows.parse().unwrap()),
        ["backlog-kafka", brokers, topic, logs] => {
            backlog::kafka(brokers, topic, Logs::new().take(logs.parse().unwrap())).await;
        }
        ["backlog-embedded", folder, logs] => {
            backlog::embedded(folder.as_ref(), Logs::new().take(logs.parse().unwrap())).await;
        }
        // `cargo bench` runs everything; this one is for the script.
        [.., "--bench"] => {}
        _ => {
            eprintln!("{USAGE}");
            std::process::exit(64);
        }
    }
}

/// The variants of one ceiling.
struct Ceiling {
    name: &'static str,
    best: f64,
}

impl Ceiling {
    fn new(name: &'static str) -> Self {
        Self { name, best: 0.0 }
    }

    fn variant(&mut self, variant: &str, count: usize, begun: Instant) {
        let per_s = count as f64 / begun.elapsed().as_secs_f64();
        self.best = self.best.max(per_s);
        println!(r#"{{"ceiling":"{}","variant":"{variant}","per_s":{per_s:.0}}}"#, self.name);
    }

    fn finish(&self) {
        println!(r#"{{"ceiling":"{}","best_per_s":{:.0}}}"#, self.name, self.best);
    }
}
