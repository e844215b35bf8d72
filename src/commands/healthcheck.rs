//! `eyego healthcheck`: asks the service on this machine whether it lives, for container probes without curl.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use super::{FAILED, OK, complain, say};
use crate::config::HttpSettings;

const TIMEOUT: Duration = Duration::from_secs(3);

pub(super) fn run(http: &HttpSettings) -> u8 {
    let address = SocketAddr::new(reachable(http.host), http.port);
    match ask(address) {
        Ok(true) => {
            say("ok");
            OK
        }
        Ok(false) => {
            complain(&[format!("{address} answers, but not that it lives")]);
            FAILED
        }
        Err(error) => {
            complain(&[format!("{address} does not answer: {error}")]);
            FAILED
        }
    }
}

/// "All addresses" is something to listen on, not to connect to.
fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        host => host,
    }
}

fn ask(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(&status == b"HTTP/1.1 200")
}
