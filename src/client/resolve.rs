// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the appliance is: host and port, and the addresses behind them.
//!
//! Names are resolved in Rust: `getaddrinfo` in a static binary crashes under common configurations. `localhost` is
//! never asked for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use hickory_resolver::Resolver;

use crate::client::ClientError;

/// The port when none is named.
const PORT: u16 = 443;

/// An appliance, as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    host: String,
    port: u16,
}

impl FromStr for Server {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        let refused = || ClientError::Server(text.to_owned());
        let uri: hyper::Uri = text.parse().map_err(|_| refused())?;
        let plain = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if uri.scheme_str() != Some("https") || !plain {
            return Err(refused());
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(refused)?;
        Ok(Self { host: host.to_owned(), port: uri.port_u16().unwrap_or(PORT) })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

impl Server {
    /// `host:port`, without the port when it is the usual one.
    pub fn authority(&self) -> String {
        if self.port == PORT { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// The name that certificates are checked for; an address without its brackets.
    pub fn name(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, of TCP and UDP.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its addresses, in the order to try them.
    pub async fn addresses(&self) -> Result<Vec<SocketAddr>, ClientError> {
        let with_port = |address: IpAddr| SocketAddr::new(address, self.port);
        if let Ok(address) = self.name().parse::<IpAddr>() {
            return Ok(vec![with_port(address)]);
        }
        if self.name().eq_ignore_ascii_case("localhost") {
            return Ok([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].map(with_port).to_vec());
        }
        let refused = |reason: String| ClientError::Resolve { host: self.host.clone(), reason };
        let resolver = Resolver::builder_tokio().and_then(hickory_resolver::ResolverBuilder::build);
        let found = resolver.map_err(|error| refused(error.to_string()))?.lookup_ip(self.name()).await;
        let addresses: Vec<_> = found.map_err(|error| refused(error.to_string()))?.iter().map(with_port).collect();
        if addresses.is_empty() { Err(refused("it has none".to_owned())) } else { Ok(addresses) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_or_refused() {
        let read = |text: &str| text.parse::<Server>().map(|server| (server.authority(), server.port())).ok();
        assert_eq!(read("https://meet.example.lan"), Some(("meet.example.lan".to_owned(), 443)));
        assert_eq!(read("https://localhost:8443/"), Some(("localhost:8443".to_owned(), 8443)));
        assert_eq!(read("https://[::1]:8443"), Some(("[::1]:8443".to_owned(), 8443)));
        for bad in ["", "localhost:8443", "http://localhost", "https://", "https://a/b", "https://a?x=1"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!("https://[::1]:1".parse::<Server>().unwrap().name(), "::1");
    }

    #[test]
    fn localhost_and_literals_are_nobodys_business() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let addresses = |text: &str| runtime.block_on(text.parse::<Server>().unwrap().addresses()).unwrap();
        let both: [SocketAddr; 2] = ["127.0.0.1:8443".parse().unwrap(), "[::1]:8443".parse().unwrap()];
        assert_eq!(addresses("https://localhost:8443"), both);
        assert_eq!(addresses("https://[::1]:8443"), [both[1]]);
    }
}
