//! The adapters: the outside behind the domain's ports.

pub mod clock;
pub mod embedded;
pub mod kafka;
pub mod mongo;
pub mod status_cell;
pub mod wire;
