//! Who is calling.

use super::crowd::{Crowd, Place};
use crate::services::{Accounts, Caller};
use hypersend_protocol::{
    refusal::{ErrorCode, Refusal},
    session::{Auth, FEATURES, Hello, Tokens, VERSION, Welcome},
};
use std::net::IpAddr;

/// Lets a caller in, or says why not.
pub(super) async fn greet(
    accounts: &Accounts,
    crowd: &Crowd,
    from: IpAddr,
    hello: Hello,
) -> Result<(Caller, Place, Welcome), Refusal> {
    check_version(hello.version)?;
    let (caller, place, tokens) = authenticate(accounts, crowd, from, &hello.agent, hello.auth).await?;
    let welcome = Welcome {
        version: VERSION,
        features: FEATURES.iter().map(ToString::to_string).collect(),
        me: caller.profile.clone(),
        session: caller.session,
        tokens,
        now: crate::clock::now(),
    };
    Ok((caller, place, welcome))
}

/// Whether this server can be spoken to in this version.
pub(super) fn check_version(version: u32) -> Result<(), Refusal> {
    if version == 0 {
        let message = format!("version 0 does not exist; this server speaks version {VERSION}");
        return Err(Refusal::new(ErrorCode::UnsupportedVersion, message));
    }
    Ok(())
}

async fn authenticate(
    accounts: &Accounts,
    crowd: &Crowd,
    from: IpAddr,
    agent: &str,
    auth: Auth,
) -> Result<(Caller, Place, Option<Tokens>), Refusal> {
    let login = match auth {
        Auth::Access { token } => {
            let caller = accounts.authenticate(&token).await?;
            let place = crowd.enter(caller.id(), caller.session)?;
            return Ok((caller, place, None));
        }
        Auth::Refresh { token } => {
            // First a place: a token must not be used up for somebody who is not let in, and so hears of no successor.
            let claimed = accounts.claimed(&token).await?;
            let place = crowd.enter(claimed.id(), claimed.session)?;
            let login = accounts.refresh(&token, None).await?;
            return Ok((login.caller, place, Some(login.tokens)));
        }
        Auth::Login { email, password } => accounts.login(from, agent, email, password).await?,
        Auth::Register { email, name, password } => accounts.register(from, agent, email, name, password).await?,
    };
    match crowd.enter(login.caller.id(), login.caller.session) {
        Ok(place) => Ok((login.caller, place, Some(login.tokens))),
        Err(refusal) => {
            // Nobody will ever hold the tokens of this session.
            accounts.logout(&login.caller).await?;
            Err(refusal)
        }
    }
}
