//! Real endpoints on loopback, both in this process: our side by `serve`, the client by h3 over a second use of the
//! adapter, or by bare streams where a well-behaved client could not do what is to be shown.

mod bodies;
mod misuse;
pub(super) mod setup;
mod stopping;
