//! Receiving: the code, the question, the files.

use super::{follow, interrupted, link::Wanted, server};
use crate::{
    commands::direct::destination,
    connect::visit,
    context::Context,
    failure::Failure,
    terminal::{ask_yes_no, can_ask},
    view::{CodeReceived, words},
};
use hypersend_client::{
    direct::{CodeOffer, CodeOptions, OfferSummary, receive_by_code},
    protocol::size::Size,
};
use std::{path::PathBuf, time::Instant};

const WITH: &str = "the sender";

/// Names that are shown in a question.
const SHOWN: usize = 20;

/// What to accept, and where to put it.
pub(in crate::commands) struct Wishes {
    pub(in crate::commands) yes: bool,
    pub(in crate::commands) output: Option<PathBuf>,
    pub(in crate::commands) relay_only: bool,
}

pub(in crate::commands) async fn receive(context: &Context, wanted: Wanted, wishes: Wishes) -> Result<(), Failure> {
    let Wanted { code, server: named } = wanted;
    let server = server(context, named)?;
    if !wishes.yes && !can_ask() {
        return Err(Failure::usage("there is nobody to ask whether to accept").or_try("--yes, to accept it"));
    }
    let folder = destination(wishes.output)?;
    let options = CodeOptions { relay_only: wishes.relay_only, ..CodeOptions::default() };
    let (mut offer, _outages) =
        visit(context, &server, async |guest| receive_by_code(guest, &code, options).await).await?;
    let what = words::title(&offer.summary().things);
    let answer = accepted(context, &mut offer, wishes.yes).await;
    if !matches!(answer, Ok(true)) {
        // Nor does the sender wait for who was interrupted.
        offer.decline().await;
        return answer.map(|_| context.talk.say("declined"));
    }
    let began = Instant::now();
    let mut transfer = offer.accept(&folder);
    let received = follow(context, &what, WITH, &mut transfer).await?;
    let took = words::duration(began.elapsed());
    context.talk.say(&format!("{what}: {} in {took}", Size(received.bytes)));
    let way = transfer.whereabouts().borrow().to_string();
    context.out.print(&CodeReceived::new(received, way))
}

/// Whether it is wanted; nobody waits for an answer about what is gone.
async fn accepted(context: &Context, offer: &mut CodeOffer, yes: bool) -> Result<bool, Failure> {
    let offered = describe(offer.summary());
    if yes {
        context.talk.say(&offered);
        return Ok(true);
    }
    let farewell = context.farewell();
    tokio::select! {
        answer = ask_yes_no(format!("{}. Accept?", words::printable(&offered))) => answer,
        error = offer.withdrawn() => Err(error.into()),
        () = farewell.cancelled() => Err(interrupted()),
    }
}

/// `film.mkv, trip: 42 files, 40.2 GiB`.
fn describe(offer: &OfferSummary) -> String {
    let things = &offer.things;
    let names: Vec<&str> = things.iter().take(SHOWN).map(|thing| thing.name.as_str()).collect();
    let more = things.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let files = if offer.files == 1 { "1 file".to_owned() } else { format!("{} files", offer.files) };
    format!("{}{more}: {files}, {}", names.join(", "), Size(offer.bytes()))
}
