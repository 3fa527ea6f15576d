//! Answers every message in every chat with the same words, and fetches the files that it is sent.
//!
//! ```sh
//! export HYPERSEND_PASSWORD='correct horse battery'
//! cargo run --release -p hypersend-client --example echo_bot -- localhost certs/dev-cert.pem bot@example.org inbox
//! ```
//!
//! The account is made if there is none. The events tell what happens in all chats, each thing once, whatever becomes of
//! the connection; what happened before the bot was started is not answered.

use hypersend_client::{
    Client, ClientError, Config, Credentials, MemoryTokens, Trust,
    protocol::{
        chat::Message,
        event::{EventUpdate, Happening},
        name::{Email, Password},
        refusal::ErrorCode,
    },
};
use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [server, ca, email, inbox] = &*arguments else {
        return Err("usage: echo_bot SERVER CA.PEM EMAIL INBOX-FOLDER".into());
    };
    let config = Config::new(server.parse()?, Trust::authorities(&fs::read(ca)?)?);
    let client = enter(&config, email.parse()?, env::var("HYPERSEND_PASSWORD")?.parse()?).await?;
    fs::create_dir_all(inbox)?;

    let me = client.me().await?.id;
    let mut events = client.events(None);
    loop {
        let EventUpdate::Event(event) = events.next().await? else {
            println!("listening");
            continue;
        };
        match event.what {
            Happening::Posted { message } if message.sender != me => answer(&client, &message, inbox.as_ref()).await?,
            _ => {}
        }
    }
}

/// Logs in, to a new account if need be.
async fn enter(config: &Config, email: Email, password: Password) -> Result<Client, Box<dyn Error>> {
    let register = Credentials::Register { email: email.clone(), name: "Echo".parse()?, password: password.clone() };
    let client = Client::start(config.clone(), register, MemoryTokens::empty())?;
    match client.ready().await {
        Err(error) if error.code() == Some(ErrorCode::EmailTaken) => {
            let login = Credentials::Login { email, password };
            let client = Client::start(config.clone(), login, MemoryTokens::empty())?;
            client.ready().await?;
            Ok(client)
        }
        ready => ready.map(|_| client).map_err(Into::into),
    }
}

async fn answer(client: &Client, message: &Message, inbox: &Path) -> Result<(), ClientError> {
    for file in &message.files {
        // The id keeps two files of one name apart; a name has no slash in it, so it stays in the folder.
        let to: PathBuf = inbox.join(format!("{}-{}", file.id, file.name));
        match client.download(file.id, &to).finish().await {
            Ok(_) => println!("fetched {}", to.display()),
            Err(error) => eprintln!("{}: {error}", file.name),
        }
    }
    if let Some(text) = &message.text {
        client.post(message.chat, Some(text.clone()), Vec::new()).await?;
        println!("answered message #{}", message.seq);
    }
    client.mark_read(message.chat, message.seq).await
}
