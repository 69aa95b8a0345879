//! The `framecast` command: one file a subcommand.

mod bench;
mod echo;
mod server;

use std::process::ExitCode;

use clap::{Parser, Subcommand, error::ErrorKind};

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
    /// Load a server, check what it says, and tell what it took.
    #[command(subcommand)]
    Bench(bench::Scenario),
}

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(Cli { command }) => command,
        Err(error)
            if error.use_stderr() && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand =>
        {
            // One line: clap's other ones are advice.
            let text = error.to_string();
            eprintln!("framecast: {}", text.lines().next().unwrap_or_default().trim_start_matches("error: "));
            return ExitCode::from(2);
        }
        Err(error) => error.exit(),
    };
    let result = match command {
        Command::Echo(options) => echo::run(options),
        Command::Bench(scenario) => match bench::run(scenario) {
            Ok(()) => Ok(()),
            Err(failure) => {
                eprintln!("framecast: {failure}");
                return ExitCode::from(failure.exit_code());
            }
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("framecast: {error}");
            ExitCode::FAILURE
        }
    }
}
