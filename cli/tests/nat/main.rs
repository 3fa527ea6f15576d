//! Files between two `hypersend` programs behind NATs: each pair of kinds, with a real server and its relay in the open.
//!
//! The NATs are the kernel's own, in network namespaces ([`NatLab`](hypersend_lab::NatLab)). Needs root, iproute2 and
//! nftables; where they lack, each test says so and is left out, but not where the variable `CI` is set. `docs/nat.md` has
//! the table of what is to be expected, and why.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `stage` | a server, and two people behind their NATs |
//! | `doctor` | what `hypersend doctor` says of each kind |
//! | `pairs` | which way each pair finds, named |
//! | `codes` | the same by a code, between people without accounts |
//! | `flush` | NATs that forget in the midst of a transfer |
//! | `faults` | a transfer that loses its relay, its direct way and its receiver |

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod codes;
mod doctor;
mod faults;
mod flush;
mod pairs;
mod stage;
