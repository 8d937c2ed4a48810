//! Which addresses may be asked. Endpoints come from pipeline files, and a pipeline file may come from a stranger: it
//! must not turn this program into a way to read a cloud machine's metadata service, nor send keys in the clear.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Amazon's metadata service over IPv6.
const EC2_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
/// Alibaba's metadata service.
const ALIBABA_METADATA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);

/// An address that may not be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Forbidden {
    /// A link-local or metadata address: never.
    Metadata(IpAddr),
    /// A public address without TLS: only with `insecure: true`.
    Plain(IpAddr),
}

impl fmt::Display for Forbidden {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Metadata(ip) => write!(formatter, "`{ip}` is a link-local or metadata address and is never asked"),
            Self::Plain(ip) => write!(
                formatter,
                "`{ip}` is a public address: http is allowed only to loopback and private addresses; \
                 use https, or write `insecure: true`"
            ),
        }
    }
}

impl std::error::Error for Forbidden {}

/// What addresses an endpoint may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// Whether public addresses are allowed: with https, or when the user said so.
    pub(crate) public: bool,
}

impl Policy {
    /// Whether `ip` may be connected to.
    pub(crate) fn check(self, ip: IpAddr) -> Result<(), Forbidden> {
        let inner = match ip {
            // ::ffff:a.b.c.d reaches a.b.c.d.
            IpAddr::V6(six) => six.to_ipv4_mapped().map_or(ip, IpAddr::V4),
            IpAddr::V4(_) => ip,
        };
        let (metadata, private) = match inner {
            IpAddr::V4(four) => (
                four.is_link_local() || four == ALIBABA_METADATA || four.is_broadcast() || four.is_multicast(),
                four.is_loopback() || four.is_private() || four.is_unspecified() || is_shared(four),
            ),
            IpAddr::V6(six) => (
                six.is_unicast_link_local() || six == EC2_METADATA || six.is_multicast(),
                six.is_loopback() || six.is_unique_local() || six.is_unspecified(),
            ),
        };
        if metadata {
            Err(Forbidden::Metadata(inner))
        } else if private || self.public {
            Ok(())
        } else {
            Err(Forbidden::Plain(inner))
        }
    }
}

/// 100.64.0.0/10, which overlay networks such as Tailscale use.
fn is_shared(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    a == 100 && (64..128).contains(&b)
}

/// Resolves names and refuses forbidden addresses at the moment of connecting, so that a name cannot be harmless when
/// checked and something else when used.
impl Resolve for Policy {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = *self;
        Box::pin(async move {
            // Port 0 stands for the scheme's own port.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            for address in &found {
                policy.check(address.ip())?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The [`Forbidden`] behind an HTTP client's error, if that is what it is.
pub(crate) fn forbidden<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Forbidden> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_never_allowed_and_plain_http_stays_at_home() {
        for ip in
            ["169.254.169.254", "169.254.0.1", "fd00:ec2::254", "fe80::1", "::ffff:169.254.169.254", "100.100.100.200"]
        {
            for public in [true, false] {
                assert!(matches!(Policy { public }.check(ip.parse().unwrap()), Err(Forbidden::Metadata(_))), "{ip}");
            }
        }
        for ip in ["127.0.0.1", "10.1.2.3", "192.168.0.9", "172.16.4.4", "::1", "fd12::1", "0.0.0.0", "100.80.1.1"] {
            assert_eq!(Policy { public: false }.check(ip.parse().unwrap()), Ok(()), "{ip}");
        }
        for ip in ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8"] {
            assert!(matches!(Policy { public: false }.check(ip.parse().unwrap()), Err(Forbidden::Plain(_))), "{ip}");
            assert_eq!(Policy { public: true }.check(ip.parse().unwrap()), Ok(()), "{ip}");
        }
    }
}
