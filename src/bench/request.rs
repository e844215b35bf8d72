//! The requests of the load, written into buffers that are used again.

use super::{contents::Contents, schedule::Turn, target::Target};

const SINGLE: &str = "/api/logs";
const BATCH: &str = "/api/logs/batch";
const MINIMAL: &[u8] = b"Prefer: return=minimal\r\n";

pub(super) struct Requests {
    contents: Contents,
    batch: bool,
    /// Up to the value of `Content-Length`.
    head: Vec<u8>,
}

impl Requests {
    pub(super) fn new(target: &Target, contents: Contents, batch: bool) -> Self {
        let mut head = Vec::new();
        target.push_head(&mut head, "POST", if batch { BATCH } else { SINGLE });
        head.extend_from_slice(b"Content-Type: application/json\r\n");
        Self { contents, batch, head }
    }

    /// Writes the request for a turn. `each` asks for a result for every log of a batch, not only for the failures.
    pub(super) fn write(&self, request: &mut Vec<u8>, turn: Turn, each: bool) {
        request.clear();
        request.extend_from_slice(&self.head);
        if !self.batch {
            push_length(request, self.contents.length(turn.first));
            self.contents.push(request, turn.first);
            return;
        }
        if !each {
            request.extend_from_slice(MINIMAL);
        }
        let logs: usize = turn.numbers().map(|number| self.contents.length(number)).sum();
        push_length(request, logs + 1 + turn.count as usize);
        for number in turn.numbers() {
            request.push(if number == turn.first { b'[' } else { b',' });
            self.contents.push(request, number);
        }
        request.push(b']');
    }
}

fn push_length(request: &mut Vec<u8>, length: usize) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = length;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    request.extend_from_slice(b"Content-Length: ");
    request.extend_from_slice(&digits[at..]);
    request.extend_from_slice(b"\r\n\r\n");
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::Value;

    use super::*;

    fn written(batch: bool, count: u32, each: bool) -> (String, Value) {
        let target = Target::at(&"http://127.0.0.1:3000/p".parse().unwrap(), ([127, 0, 0, 1], 3000).into());
        let requests = Requests::new(&target, Contents::new("r".to_owned()), batch);
        let mut request = b"left over".to_vec();
        requests.write(&mut request, Turn { first: 998, count, intended: Instant::now() }, each);
        let text = String::from_utf8(request).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{text}");
        (head.to_owned(), serde_json::from_str(body).unwrap())
    }

    #[test]
    fn a_single_log_is_posted_as_an_object() {
        let (head, body) = written(false, 1, false);
        assert!(head.starts_with("POST /p/api/logs HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n"), "{head}");
        assert_eq!(body["metadata"]["number"], "0000000998");
    }

    #[test]
    fn a_batch_is_an_array_of_consecutive_logs() {
        for count in [1, 3] {
            let (head, body) = written(true, count, false);
            assert!(head.starts_with("POST /p/api/logs/batch HTTP/1.1\r\n") && head.contains("return=minimal"));
            assert_eq!(body.as_array().unwrap().len(), count as usize);
            assert_eq!(body[count as usize - 1]["metadata"]["number"], format!("{:010}", 997 + count));
        }
        assert!(!written(true, 1, true).0.contains("return=minimal"));
    }
}
