//! Who is calling.

use crate::services::{AccountError, Accounts, Caller};
use hypersend_protocol::{
    refusal::{ErrorCode, Refusal},
    session::{Auth, FEATURES, Hello, VERSION, Welcome},
};
use std::net::IpAddr;

/// Lets a caller in, or says why not.
pub(super) async fn greet(accounts: &Accounts, from: IpAddr, hello: Hello) -> Result<(Caller, Welcome), Refusal> {
    if hello.version == 0 {
        let message = format!("version 0 does not exist; this server speaks version {VERSION}");
        return Err(Refusal::new(ErrorCode::UnsupportedVersion, message));
    }
    let (caller, tokens) = authenticate(accounts, from, &hello.agent, hello.auth).await?;
    let welcome = Welcome {
        version: VERSION,
        features: FEATURES.iter().map(ToString::to_string).collect(),
        me: caller.profile.clone(),
        session: caller.session,
        tokens,
        now: crate::clock::now(),
    };
    Ok((caller, welcome))
}

async fn authenticate(
    accounts: &Accounts,
    from: IpAddr,
    agent: &str,
    auth: Auth,
) -> Result<(Caller, Option<hypersend_protocol::session::Tokens>), AccountError> {
    let login = match auth {
        Auth::Access { token } => return Ok((accounts.authenticate(&token).await?, None)),
        Auth::Refresh { token } => accounts.refresh(&token, None).await?,
        Auth::Login { email, password } => accounts.login(from, agent, email, password).await?,
        Auth::Register { email, name, password } => accounts.register(from, agent, email, name, password).await?,
    };
    Ok((login.caller, Some(login.tokens)))
}
