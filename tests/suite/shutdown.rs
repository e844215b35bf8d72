//! The end of a busy service: whoever talks to it gets answers until the connection closes.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    end_to_end::Place,
    service::{PATIENCE, eventually},
};

const CLIENTS: usize = 16;

/// Posts one log after the other on one connection until the service says that it closes it; returns how many were
/// taken. A request without an answer fails the test.
fn post_until_told(address: &str, client: usize, taken: &AtomicUsize) -> usize {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for n in 0.. {
        let body = format!(r#"{{"userId":"busy{client}","action":"{n}"}}"#);
        let head = "POST /api/logs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length:";
        stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).unwrap();
        let answer = read_answer(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        taken.fetch_add(1, Ordering::Relaxed);
        if answer.to_ascii_lowercase().contains("\r\nconnection: close") {
            return n + 1;
        }
    }
    0
}

fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(b"}") {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the connection broke off: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(answer).unwrap()
}

fn busy_clients_are_answered_to_the_end(place: &Place) {
    let mut service = place.start();
    let address = service.url.strip_prefix("http://").unwrap().to_owned();
    let taken = AtomicUsize::new(0);
    let acknowledged: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (address, taken) = (&address, &taken);
                scope.spawn(move || post_until_told(address, client, taken))
            })
            .collect();
        eventually("the clients are busy", || (taken.load(Ordering::Relaxed) > 50 * CLIENTS).then_some(()));
        service.signal("-TERM");
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(service.wait().code(), Some(0), "{}", service.errors());
    let service = place.start();
    eventually("every acknowledged log", || {
        (service.get("/api/logs?limit=1").body["total"] == acknowledged).then_some(())
    });
    service.stop();
}

#[test]
fn busy_clients_are_answered_to_the_end_embedded() {
    busy_clients_are_answered_to_the_end(&Place::embedded());
}

#[test]
fn busy_clients_are_answered_to_the_end_on_servers() {
    if let Some(place) = Place::servers() {
        busy_clients_are_answered_to_the_end(&place);
    }
}
