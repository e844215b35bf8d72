//! Cursors as clients get them: opaque text that says where to go on, and for which filter and order.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{error::ApiError, error_code::ErrorCode};
use crate::{
    application::paging::Cursor,
    domain::{LogFilter, LogId, Order, Place, Timestamp},
};

/// Changes with what the bytes mean.
const VERSION: u8 = 1;
/// Version, order, fingerprint of the filter, then three numbers with a byte in front that says which are given.
const BYTES: usize = 1 + 1 + 8 + 1 + 3 * 8;
const CHECKSUM: usize = 4;
const HAS_TIMESTAMP: u8 = 1;
const HAS_BEGUN: u8 = 2;

pub(super) fn write(cursor: Cursor, filter: &LogFilter, order: Order) -> String {
    let Cursor { place, began } = cursor;
    let mut bytes = Vec::with_capacity(BYTES + CHECKSUM);
    bytes.extend([VERSION, word(order)]);
    bytes.extend(filter.fingerprint());
    bytes.push(if place.timestamp.is_some() { HAS_TIMESTAMP } else { 0 } | if began.is_some() { HAS_BEGUN } else { 0 });
    for number in [place.id.get(), millis(place.timestamp), millis(began)] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn read(text: &str, filter: &LogFilter, order: Order) -> Result<Cursor, ApiError> {
    let refused = |why: &str| ApiError::new(ErrorCode::InvalidCursor, format!("cursor {why}"));
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refused("is none that was given out"))?;
    let Some((bytes, checksum)) = bytes.split_last_chunk::<CHECKSUM>() else {
        return Err(refused("is none that was given out"));
    };
    if crc32fast::hash(bytes).to_be_bytes() != *checksum {
        return Err(refused("is none that was given out"));
    }
    let [version, of_order, rest @ ..] = bytes else { return Err(refused("is none that was given out")) };
    if *version != VERSION || bytes.len() != BYTES {
        return Err(refused("is of another version of the service: begin anew"));
    }
    if *of_order != word(order) || rest[..8] != filter.fingerprint() {
        return Err(refused("belongs to another filter or sort: repeat the parameters of the page that it came with"));
    }
    let number = |at: usize| rest[9 + 8 * at..].first_chunk().map_or(0, |number| i64::from_be_bytes(*number));
    let time = |flag: u8, at: usize| (rest[8] & flag != 0).then(|| Timestamp::from_millis(number(at)));
    let place = Place { timestamp: time(HAS_TIMESTAMP, 1), id: LogId::new(number(0)) };
    Ok(Cursor { place, began: time(HAS_BEGUN, 2) })
}

fn word(order: Order) -> u8 {
    match order {
        Order::Id => 0,
        Order::IdDescending => 1,
        Order::Timestamp => 2,
        Order::TimestampDescending => 3,
    }
}

fn millis(time: Option<Timestamp>) -> i64 {
    time.map_or(0, Timestamp::as_millis)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time() -> impl Strategy<Value = Option<Timestamp>> {
        prop::option::of(any::<i64>().prop_map(Timestamp::from_millis))
    }

    fn code(text: &str, filter: &LogFilter, order: Order) -> Option<ErrorCode> {
        read(text, filter, order).err().map(|error| error.code())
    }

    proptest! {
        #[test]
        fn a_cursor_reads_back(id: i64, timestamp in time(), began in time()) {
            let cursor = Cursor { place: Place { timestamp, id: LogId::new(id) }, began };
            let filter = LogFilter::default();
            prop_assert_eq!(read(&write(cursor, &filter, Order::Timestamp), &filter, Order::Timestamp).unwrap(), cursor);
        }

        #[test]
        fn nothing_else_is_a_cursor(text in "[A-Za-z0-9_-]{0,60}") {
            prop_assert_eq!(code(&text, &LogFilter::default(), Order::Id), Some(ErrorCode::InvalidCursor));
        }
    }

    #[test]
    fn a_cursor_belongs_to_its_filter_and_order() {
        let filter = LogFilter { user_ids: vec!["u".to_owned()], ..LogFilter::default() };
        let cursor = Cursor { place: Order::Id.start(), began: None };
        let text = write(cursor, &filter, Order::Id);
        assert_eq!(code(&text, &filter, Order::Id), None);
        assert_eq!(code(&text, &filter, Order::IdDescending), Some(ErrorCode::InvalidCursor));
        assert_eq!(code(&text, &LogFilter::default(), Order::Id), Some(ErrorCode::InvalidCursor));
        assert_eq!(code(&format!("{text}A"), &filter, Order::Id), Some(ErrorCode::InvalidCursor));
    }
}
