//! The commands: each connects, asks, and prints what came of it.

mod account;
mod chat;
mod chats;
mod direct;
mod files;
mod group;
mod reference;
mod send;
mod status;

use crate::{
    args::{Command, Sending},
    context::Context,
    failure::Failure,
};

pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Register { server, email, name } => account::register(context, server, email, name).await,
        Command::Login { server, email } => account::login(context, server, email).await,
        Command::Logout { id: None } => account::logout(context).await,
        Command::Logout { id: Some(id) } => account::end_login(context, id).await,
        Command::Logins => account::logins(context).await,
        Command::Rename { name } => account::rename(context, name).await,
        Command::Whoami => account::whoami(context).await,
        Command::Status => status::status(context).await,
        Command::Chats => chats::list(context).await,
        Command::Group(command) => group::run(context, command).await,
        Command::History { chat, limit, before } => chats::history(context, &chat, limit, before).await,
        Command::Chat { chat } => chat::chat(context, &chat).await,
        Command::Send { words, file, direct, ways } => match Sending::parse(words, file, direct)? {
            Sending::Message { chat, text, files } => send::send(context, &chat, text.as_deref(), &files).await,
            Sending::Direct { chat, paths } => direct::send(context, &chat, paths, &ways).await,
        },
        Command::Receive { yes, once, output, relay_only } => {
            direct::receive(context, direct::Wishes { yes, once, output, relay_only }).await
        }
        Command::Transfers { all } => direct::list(context, all).await,
        Command::Cancel { id } => direct::cancel(context, id).await,
        Command::Delete { chat, number } => chats::delete(context, &chat, number).await,
        Command::Read { chat } => chats::mark_read(context, &chat).await,
        Command::Upload { path } => files::store(context, &path).await,
        Command::Files => files::list(context).await,
        Command::Download { id, output } => files::fetch(context, id, output).await,
        Command::Remove { id } => files::remove(context, id).await,
    }
}
