//! The one program: wires the parts together, and holds the operator's commands.

pub mod bench;
pub mod config;
pub mod connections;
pub mod demo;
pub mod dev;
pub mod interrupt;
pub mod keeping;
pub mod operator;
pub mod progress;
pub mod room;
pub mod seed;
pub mod serve;
mod sole_server;
pub mod telemetry;
