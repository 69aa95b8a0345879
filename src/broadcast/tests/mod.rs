//! What subscribers get, by simulated sockets and a virtual clock; what several threads see.

mod broker;
mod directory;
mod inboxes;
mod losses;
mod model;
mod policies;
mod presence;
mod property;
mod rates;
mod recovery;
mod simulation;
mod threads;
mod total;
