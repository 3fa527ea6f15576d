//! Asks the router of a home for an outside port by which others reach a UDP socket of this host, and keeps it for as long as
//! it is wanted.
//!
//! Whoever has such a port is reached directly whatever kind its NAT is; so it is one more candidate for a direct path. Many
//! routers give none, and nothing waits for one that does not answer.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`mapping`] | a mapping: wanted, there, renewed, given back |
//! | [`trial`] | what a router would give |
//! | `held` | what a router has given, by PCP (RFC 6887), NAT-PMP (RFC 6886) or UPnP |
//! | `gateway` | which router that is |

mod gateway;
mod held;
pub mod mapping;
pub mod trial;

pub use mapping::Mapping;
pub use trial::{Grant, try_out};
