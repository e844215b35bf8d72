//! What happens around every handler.

pub(super) mod cors;
pub(super) mod panic;
pub(super) mod trailing_slash;
