//! Ids by blocks, in which the index of users is kept.
//!
//! An index by user alone would be entered at another place by each log: every batch would write nearly as many pages as
//! it has logs, and the more, the larger the store. By block and user all of them are on the pages of the newest block,
//! which many batches fill. A user is looked up once in each block instead; which blocks have logs is kept beside.

use std::{cmp::Reverse, collections::BinaryHeap};

use rusqlite::{Connection, Rows};

/// A block is of 131,072 ids: its part of the index is some 2 MB, and a hundred million logs are 763 look-ups. The schema
/// and the statements here have the number in them.
const BLOCK_BITS: u32 = 17;

/// The logs in the order of `block, id` where the user is one. The sign lets SQLite look up an expression, which has no
/// type, by a column that has one.
pub(super) const LOGS_BY_USER: &str = "block_counts CROSS JOIN logs INDEXED BY logs_user_id ON id >> 17 = +block";

pub(super) fn block_of(id: i64) -> i64 {
    id >> BLOCK_BITS
}

/// How many logs each user has, in the order of users: what the blocks say of them, put together. Memory: one user of each
/// block.
pub(super) fn each_user(connection: &Connection, mut add: impl FnMut(String, u64)) -> rusqlite::Result<()> {
    let mut blocks = connection.prepare("SELECT block FROM block_counts")?;
    let blocks: Vec<i64> = blocks.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let of_block = "SELECT user_id, count(*) FROM logs INDEXED BY logs_user_id WHERE id >> 17 = ? GROUP BY user_id";
    let mut statements = blocks.iter().map(|_| connection.prepare(of_block)).collect::<rusqlite::Result<Vec<_>>>()?;
    let mut users = Vec::with_capacity(blocks.len());
    let mut heads = BinaryHeap::with_capacity(blocks.len());
    for (statement, block) in statements.iter_mut().zip(&blocks) {
        let mut of_block = statement.query([block])?;
        heads.extend(next(&mut of_block)?.map(|(user, count)| Reverse((user, count, users.len()))));
        users.push(of_block);
    }
    let mut current: Option<(String, u64)> = None;
    while let Some(Reverse((user, count, index))) = heads.pop() {
        if let Some(of_block) = users.get_mut(index) {
            heads.extend(next(of_block)?.map(|(user, count)| Reverse((user, count, index))));
        }
        match &mut current {
            Some((of, sum)) if *of == user => *sum += count,
            _ => {
                if let Some((user, count)) = current.replace((user, count)) {
                    add(user, count);
                }
            }
        }
    }
    if let Some((user, count)) = current {
        add(user, count);
    }
    Ok(())
}

fn next(users: &mut Rows<'_>) -> rusqlite::Result<Option<(String, u64)>> {
    let Some(row) = users.next()? else { return Ok(None) };
    Ok(Some((row.get(0)?, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0))))
}
