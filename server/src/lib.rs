//! The HyperSend server as a library; `main.rs` is a thin shell around [`Server`].
//!
//! Doors are thin and services are in the middle:
//!
//! | module | what it is |
//! | --- | --- |
//! | [`settings`] | everything an operator can say, validated |
//! | [`server`] | builds the parts and runs them; the only place that knows all of them |
//! | [`ports`] | UDP and TCP; each connection goes to its door by ALPN |
//! | `native` | the native door |
//! | [`http`](mod@http) | the HTTP door |
//! | [`services`] | what the server can do for whom |
//! | [`store`] | what it remembers |
//! | [`hub`] | who is listening right now |
//! | [`relay`] | the relay in this process |
//! | [`objects`] | files in a bucket |
//! | [`disk`] | where file I/O blocks |
//! | [`certificate`] | the TLS certificate, made at first start if there is none |
//! | [`doctor`] | what an operator has checked |
//! | [`janitor`] | what is forgotten after a while |
//! | [`metrics`] | what an operator watches |
//! | [`clock`] | the only reader of the clock |

pub mod certificate;
pub mod clock;
pub mod disk;
pub mod doctor;
pub mod http;
pub mod hub;
pub mod janitor;
pub mod metrics;
mod native;
pub mod objects;
pub mod ports;
pub mod relay;
pub mod server;
pub mod services;
pub mod settings;
pub mod store;

pub use server::{Server, StartError};
pub use settings::Settings;

/// An error with all of its causes, on one line, for the log and the terminal.
pub fn report(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
