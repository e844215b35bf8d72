//! eyego
pub mod api;
pub mod application;
pub mod bootstrap;
pub mod commands;
pub mod config;
pub mod domain;
pub mod infrastructure;
pub mod lifecycle;
pub mod telemetry;
