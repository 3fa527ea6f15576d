//! The HTTP door: one axum router for HTTP/3, HTTP/2 and HTTP/1.1.
//!
//! A handler extracts, calls one service, answers. Services know no status; `problem` turns their refusals into Problem
//! Details by the catalogue that the native door uses too.
//!
//! | file | what it does |
//! | --- | --- |
//! | `router` | all routes and what wraps them |
//! | `routes/` | one file for each resource: paths, bodies, handlers |
//! | `cors` | pages of other origins |
//! | `state` | what handlers share |
//! | `extract` | bodies, paths and queries whose failures are Problem Details |
//! | `caller` | who is calling, by the Bearer token |
//! | `once` | `Idempotency-Key` |
//! | `page` | opaque cursors |
//! | `content` | a stored file as a response: conditions, ranges, a body read as it is sent |
//! | `intake`, `places`, `held` | request bodies on their way into uploads; their memory; the uploads that they go to |
//! | `offset` | request bodies that are appended to uploads, for protocols that count bytes |
//! | `multipart`, `disposition` | forms with files, read as they come; what a file is called |
//! | `tickets` | what browsers show where they cannot send a header |
//! | `problem` | refusals as Problem Details |
//! | `tcp` | HTTP/2 and HTTP/1.1 by hyper |
//! | `h3/` | HTTP/3 over quinn |
//! | `patient` | how long a request's body may stop coming |
//! | `linger` | bodies that nobody wants, over HTTP/1.1 |

mod caller;
mod content;
mod cors;
mod disposition;
mod extract;
pub(crate) mod h3;
mod held;
mod intake;
mod linger;
mod multipart;
mod offset;
mod once;
mod page;
mod patient;
mod places;
mod problem;
mod router;
mod routes;
mod state;
pub(crate) mod tcp;
mod tickets;

pub use router::{openapi, router};
pub use state::{HttpState, Limits};
