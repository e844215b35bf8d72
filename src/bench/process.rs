//! The service's process, where it runs on this machine: CPU and memory from `/proc`. What cannot be known is left out.

use std::{fs, net::SocketAddr, path::Path};

/// Readings of a process since a moment.
#[derive(Debug)]
pub(super) struct Process {
    pid: u32,
    /// The most it ever had, when the readings began.
    peak_before: u64,
    highest: u64,
}

impl Process {
    /// `None` where there is no such process, or no `/proc`.
    pub(super) fn watch(pid: u32) -> Option<Self> {
        let mut process = Self { pid, peak_before: memory(pid, "VmHWM:")?, highest: 0 };
        process.sample();
        Some(process)
    }

    /// Whoever listens where this connection goes. `ends` are its ends, here and there.
    pub(super) fn listening(ends: (SocketAddr, SocketAddr)) -> Option<Self> {
        let (here, there) = ends;
        // An address from which one reaches oneself is an address of this machine.
        if here.ip() != there.ip() {
            return None;
        }
        let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .filter_map(|file| fs::read_to_string(file).ok())
            .flat_map(|table| listeners(&table, there.port()))
            .collect();
        let processes = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        processes.filter(|pid| holds_any(*pid, &inodes)).find_map(Self::watch)
    }

    /// Takes note of the memory it has now.
    pub(super) fn sample(&mut self) {
        self.highest = self.highest.max(memory(self.pid, "VmRSS:").unwrap_or(0));
    }

    /// The most memory it had since the readings began, in bytes.
    pub(super) fn peak_memory(&self) -> u64 {
        // A peak that has risen since is exact; an older one says nothing about this time.
        let peak = memory(self.pid, "VmHWM:").filter(|peak| *peak > self.peak_before);
        self.highest.max(peak.unwrap_or(0))
    }

    /// CPU time it has used in all, in seconds.
    pub(super) fn cpu_seconds(&self) -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        Some(cpu_ticks(&stat)? as f64 / rustix::param::clock_ticks_per_second() as f64)
    }
}

fn memory(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// User and system time; the name in brackets before them may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// The inodes of the sockets that listen on a port.
fn listeners(table: &str, port: u16) -> Vec<String> {
    const LISTENS: &str = "0A";
    let local = format!(":{port:04X}");
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 9 && row[1].ends_with(&local) && row[3] == LISTENS)
        .map(|row| format!("socket:[{}]", row[9]))
        .collect()
}

fn holds_any(pid: u32, sockets: &[String]) -> bool {
    let Ok(files) = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")) else { return false };
    files
        .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
        .any(|link| link.to_str().is_some_and(|link| sockets.iter().any(|socket| socket == link)))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn cpu_time_is_read_behind_any_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 100 1000 10";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("42 (x) S"), None);
    }

    #[test]
    fn listening_sockets_are_told_from_connections() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0\n\
            1: 0100007F:0BB8 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100 0\n";
        assert_eq!(listeners(table, 3000), ["socket:[111]"]);
        assert_eq!(listeners(table, 3001), Vec::<String>::new());
    }

    #[test]
    fn the_process_behind_a_port_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ends = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        let process = Process::listening(ends).unwrap();
        assert_eq!(process.pid, std::process::id());
        assert!(process.peak_memory() > 0 && process.cpu_seconds().is_some());
        assert!(Process::listening((([127, 0, 0, 1], 1).into(), ([192, 0, 2, 1], 1).into())).is_none());
        assert!(Process::watch(u32::MAX).is_none());
    }
}
