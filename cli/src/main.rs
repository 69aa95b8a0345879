//! The `framecast` command: one file a subcommand.

mod bench;
mod connect;
mod echo;
mod failure;
mod layer;
mod publish;
mod relay;
mod serve;
mod server;
mod show;

use std::process::ExitCode;

use clap::{Parser, Subcommand, error::ErrorKind};

/// With the system's, an idle connection costs a quarter more: tokio's tasks are aligned to 128 bytes, which it pads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// WebSockets for the shell: a client for people and scripts, and servers to try clients with.
#[derive(Parser)]
#[command(name = "framecast", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    // What it says of itself is with its options: a comment here would take the place of all of it.
    Connect(Box<connect::Options>),
    /// Answer each message to its sender.
    Echo(server::Options),
    /// Send each message to every connection, the sender's too. Who reads too slowly is disconnected (1008); who sends more than can be
    /// given to the others is not read meanwhile, or, on the reactor with several threads, disconnected (1013).
    Relay(server::Options),
    /// Serve rooms: clients subscribe, publish, and get what they missed. Try it without options, and open the page it names.
    Serve(Box<serve::Options>),
    /// Publish a message to a room of a server, or to everybody on it.
    Publish(publish::Options),
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
            eprintln!("framecast: {}", layer::summary(&error));
            return ExitCode::from(2);
        }
        Err(error) => error.exit(),
    };
    let result = match command {
        Command::Connect(options) => connect::run(*options),
        Command::Echo(options) => echo::run(options).map_err(failure::Failure::from),
        Command::Relay(options) => relay::run(options).map_err(failure::Failure::from),
        Command::Serve(options) => serve::run(*options),
        Command::Publish(options) => publish::run(options),
        Command::Bench(scenario) => bench::run(scenario).map_err(failure::Failure::from),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
