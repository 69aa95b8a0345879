//! What subscribers get, by simulated sockets and a virtual clock; what several threads see.

mod directory;
mod inboxes;
mod policies;
mod property;
mod rates;
mod recovery;
mod simulation;
mod threads;
