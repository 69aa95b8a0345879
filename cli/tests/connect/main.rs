//! `framecast connect` as a process: what it prints, what the server sees, how it ends.

mod command;
mod ends;
mod json;
mod lines;
mod options;
mod pipes;
mod server;
mod terminal;
