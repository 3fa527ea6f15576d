//! Databases of the tests' own, on a server that they share.

use super::Mongod;
use mongodb::{Client, bson::doc};
use std::{env, thread};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// An empty database, dropped with this.
pub struct Database {
    server: String,
    name: String,
}

/// A database of the test's own on the server that all tests of this program share.
pub async fn database() -> Database {
    static SHARED: OnceCell<Shared> = OnceCell::const_new();
    let server = match SHARED.get_or_init(Shared::find).await {
        Shared::Named(uri) => uri.clone(),
        Shared::Ours(mongod) => mongod.uri(),
    };
    Database { server, name: format!("test-{}", Uuid::new_v4().simple()) }
}

enum Shared {
    Named(String),
    Ours(Mongod),
}

impl Shared {
    async fn find() -> Self {
        let Ok(uri) = env::var("MONGODB_URI") else { return Self::Ours(Mongod::start().await) };
        // The tests' clocks are turned by hand and stand in 1970: nothing may expire by the server's own.
        let client = Client::with_uri_str(&uri).await.expect("MONGODB_URI can be used");
        let quiet = doc! { "setParameter": 1, "ttlMonitorEnabled": false };
        client.database("admin").run_command(quiet).await.expect("the server of MONGODB_URI takes parameters");
        Self::Named(uri)
    }
}

impl Database {
    /// Its connection string.
    pub fn uri(&self) -> String {
        with_path(&self.server, &self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (uri, name) = (self.server.clone(), self.name.clone());
        // On a thread of its own: a runtime cannot be waited for from within another.
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .expect("a runtime can be made")
                .block_on(async { Client::with_uri_str(&uri).await?.database(&name).drop().await })
        });
        if !matches!(dropped.join(), Ok(Ok(()))) {
            eprintln!("lab: the database {} was not dropped", self.name);
        }
    }
}

/// A connection string with another path.
fn with_path(uri: &str, path: &str) -> String {
    let (scheme, rest) = uri.split_once("://").expect("a connection string has a scheme");
    let (hosts, options) = rest.split_once('?').unwrap_or((rest, ""));
    let hosts = hosts.rsplit_once('/').map_or(hosts, |(hosts, _)| hosts);
    format!("{scheme}://{hosts}/{path}?{options}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_put_into_a_connection_string() {
        for (uri, expected) in [
            ("mongodb://a:1", "mongodb://a:1/p?"),
            ("mongodb://u:w@a:1,b:2/?replicaSet=rs0", "mongodb://u:w@a:1,b:2/p?replicaSet=rs0"),
            ("mongodb+srv://a/old", "mongodb+srv://a/p?"),
        ] {
            assert_eq!(with_path(uri, "p"), expected);
        }
    }
}
