//! `framecast serve` and `framecast publish` as processes: what they are told, what they say, how they end.

mod certificates;
mod client;
mod logs;
mod process;
mod publishing;
mod settings;
mod stopping;
