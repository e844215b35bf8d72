//! Answers, whole and cut, right and wrong.

use proptest::prelude::*;

use super::*;

/// Feeds the pieces; the status and body once whole, and whether the connection stays.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<(u16, Vec<u8>, bool)>, BadAnswer> {
    let mut reader = AnswerReader::new();
    let mut whole = false;
    for mut piece in pieces {
        while !piece.is_empty() {
            assert!(!whole, "bytes after the end");
            let space = reader.space()?;
            let count = piece.len().min(space.len());
            space[..count].copy_from_slice(&piece[..count]);
            piece = &piece[count..];
            whole = reader.advance(count)?;
        }
    }
    Ok(whole.then(|| (reader.status(), reader.body().to_vec(), reader.keep())))
}

const ANSWERS: [(&str, u16, &str, bool); 6] = [
    ("HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nhello", 202, "hello", true),
    ("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true),
    ("HTTP/1.1 503 No\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n", 503, "", false),
    ("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", 200, "x", false),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\na: b\r\n\r\n",
        200,
        "hello world",
        true,
    ),
    ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 207 M\r\ncontent-length: 2\r\n\r\n{}", 207, "{}", true),
];

#[test]
fn any_cut_of_the_bytes_gives_the_same_answer() {
    for (text, status, body, keep) in ANSWERS {
        let bytes = text.as_bytes();
        let expected = Some((status, body.as_bytes().to_vec(), keep));
        for cut in 0..bytes.len() {
            assert_eq!(read([&bytes[..cut], &bytes[cut..]]).unwrap(), expected, "{text:?} cut at {cut}");
        }
        assert_eq!(read(bytes.chunks(1)).unwrap(), expected, "{text:?} byte by byte");
        assert_eq!(read([&bytes[..bytes.len() - 1]]).unwrap(), None, "{text:?} is not whole");
    }
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    let mut reader = AnswerReader::new();
    let bytes = b"HTTP/1.1 200 OK\r\n\r\nabc";
    reader.space().unwrap()[..bytes.len()].copy_from_slice(bytes);
    assert!(!reader.advance(bytes.len()).unwrap());
    assert_eq!(reader.close(), Ok(()));
    assert_eq!((reader.body(), reader.keep()), (&b"abc"[..], false));
    reader.clear();
    assert_eq!(reader.close(), Err(BadAnswer::CutOff));
}

#[test]
fn what_is_no_answer_is_refused() {
    for bytes in [
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxy",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc",
    ] {
        assert!(read([bytes.as_bytes()]).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_long_body_grows_the_buffer() {
    let body = "x".repeat(100_000);
    let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    assert_eq!(read([text.as_bytes()]).unwrap().unwrap().1.len(), body.len());
}

proptest! {
    #[test]
    fn no_bytes_panic(pieces in proptest::collection::vec("(HTTP/1.1 200 OK|\r\n|content-length: [0-9]{1,3}|transfer-encoding: chunked|[0-9a-f]{1,2}|.{0,8})", 0..12)) {
        let mut reader = AnswerReader::new();
        for piece in pieces.iter().map(String::as_bytes).filter(|piece| !piece.is_empty()) {
            reader.space().unwrap()[..piece.len()].copy_from_slice(piece);
            if !matches!(reader.advance(piece.len()), Ok(false)) {
                break;
            }
        }
    }
}
