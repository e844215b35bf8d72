//! eyego
fn main() {}
