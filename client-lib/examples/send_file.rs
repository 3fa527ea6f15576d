//! Sends a file to somebody, as a message in the direct chat with them, and shows how far it is.
//!
//! ```sh
//! export HYPERSEND_PASSWORD='correct horse battery'
//! cargo run --release -p hypersend-client --example send_file -- \
//!     localhost certs/dev-cert.pem ann@example.org bob@example.org film.mkv
//! ```
//!
//! Stopped and started again it goes on from where it was; it outlives a restart of the server by itself.

use hypersend_client::{
    Client, Config, Credentials, MemoryTokens, Trust,
    protocol::name::{Email, Password},
};
use std::{env, error::Error};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [server, ca, from, to, path] = &*arguments else {
        return Err("usage: send_file SERVER CA.PEM FROM-EMAIL TO-EMAIL PATH".into());
    };
    let password: Password = env::var("HYPERSEND_PASSWORD")?.parse()?;

    let config = Config::new(server.parse()?, Trust::authorities(&std::fs::read(ca)?)?);
    let login = Credentials::Login { email: from.parse()?, password };
    let client = Client::start(config, login, MemoryTokens::empty())?;
    // Asked first: a wrong password or address should not cost an upload.
    let chat = client.open_direct(to.parse::<Email>()?).await?;

    let upload = client.upload(path);
    let mut progress = upload.progress();
    let watching = tokio::spawn(async move {
        while progress.changed().await.is_ok() {
            let Some(now) = *progress.borrow_and_update() else { continue };
            eprint!("\r{} of {} bytes, {} bytes/s ", now.stored_bytes, now.total_bytes, now.bytes_per_second);
        }
        eprintln!();
    });
    let file = upload.finish().await?;
    watching.await?;

    let posted = client.post(chat.id, None, vec![file.id]).await?;
    println!("message #{} carries {} ({})", posted.seq, file.name, file.root);
    client.close().await;
    Ok(())
}
