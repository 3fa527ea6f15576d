//! The commands: each connects, asks, and prints what came of it.

mod account;
mod chat;
mod chats;
mod code;
mod direct;
mod doctor;
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
        Command::Doctor { server, no_disk } => doctor::doctor(context, doctor::Wishes { server, no_disk }).await,
        Command::Chats => chats::list(context).await,
        Command::Group(command) => group::run(context, command).await,
        Command::History { chat, limit, before } => chats::history(context, &chat, limit, before).await,
        Command::Chat { chat } => chat::chat(context, &chat).await,
        Command::Send(arguments) => match arguments.sending()? {
            Sending::Message { chat, text, files } => send::send(context, &chat, text.as_deref(), &files).await,
            Sending::Direct { chat, paths, ways } => direct::send(context, &chat, paths, &ways).await,
            Sending::Code { paths, server, relay_only } => code::send(context, paths, server, relay_only).await,
        },
        Command::Receive { code, yes, once, output, relay_only, .. } if code.is_empty() => {
            direct::receive(context, direct::Wishes { yes, once, output, relay_only }).await
        }
        Command::Receive { code, yes, output, relay_only, server, .. } => {
            let wanted = code.join(" ").parse::<code::Wanted>()?.at(server);
            code::receive(context, wanted, code::Wishes { yes, output, relay_only }).await
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
