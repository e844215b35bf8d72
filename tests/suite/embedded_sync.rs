//! A 202 of the embedded engine means on disk: the queue is synced between the request and its answer. And what a kill
//! left in the memory of the system is synced before it is believed.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    service::{Service, eventually, eyego, log},
    support::tool,
};

const CALLS: &str = "trace=fdatasync,fsync,read,pread64,recvfrom,recvmsg,readv,write,sendto,writev,sendmsg";

/// One system call of a trace, by the lines on which it began and ended.
struct Call {
    text: String,
    begun: usize,
    ended: usize,
}

/// Puts calls together that were interrupted by others: `call( <unfinished ...>` and `<... call resumed>`.
fn calls(trace: &str) -> Vec<Call> {
    let mut open: HashMap<&str, (String, usize)> = HashMap::new();
    let mut calls = Vec::new();
    for (line, text) in trace.lines().enumerate() {
        let Some((thread, text)) = text.trim_start().split_once(' ') else { continue };
        let text = text.trim_start();
        if let Some(start) = text.strip_suffix("<unfinished ...>") {
            open.insert(thread, (start.to_owned(), line));
        } else if let Some((_, rest)) = text.split_once(" resumed>") {
            let Some((start, begun)) = open.remove(thread) else { continue };
            calls.push(Call { text: start + rest, begun, ended: line });
        } else {
            calls.push(Call { text: text.to_owned(), begun: line, ended: line });
        }
    }
    calls
}

/// A service under `strace`.
struct Traced {
    service: Service,
    trace: PathBuf,
}

impl Traced {
    fn start(folder: &Path) -> Self {
        let trace = folder.join("trace");
        let program = eyego(folder, &[]);
        let mut command = Command::new("strace");
        // -D: the service itself stays the child; -y: files by their names.
        command.args(["-D", "-f", "-y", "-s", "64", "-e", CALLS, "-o"]).arg(&trace).arg(program.get_program());
        command.current_dir(folder).env_clear().env("PATH", "/usr/bin:/bin").env("PORT", "0");
        let service = Service::start_as(command);
        service.wait_until_ready();
        Self { service, trace }
    }

    fn stop(self) -> String {
        self.service.stop();
        eventually("the trace", || fs::read_to_string(&self.trace).ok().filter(|text| text.contains("exited with 0")))
    }
}

fn is_sync(call: &Call, file: &str) -> bool {
    let sync = call.text.starts_with("fdatasync(") || call.text.starts_with("fsync(");
    sync && call.text.contains(&format!("/{file}>")) && call.text.trim_end().ends_with("= 0")
}

#[test]
fn an_answer_comes_after_the_sync() {
    if !tool("strace") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let traced = Traced::start(folder.path());
    assert_eq!(traced.service.post(&log("u", "a")).status, 202);
    let trace = traced.stop();
    let calls = calls(&trace);
    let find = |what: &str| {
        let found = calls.iter().find(|call| call.text.contains(what));
        found.unwrap_or_else(|| panic!("no {what} in\n{trace}"))
    };
    let (asked, answered) = (find("\"POST /api/logs"), find("\"HTTP/1.1 202"));
    let synced = calls
        .iter()
        .any(|call| is_sync(call, "queue.db-wal") && call.begun > asked.ended && call.ended < answered.begun);
    assert!(synced, "nothing was synced between the request and its answer:\n{trace}");
}

#[test]
fn what_a_kill_left_is_synced_before_it_is_read() {
    if !tool("strace") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut killed = Service::start(folder.path(), &[]);
    killed.wait_until_ready();
    killed.store(&log("u", "a"));
    killed.kill();
    let trace = Traced::start(folder.path()).stop();
    let calls = calls(&trace);
    for file in ["queue.db", "queue.db-wal", "logs.db", "logs.db-wal"] {
        let name = format!("/{file}>");
        let read = calls.iter().find(|call| call.text.starts_with("pread64(") && call.text.contains(&name));
        let read = read.unwrap_or_else(|| panic!("{file} was not read:\n{trace}"));
        let synced = calls.iter().any(|call| is_sync(call, file) && call.ended < read.begun);
        assert!(synced, "{file} was read before it was synced:\n{trace}");
    }
}
