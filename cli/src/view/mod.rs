//! How things look, to people (`Display`) and to programs (`Serialize`; field names are stable).

mod chat;
mod direct;
mod file;
mod login;
mod message;
mod person;
pub(crate) mod words;

pub(crate) use chat::{ChatList, ChatView, MemberList};
pub(crate) use direct::{CodeReceived, CodeView, DirectReceived, DirectSent, TransferList, TransferView};
pub(crate) use file::{FileList, FileView, Received, Removed, Stored};
pub(crate) use login::{LoginList, LoginView};
pub(crate) use message::{History, MessageView, Style};
pub(crate) use person::{People, Person};
