//! The relay's core in virtual time.
//!
//! | module | what it checks |
//! | --- | --- |
//! | [`proof`] | who has not proved itself gets nothing: cookies, tickets, floods |
//! | [`sessions`] | who is where: two sides, NATs that rebind, ends, limits |
//! | [`sharing`] | each session that wants more than there is gets the same |
//! | [`batches`] | datagrams that came together have the fates that they would have alone |
//! | [`hostile`] | any bytes from anywhere, and random histories against a model |

#![expect(clippy::unwrap_used, reason = "a fixed value that its own parser refuses is a failed test")]

mod batches;
mod desk;
mod hostile;
mod proof;
mod sessions;
mod sharing;
