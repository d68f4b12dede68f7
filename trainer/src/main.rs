//! The `otaro-train` command.

fn main() {}
