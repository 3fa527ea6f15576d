//! What a router has given: obtained by PCP, by NAT-PMP where the router does not know PCP, or else by UPnP; renewed and given
//! back the same way.
//!
//! Refuses an outside address at which nobody can be, and a router that maps only for ever: such a mapping would outlive a
//! program that was killed.

use crate::gateway::{gateway, own_address};
use crab_nat::{
    InternetProtocol, MappingFailure, PortMapping, PortMappingOptions, PortMappingType, TimeoutConfig, natpmp,
};
use igd_next::{
    AddAnyPortError, AddPortError, PortMappingProtocol, SearchError, SearchOptions,
    aio::{
        Gateway,
        tokio::{Tokio, search_gateway},
    },
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU16,
    time::Duration,
};
use tokio::time::{error::Elapsed, timeout};

/// For how long a mapping is asked for, in seconds. It is renewed after half of it; and what a program that was killed has left
/// is over after it. Routers refuse less than two minutes as a rule.
pub(crate) const LIFETIME: u32 = 600;

/// How a question to a router is repeated. It is one hop away, so it answers in milliseconds or never; with the usual patience
/// (1 s, doubled; RFC 6887, 8.1.1) UPnP would come too late for the transfer.
const PATIENCE: TimeoutConfig = TimeoutConfig {
    initial_timeout: Duration::from_millis(250),
    max_retries: 2,
    max_retry_timeout: Some(Duration::from_millis(500)),
};

/// How long to wait for somebody who answers a call for UPnP.
const SEARCH: Duration = Duration::from_secs(3);

/// How long asking for a mapping, or for its renewal, may take by UPnP. Routers answer within a second or two; one that does not
/// is asked up to twenty times for one mapping, each with a patience of its own.
const UPNP: Duration = Duration::from_secs(10);

/// How the mapping is named in a router's list.
const DESCRIPTION: &str = "HyperSend";

/// No router gave a mapping.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObtainError {
    #[error("find this host's own address")]
    OwnAddress(#[source] io::Error),
    #[error("look for a router by UPnP; before it, by PCP and NAT-PMP: {asked}")]
    Search { asked: String, source: SearchError },
    #[error("{answered} answered by UPnP and is not this host's router")]
    Stranger { answered: IpAddr },
    #[error("ask for a mapping by UPnP")]
    Upnp(#[source] AddAnyPortError),
    #[error("the router does not answer by UPnP")]
    Silent(#[from] Elapsed),
    #[error("the router gave {0}, where nobody can be reached")]
    Nowhere(SocketAddr),
    #[error("the router gave a mapping for no time")]
    NoTime,
}

/// A mapping was not renewed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewError {
    #[error("renew a mapping by PCP or NAT-PMP")]
    Asked(#[from] MappingFailure),
    #[error("renew a mapping by UPnP")]
    Upnp(#[from] AddPortError),
    #[error("renew a mapping by UPnP: the router does not answer")]
    Silent(#[from] Elapsed),
    #[error("the renewed mapping is of no use")]
    Useless(#[source] ObtainError),
}

/// A mapping that a router holds for this host.
#[derive(Debug)]
pub(crate) enum Held {
    /// By PCP or NAT-PMP.
    Asked { mapping: Box<PortMapping>, outside: SocketAddr },
    /// By UPnP.
    Upnp { router: Box<Gateway<Tokio>>, own: SocketAddr, outside: SocketAddr },
}

impl Held {
    /// Asks whoever may give one.
    pub(crate) async fn obtain(port: NonZeroU16) -> Result<Self, ObtainError> {
        let router = gateway();
        let asked = match router {
            Some(router) => match ask(router, port).await {
                Ok(held) => return Ok(held),
                Err(error) => error.to_string(),
            },
            None => "no router is known".to_owned(),
        };
        let mut options = SearchOptions::default();
        options.timeout = Some(SEARCH);
        let found = search_gateway(options).await.map_err(|source| ObtainError::Search { asked, source })?;
        let answered = found.addr.ip();
        if router.is_some_and(|router| answered != router) {
            return Err(ObtainError::Stranger { answered });
        }
        let IpAddr::V4(towards) = answered else { return Err(ObtainError::Stranger { answered }) };
        let own = SocketAddr::new(own_address(towards).map_err(ObtainError::OwnAddress)?, port.get());
        let given = found.get_any_address(PortMappingProtocol::UDP, own, LIFETIME, DESCRIPTION);
        let outside = timeout(UPNP, given).await?.map_err(ObtainError::Upnp)?;
        let held = Self::Upnp { router: Box::new(found), own, outside };
        match reachable(outside) {
            Ok(_) => Ok(held),
            Err(useless) => {
                held.give_back().await;
                Err(useless)
            }
        }
    }

    /// The address by which others reach the port.
    pub(crate) fn outside(&self) -> SocketAddr {
        match self {
            Self::Asked { outside, .. } | Self::Upnp { outside, .. } => *outside,
        }
    }

    /// For how long, from when it was obtained or renewed.
    pub(crate) fn lifetime(&self) -> Duration {
        let seconds = match self {
            Self::Asked { mapping, .. } => mapping.lifetime().min(LIFETIME),
            Self::Upnp { .. } => LIFETIME,
        };
        Duration::from_secs(seconds.into())
    }

    /// The protocol, for logs.
    pub(crate) fn protocol(&self) -> &'static str {
        match self {
            Self::Asked { mapping, .. } => match mapping.mapping_type() {
                PortMappingType::NatPmp => "NAT-PMP",
                PortMappingType::Pcp { .. } => "PCP",
            },
            Self::Upnp { .. } => "UPnP",
        }
    }

    /// Asks for it again, which may change its outside address.
    pub(crate) async fn renew(&mut self) -> Result<(), RenewError> {
        match self {
            Self::Asked { mapping, outside } => {
                mapping.renew().await?;
                *outside = address_of(mapping).await.map_err(RenewError::Useless)?;
            }
            Self::Upnp { router, own, outside } => {
                let renewed = router.add_port(PortMappingProtocol::UDP, outside.port(), *own, LIFETIME, DESCRIPTION);
                timeout(UPNP, renewed).await??;
            }
        }
        Ok(())
    }

    /// Has the router forget it. If that fails, its time will be over by itself.
    pub(crate) async fn give_back(self) {
        let protocol = self.protocol();
        let failed = match self {
            Self::Asked { mapping, .. } => mapping.try_drop().await.err().map(|(error, _)| error.to_string()),
            Self::Upnp { router, outside, .. } => {
                let removed = router.remove_port(PortMappingProtocol::UDP, outside.port()).await;
                removed.err().map(|error| error.to_string())
            }
        };
        if let Some(error) = failed {
            tracing::debug!(protocol, error, "port mapping not given back");
        }
    }
}

/// By PCP and, where it is unknown, by NAT-PMP.
async fn ask(router: Ipv4Addr, port: NonZeroU16) -> Result<Held, Box<dyn std::error::Error + Send + Sync>> {
    let own = own_address(router)?;
    let options = PortMappingOptions {
        // The port that most others will see anyhow.
        external_port: Some(port),
        lifetime_seconds: Some(LIFETIME),
        timeout_config: Some(PATIENCE),
    };
    let mapping = PortMapping::new(router.into(), own, InternetProtocol::Udp, port, options).await?;
    match address_of(&mapping).await {
        Ok(outside) => Ok(Held::Asked { mapping: Box::new(mapping), outside }),
        Err(useless) => {
            let _ = mapping.try_drop().await;
            Err(useless.into())
        }
    }
}

/// The outside address of a mapping; NAT-PMP has a question of its own for it.
async fn address_of(mapping: &PortMapping) -> Result<SocketAddr, ObtainError> {
    if mapping.lifetime() == 0 {
        return Err(ObtainError::NoTime);
    }
    let ip = match mapping.mapping_type() {
        PortMappingType::Pcp { external_ip, .. } => external_ip.to_canonical(),
        // Who has just answered and now does not is somebody of no use.
        PortMappingType::NatPmp => {
            let address = natpmp::external_address(mapping.gateway(), Some(PATIENCE)).await;
            address.unwrap_or(Ipv4Addr::UNSPECIFIED).into()
        }
    };
    reachable(SocketAddr::new(ip, mapping.external_port().get()))
}

fn reachable(outside: SocketAddr) -> Result<SocketAddr, ObtainError> {
    let ip = outside.ip();
    let is_nowhere = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip == Ipv4Addr::BROADCAST;
    if is_nowhere || outside.port() == 0 { Err(ObtainError::Nowhere(outside)) } else { Ok(outside) }
}
