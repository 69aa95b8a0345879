//! The `framecast` command: one file a subcommand.

fn main() {}
