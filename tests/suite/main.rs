//! The contract suites, run against every adapter, and what only one adapter has to show. Servers are taken from
//! `KAFKA_BROKERS` and `MONGO_URI`; without them the tests that need them are skipped, unless `REQUIRE_SERVICES=1`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    unreachable_pub,
    reason = "helpers of tests: a broken set-up has to fail the test, a skipped one has to say so"
)]

mod batch;
mod batch_streams;
mod bench;
mod bus;
mod contract;
mod embedded;
mod embedded_damage;
mod embedded_full;
mod embedded_ledger;
mod embedded_metadata;
mod embedded_migration;
mod embedded_pairing;
mod embedded_sync;
mod embedded_verify;
mod end_to_end;
mod erasure;
mod erasure_end_to_end;
mod export;
mod hostile;
mod http;
mod http_paging;
mod import;
mod kafka;
mod kafka_dead_letters;
mod kafka_group;
mod kafka_members;
mod kafka_publisher;
mod mongo;
mod mongo_away;
mod mongo_counts;
mod mongo_faults;
mod mongo_id_bounds;
mod mongo_ledger;
mod mongo_old_data;
mod mongo_old_export;
mod pipeline;
mod place;
mod proxy;
mod queries;
mod repository;
mod service;
mod shutdown;
mod statistics;
mod statistics_end_to_end;
mod support;
mod transactions;
mod transfer;
mod verify;
