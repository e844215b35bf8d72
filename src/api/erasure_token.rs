//! What a dry run gives, and an erasure needs: that somebody has seen how much it would erase, lately.
//!
//! It keeps from accidents, not from anybody's will: who may call this may also ask for a token.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{error::ApiError, error_code::ErrorCode};
use crate::domain::{ErasureFilter, JobId, Timestamp};

const VERSION: u8 = 1;
/// The version, the filter, the end, the checksum.
const BYTES: usize = 1 + 8 + 8 + 4;
/// How long a token holds, in milliseconds.
const HOLDS: i64 = 10 * 60 * 1000;

/// A token for this filter, and when it ends.
pub(super) fn write(filter: &ErasureFilter, now: Timestamp) -> (String, Timestamp) {
    let ends = Timestamp::from_millis(now.as_millis() + HOLDS);
    let mut bytes = vec![VERSION];
    bytes.extend(filter.fingerprint());
    bytes.extend(ends.as_millis().to_be_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    (BASE64_URL_SAFE_NO_PAD.encode(bytes), ends)
}

/// The job that this token begins: the same one, however often it is sent.
pub(super) fn read(text: &str, filter: &ErasureFilter, now: Timestamp) -> Result<JobId, ApiError> {
    let refused =
        |why: &str| ApiError::new(ErrorCode::InvalidToken, format!("token {why}: ask with dryRun=true first"));
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| refused("is none"))?;
    let Some((content, checksum)) = bytes.split_last_chunk::<4>().filter(|_| bytes.len() == BYTES) else {
        return Err(refused("is none"));
    };
    if content[0] != VERSION || crc32fast::hash(content).to_be_bytes() != *checksum {
        return Err(refused("is none"));
    }
    if content[1..9] != filter.fingerprint() {
        return Err(refused("belongs to another selection"));
    }
    let mut ends = [0; 8];
    ends.copy_from_slice(&content[9..17]);
    if now.as_millis() > i64::from_be_bytes(ends) {
        return Err(refused("has ended"));
    }
    Ok(JobId::derived(&[b"erasure", content]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn filter(user: &str) -> ErasureFilter {
        ErasureFilter::new(Some(user.to_owned()), None).unwrap()
    }

    #[test]
    fn a_token_holds_for_ten_minutes_and_begins_one_job() {
        let (token, ends) = write(&filter("u"), at(1000));
        assert_eq!(ends, at(601_000));
        let job = read(&token, &filter("u"), at(1000)).unwrap();
        assert_eq!(read(&token, &filter("u"), ends).unwrap(), job);
        assert!(read(&token, &filter("u"), at(601_001)).is_err());
        let (later, _) = write(&filter("u"), at(1001));
        assert_ne!(read(&later, &filter("u"), at(1001)).unwrap(), job);
    }

    #[test]
    fn a_token_belongs_to_its_filter() {
        let (token, _) = write(&filter("u"), at(0));
        for text in ["", "x", &token[1..], &format!("{token}AA")] {
            assert_eq!(read(text, &filter("u"), at(0)).unwrap_err().code(), ErrorCode::InvalidToken, "{text}");
        }
        assert!(read(&token, &filter("v"), at(0)).is_err());
        let with_time = ErasureFilter::new(Some("u".to_owned()), Some(at(0))).unwrap();
        assert!(read(&token, &with_time, at(0)).is_err());
    }
}
