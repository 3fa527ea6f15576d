//! How often the same address and the same account may try to log in or to register, and strangers to meet. Counted here first, which costs nothing,
//! and only what passes is counted among all servers.

use crate::store::{self, Store, news::Attempt};
use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use hypersend_protocol::name::Email;
use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Attempts allowed per minute; as many may come at once after a quiet time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Logins to one account.
    pub logins_per_account: NonZeroU32,
    /// Logins from one address.
    pub logins_per_address: NonZeroU32,
    /// Registrations from one address.
    pub registrations_per_address: NonZeroU32,
    /// Mailboxes opened from one address.
    pub openings_per_address: NonZeroU32,
    /// Mailboxes claimed from one address, rightly or wrongly.
    pub claims_per_address: NonZeroU32,
}

/// Networks' worth of claims that one IPv6 site may make: whoever is given a /48 has 65,536 networks to guess from, and a site's
/// people are not as many.
const NETWORKS_OF_SITE: NonZeroU32 = NonZeroU32::new(8).expect("eight is not zero");

/// Attempts after which those who have not tried for a while are forgotten, whether or not the janitor has come: an hour of
/// made-up addresses would otherwise stay in memory. Seldom enough that looking at all of them costs nothing per attempt.
const FORGET_EVERY: usize = 10_000;

/// Counts attempts. Memory grows with the addresses and accounts seen within a minute or so, and `FORGET_EVERY` more.
#[derive(Clone, Debug)]
pub struct Throttle(Arc<Limiters>);

#[derive(Debug)]
struct Limiters {
    rates: Rates,
    logins_per_account: DefaultKeyedRateLimiter<Email>,
    logins_per_address: DefaultKeyedRateLimiter<IpAddr>,
    registrations_per_address: DefaultKeyedRateLimiter<IpAddr>,
    openings_per_address: DefaultKeyedRateLimiter<IpAddr>,
    claims_per_address: DefaultKeyedRateLimiter<IpAddr>,
    claims_per_site: DefaultKeyedRateLimiter<Ipv6Addr>,
    attempts: AtomicUsize,
}

/// One attempt too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts; try again in {} s", wait.as_secs() + 1)]
pub struct TooOften {
    /// When the next attempt is allowed.
    pub wait: Duration,
}

/// Whether it was allowed.
type Counted = Result<(), TooOften>;

impl Rates {
    /// Mailboxes claimed from one IPv6 site.
    fn claims_per_site(&self) -> NonZeroU32 {
        self.claims_per_address.saturating_mul(NETWORKS_OF_SITE)
    }
}

impl Throttle {
    /// Counts from zero.
    pub fn new(rates: Rates) -> Self {
        Self(Arc::new(Limiters {
            rates,
            logins_per_account: RateLimiter::keyed(Quota::per_minute(rates.logins_per_account)),
            logins_per_address: RateLimiter::keyed(Quota::per_minute(rates.logins_per_address)),
            registrations_per_address: RateLimiter::keyed(Quota::per_minute(rates.registrations_per_address)),
            openings_per_address: RateLimiter::keyed(Quota::per_minute(rates.openings_per_address)),
            claims_per_address: RateLimiter::keyed(Quota::per_minute(rates.claims_per_address)),
            claims_per_site: RateLimiter::keyed(Quota::per_minute(rates.claims_per_site())),
            attempts: AtomicUsize::new(0),
        }))
    }

    /// Counts a login, here and then among all servers. The account need not exist.
    pub async fn login(&self, store: &dyn Store, address: IpAddr, account: &Email) -> store::Result<Counted> {
        if let Err(refused) = self.login_here(address, account) {
            return Ok(Err(refused));
        }
        let Rates { logins_per_account, logins_per_address, .. } = self.0.rates;
        match among_all(store, Attempt::LoginFrom(network(address)), logins_per_address).await? {
            Ok(()) => among_all(store, Attempt::LoginTo(account.clone()), logins_per_account).await,
            refused => Ok(refused),
        }
    }

    /// Counts a registration, here and then among all servers.
    pub async fn registration(&self, store: &dyn Store, address: IpAddr) -> store::Result<Counted> {
        if let Err(refused) = self.registration_here(address) {
            return Ok(Err(refused));
        }
        among_all(store, Attempt::RegistrationFrom(network(address)), self.0.rates.registrations_per_address).await
    }

    /// Counts a mailbox opened, here and then among all servers.
    pub async fn opening(&self, store: &dyn Store, address: IpAddr) -> store::Result<Counted> {
        self.count();
        if let Err(refused) = take(&self.0.openings_per_address, &network(address)) {
            return Ok(Err(refused));
        }
        among_all(store, Attempt::OpeningFrom(network(address)), self.0.rates.openings_per_address).await
    }

    /// Counts a claim of a mailbox, here and then among all servers, for its network and its site. The mailbox need not exist.
    pub async fn claim(&self, store: &dyn Store, address: IpAddr) -> store::Result<Counted> {
        if let Err(refused) = self.claim_here(address) {
            return Ok(Err(refused));
        }
        let rates = &self.0.rates;
        match (among_all(store, Attempt::ClaimFrom(network(address)), rates.claims_per_address).await?, site(address)) {
            (Ok(()), Some(site)) => among_all(store, Attempt::ClaimFromSite(site), rates.claims_per_site()).await,
            (counted, _) => Ok(counted),
        }
    }

    fn claim_here(&self, address: IpAddr) -> Counted {
        self.count();
        take(&self.0.claims_per_address, &network(address))?;
        site(address).map_or(Ok(()), |site| take(&self.0.claims_per_site, &site))
    }

    fn login_here(&self, address: IpAddr, account: &Email) -> Counted {
        self.count();
        take(&self.0.logins_per_address, &network(address))?;
        take(&self.0.logins_per_account, account)
    }

    fn registration_here(&self, address: IpAddr) -> Counted {
        self.count();
        take(&self.0.registrations_per_address, &network(address))
    }

    /// Frees the memory of those who have not tried for a while.
    pub fn forget_idle(&self) {
        self.0.logins_per_account.retain_recent();
        self.0.logins_per_address.retain_recent();
        self.0.registrations_per_address.retain_recent();
        self.0.openings_per_address.retain_recent();
        self.0.claims_per_address.retain_recent();
        self.0.claims_per_site.retain_recent();
    }

    fn count(&self) {
        if (self.0.attempts.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(FORGET_EVERY) {
            self.forget_idle();
        }
    }
}

fn take<K: Hash + Eq + Clone>(limiter: &DefaultKeyedRateLimiter<K>, key: &K) -> Counted {
    limiter.check_key(key).map_err(|until| TooOften { wait: until.wait_time_from(DefaultClock::default().now()) })
}

async fn among_all(store: &dyn Store, attempt: Attempt, per_minute: NonZeroU32) -> store::Result<Counted> {
    let wait = store.count_attempt(attempt, per_minute).await?;
    Ok(wait.map_or(Ok(()), |wait| Err(TooOften { wait })))
}

/// Whoever holds an IPv6 address usually holds all of its /64.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(first_of(v6, 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The /48 of an IPv6 address, which is what one holder may be given (RFC 6177).
fn site(address: IpAddr) -> Option<Ipv6Addr> {
    match address.to_canonical() {
        IpAddr::V6(v6) => Some(first_of(v6, 48)),
        IpAddr::V4(_) => None,
    }
}

/// The address with which this one's network of so long a prefix begins.
fn first_of(v6: Ipv6Addr, prefix: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle(n: u32) -> Throttle {
        let n = NonZeroU32::new(n).unwrap();
        Throttle::new(Rates {
            logins_per_account: n,
            logins_per_address: n,
            registrations_per_address: n,
            openings_per_address: n,
            claims_per_address: n,
        })
    }

    #[test]
    fn the_limit_holds_from_both_sides_by_address_and_by_account() {
        let throttle = throttle(3);
        let email = |n: u32| Email::parse(&format!("u{n}@example.org")).unwrap();
        let address = |n: u8| IpAddr::from([127, 0, 0, n]);
        for n in 0..3 {
            throttle.login_here(address(1), &email(n)).unwrap();
        }
        let refused = throttle.login_here(address(1), &email(9)).unwrap_err();
        assert!(refused.wait > Duration::ZERO && refused.wait <= Duration::from_secs(20), "{refused:?}");
        for n in 2..5 {
            throttle.login_here(address(n), &email(7)).unwrap();
        }
        assert!(throttle.login_here(address(6), &email(7)).is_err());
        assert!(throttle.registration_here(address(1)).is_ok(), "registrations are counted apart");
    }

    #[tokio::test]
    async fn openings_and_claims_are_counted_apart_and_by_network() {
        let dir = tempfile::tempdir().unwrap();
        let place = store::Place::File(dir.path().join("test.db"));
        let store = store::open(&place, Arc::new(|_| ())).await.unwrap();
        let throttle = throttle(2);
        let address = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]);
        for n in 0..2 {
            throttle.opening(&*store, address(n)).await.unwrap().unwrap();
            throttle.claim(&*store, address(n)).await.unwrap().unwrap();
        }
        assert!(throttle.opening(&*store, address(9)).await.unwrap().is_err());
        let refused = throttle.claim(&*store, address(9)).await.unwrap().unwrap_err();
        assert!(refused.wait > Duration::ZERO && refused.wait <= Duration::from_secs(30), "{refused:?}");
        throttle.claim(&*store, [192, 0, 2, 1].into()).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_site_has_the_claims_of_some_of_its_networks() {
        let dir = tempfile::tempdir().unwrap();
        let place = store::Place::File(dir.path().join("test.db"));
        let store = store::open(&place, Arc::new(|_| ())).await.unwrap();
        let throttle = throttle(1);
        let network = |site: u16, n: u32| {
            let n = u16::try_from(n).unwrap();
            IpAddr::from([0x2001, 0xdb8, site, n, 0, 0, 0, 1])
        };
        for n in 0..NETWORKS_OF_SITE.get() {
            throttle.claim(&*store, network(0, n)).await.unwrap().unwrap();
        }
        assert!(throttle.claim(&*store, network(0, NETWORKS_OF_SITE.get())).await.unwrap().is_err());
        throttle.claim(&*store, network(1, 0)).await.unwrap().unwrap();
        let v4 = |n: u8| IpAddr::from([192, 0, 2, n]);
        for n in 0..20 {
            throttle.claim(&*store, v4(n)).await.unwrap().unwrap();
        }
    }

    #[test]
    fn who_has_not_tried_for_a_while_is_forgotten_between_the_janitors_rounds() {
        // At this rate a thousandth of a second is a while.
        let throttle = throttle(60_000_000);
        for n in 0..FORGET_EVERY {
            let address = IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
            throttle.registration_here(address).unwrap();
        }
        let kept = throttle.0.registrations_per_address.len();
        assert!(kept < FORGET_EVERY, "all {kept} are kept");
    }

    #[test]
    fn one_ipv6_network_is_one_caller() {
        let throttle = throttle(1);
        throttle.registration_here("2001:db8::1".parse().unwrap()).unwrap();
        assert!(throttle.registration_here("2001:db8::2".parse().unwrap()).is_err());
        assert!(throttle.registration_here("2001:db8:0:1::1".parse().unwrap()).is_ok());
        throttle.registration_here("192.0.2.1".parse().unwrap()).unwrap();
        assert!(throttle.registration_here("::ffff:192.0.2.1".parse().unwrap()).is_err());
    }
}
