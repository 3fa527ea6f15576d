//! The database, and the clocks.

use super::Finding;
use crate::{
    clock, report,
    settings::Settings,
    store::{self, Inspected},
};
use hypersend_protocol::time::UnixMillis;

/// Clocks may be apart by so much: moments in messages are by the server's, what is forgotten partly by the database's.
const APART: u64 = 5_000;

/// No clock that is set says that it is before 2025, or after 2100.
const SANE: std::ops::Range<UnixMillis> = UnixMillis(1_735_689_600_000)..UnixMillis(4_102_444_800_000);

/// Whether the database can be used, and what time it is.
pub(super) async fn examine(settings: &Settings) -> [Finding; 2] {
    let inspected = store::inspect(&settings.database()).await;
    let theirs = inspected.as_ref().ok().and_then(Option::as_ref).and_then(|inspected| inspected.clock);
    let database = match inspected {
        Ok(None) => Finding::ok("database", "none yet: the server makes it at its first start"),
        Ok(Some(inspected)) => version(&inspected),
        Err(error) => Finding::failed("database", report(&error)),
    };
    [database, time(clock::now(), theirs)]
}

fn version(Inspected { kind, version, .. }: &Inspected) -> Finding {
    match version.check() {
        Ok(()) => Finding::ok("database", format!("{kind}, schema version {}", version.now)),
        // The server mends it by itself.
        Err(error) if version.found < version.now => Finding::warning("database", format!("{kind}: {error}")),
        Err(error) => Finding::failed("database", format!("{kind}: {error}")),
    }
}

fn time(ours: UnixMillis, theirs: Option<UnixMillis>) -> Finding {
    if !SANE.contains(&ours) {
        return Finding::failed("clock", "it is not set: logins and certificates go by it; run an NTP client");
    }
    match theirs.map(|theirs| ours.0.abs_diff(theirs.0)) {
        None => Finding::ok("clock", "set"),
        Some(apart) if apart > APART => {
            let says = format!("{apart} ms apart from the database's: run an NTP client on both machines");
            Finding::warning("clock", says)
        }
        Some(apart) => Finding::ok("clock", format!("set, {apart} ms apart from the database's")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_are_wrong_or_apart_are_found_out() {
        let now = SANE.start.0 + 1_000_000;
        assert!(time(UnixMillis(0), None).is_failure());
        assert!(time(SANE.end, None).is_failure());
        for (theirs, says) in [(None, "ok"), (Some(now + APART), "ok"), (Some(now - APART - 1), "warning")] {
            let found = time(UnixMillis(now), theirs.map(UnixMillis)).to_string();
            assert!(found.starts_with(says), "{found}");
        }
    }
}
