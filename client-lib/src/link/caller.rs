//! Who is calling.

use super::{Live, dial::DialError};
use crate::{Config, error::ClientError};
use hypersend_net::{connection::Connection, frames::FrameReader};

/// Says on each connection of a link whom it speaks for.
pub(crate) trait Caller: Send + Sync + 'static {
    /// What the server says to that.
    type Welcome: Clone + Send + Sync + 'static;

    /// Says it on a fresh connection.
    fn greet(
        &self,
        connection: &Connection,
        config: &Config,
    ) -> impl Future<Output = Result<Greeted<Self::Welcome>, DialError>> + Send;

    /// An attempt came to nothing, perhaps after the server had heard it.
    fn went_unanswered(&self);

    /// Does what it takes to go on calling for as long as a connection lasts; says why it cannot.
    fn go_on(&self, live: &Live<Self::Welcome>, config: &Config) -> impl Future<Output = ClientError> + Send;
}

/// What came of a greeting.
pub(crate) struct Greeted<W> {
    /// The server's answer.
    pub(super) welcome: W,
    /// The rest of the session stream, where there is one.
    pub(super) session: Option<FrameReader>,
}

/// Somebody without an account. What is wanted is said by whoever uses the connection, on its only stream.
#[derive(Debug)]
pub(crate) struct Nobody;

impl Caller for Nobody {
    type Welcome = ();

    async fn greet(&self, _: &Connection, _: &Config) -> Result<Greeted<()>, DialError> {
        Ok(Greeted { welcome: (), session: None })
    }

    fn went_unanswered(&self) {}

    async fn go_on(&self, _: &Live<()>, _: &Config) -> ClientError {
        std::future::pending().await
    }
}
