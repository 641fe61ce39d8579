//! `make demo`
fn main() {}
