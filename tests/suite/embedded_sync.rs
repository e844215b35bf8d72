//! A 202 of the embedded engine means on disk: the queue is synced between the request and its answer.

use std::{collections::HashMap, fs, process::Command};

use crate::{
    service::{Service, eventually, eyego, log},
    support::tool,
};

const CALLS: &str = "trace=fdatasync,fsync,read,recvfrom,recvmsg,readv,write,sendto,writev,sendmsg";

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

#[test]
fn an_answer_comes_after_the_sync() {
    if !tool("strace") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let program = eyego(folder.path(), &[]);
    let mut command = Command::new("strace");
    // -D: the service itself stays the child; -y: files by their names.
    command.args(["-D", "-f", "-y", "-s", "64", "-e", CALLS, "-o"]).arg(&trace).arg(program.get_program());
    command.current_dir(folder.path()).env_clear().env("PATH", "/usr/bin:/bin").env("PORT", "0");
    let service = Service::start_as(command);
    service.wait_until_ready();
    assert_eq!(service.post(&log("u", "a")).status, 202);
    service.stop();
    let trace =
        eventually("the trace", || fs::read_to_string(&trace).ok().filter(|text| text.contains("exited with 0")));
    let calls = calls(&trace);
    let find = |what: &str| {
        let found = calls.iter().find(|call| call.text.contains(what));
        found.unwrap_or_else(|| panic!("no {what} in\n{trace}"))
    };
    let (asked, answered) = (find("\"POST /api/logs"), find("\"HTTP/1.1 202"));
    let synced = calls.iter().any(|call| {
        let sync = call.text.starts_with("fdatasync(") || call.text.starts_with("fsync(");
        let done = call.text.contains("queue.db-wal>") && call.text.trim_end().ends_with("= 0");
        sync && done && call.begun > asked.ended && call.ended < answered.begun
    });
    assert!(synced, "nothing was synced between the request and its answer:\n{trace}");
}
