//! `hypersend`: chat and very large file transfer from a terminal or a script.

mod args;
mod commands;
mod config;
mod connect;
mod context;
mod failure;
mod output;
mod progress;
mod talk;
mod terminal;
mod view;

use std::process::ExitCode;

fn main() -> ExitCode {
    match args::parse() {
        Ok(arguments) => context::run(arguments),
        Err(code) => code,
    }
}
