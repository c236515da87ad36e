//! keepfast
fn main() {}
