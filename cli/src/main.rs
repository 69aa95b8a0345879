//! The `framecast` command: one file a subcommand.

mod echo;
mod server;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// WebSockets for the shell: servers to try clients with.
#[derive(Parser)]
#[command(name = "framecast", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answer each message to its sender.
    Echo(server::Options),
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let result = match command {
        Command::Echo(options) => echo::run(options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("framecast: {error}");
            ExitCode::FAILURE
        }
    }
}
