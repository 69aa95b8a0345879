//! `framecast bench` from outside: against a good server its figures must add up, against bad ones it must say what was wrong.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod broken;
mod figures;
mod relay;
mod rooms;
mod support;
