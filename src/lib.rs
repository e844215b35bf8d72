//! eyego
pub mod domain;
pub mod infrastructure;
