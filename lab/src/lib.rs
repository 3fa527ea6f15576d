//! What tests and benchmarks need around the product: real server processes, users, files, broken paths. Never shipped:
//! a dev-dependency, and a dependency of the benchmarks.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`server`] | a real `hypersend-server` process, killed, stopped and started again at will |
//! | [`stand_in`] | a server that says what the test says |
//! | [`user`] | accounts on such a server, each with a client |
//! | [`fixtures`] | files of any size whose content is known by its hash |
//! | [`proxy`] | the path between client and server: cut, slowed, lossy, behind a NAT that forgets |
//! | [`tcp_path`], [`ways`] | that path by TCP; and by both |
//! | [`netns`], [`nat`] | hosts of their own on this machine; two of them behind NATs, with the internet between them |
//! | [`mongod`] | a real MongoDB, shared by the tests of a program, or killed or made ill by one; or three of them |
//! | [`bucket`] | a server of S3 with one bucket |
//! | `guarded` | programs beside the tests, which end with them |
//! | [`http`] | a client of the HTTP door |
//! | [`peer`] | a client that speaks raw frames, well or badly |
//! | [`wait`] | waiting for a state, never for a time |
//! | [`dice`] | chance with a seed that is printed and taken back |
//! | [`program`] | where the programs of this workspace are |
//!
//! Everything here panics when it cannot do what it says, with a message that says why: that is what a test wants.

pub mod bucket;
pub mod dice;
pub mod fixtures;
mod guarded;
pub mod http;
pub mod mongod;
pub mod nat;
pub mod netns;
pub mod peer;
pub mod program;
pub mod proxy;
pub mod relay;
pub mod server;
pub mod stand_in;
pub mod tcp_path;
pub mod user;
pub mod wait;
pub mod ways;

pub use bucket::Bucket;
pub use dice::Dice;
pub use http::HttpPeer;
pub use mongod::Mongod;
pub use nat::{Nat, NatLab};
pub use netns::Namespace;
pub use peer::RawPeer;
pub use proxy::Proxy;
pub use relay::TestRelay;
pub use server::TestServer;
pub use stand_in::StandIn;
pub use tcp_path::TcpPath;
pub use user::{TestUser, users};
pub use wait::{eventually, within};
pub use ways::Ways;
