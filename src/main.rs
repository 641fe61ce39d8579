//! The `keystow` binary.

fn main() {}
