//! What happens around every handler.

pub(super) mod cors;
pub(super) mod panic;
pub(super) mod request_context;
pub(super) mod trailing_slash;
