//! Sending: a code on standard output, and whoever types it.

use super::{follow, link::Link, qr, server};
use crate::{
    commands::direct::open_offer,
    connect::visit,
    context::Context,
    failure::Failure,
    view::{CodeView, words},
};
use hypersend_client::{
    ServerAddress,
    direct::{CodeOptions, send_by_code},
    protocol::{DEFAULT_PORT, size::Size},
};
use std::{path::PathBuf, sync::Arc, time::Instant};

const WITH: &str = "the receiver";

pub(in crate::commands) async fn send(
    context: &Context,
    paths: Vec<PathBuf>,
    wanted: Option<ServerAddress>,
    relay_only: bool,
) -> Result<(), Failure> {
    let server = server(context, wanted)?;
    let offer = open_offer(context, paths).await?;
    let what = words::title(&offer.top());
    let options = CodeOptions { relay_only, ..CodeOptions::default() };
    let ((code, mut transfer), _outages) =
        visit(context, &server, async |guest| send_by_code(guest, Arc::clone(&offer), options).await).await?;
    context.out.print(&CodeView::new(&code))?;
    let link = Link { server: &server, code: &code };
    // Capitals make a QR code smaller, and mean the same.
    if let Some(lines) = qr::draw(&link.to_string().to_uppercase()) {
        context.talk.picture(&lines);
    }
    let at = if server.port() == DEFAULT_PORT { server.host().to_owned() } else { server.to_string() };
    context.talk.say(&format!("on the other computer: hypersend receive --server {at} {code}"));
    let began = Instant::now();
    let sent = follow(context, &what, WITH, &mut transfer).await?;
    let took = words::duration(began.elapsed());
    context.talk.say(&format!("{what}: {WITH} has all of it, {} in {took}", Size(sent.bytes)));
    Ok(())
}
