//! The `binnacle` binary.

fn main() {}
