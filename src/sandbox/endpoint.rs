//! One place in the network, as `--allow-net` names it.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// A TCP port of a host.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Endpoint {
    /// A name or an address; that of IPv6 without its brackets.
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!(
                "`{text}` is not a host and a port: {why}; write for example `example.org:443` or \
                 `[::1]:8080`"
            )
        };
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| wrong("the port is missing"))?;
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => inner,
            Some(_) => return Err(wrong("what stands in brackets is no IPv6 address")),
            None if host.contains("//") => return Err(wrong("it is a URL")),
            None if host.contains(':') => return Err(wrong("an IPv6 address needs brackets")),
            None if host.is_empty() => return Err(wrong("the host is missing")),
            None if !plain(host) => return Err(wrong("that is not how hosts are called")),
            None => host,
        };
        match port.parse() {
            Ok(port @ 1..) => Ok(Self {
                host: host.to_owned(),
                port,
            }),
            _ => Err(wrong("a port is a number from 1 to 65535")),
        }
    }
}

fn plain(host: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || ['.', '-', '_'].contains(&c);
    host.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for text in [
            "example.org:443",
            "10.0.0.1:1",
            "[::1]:65535",
            "bücher.de:80",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for (text, why) in [
            ("example.org", "the port is missing"),
            (":443", "the host is missing"),
            ("::1:443", "an IPv6 address needs brackets"),
            ("[x]:443", "what stands in brackets is no IPv6 address"),
            ("https://x:443", "it is a URL"),
            ("*:443", "that is not how hosts are called"),
            ("x y:443", "that is not how hosts are called"),
            ("x:", "a port is a number from 1 to 65535"),
            ("x:0", "a port is a number from 1 to 65535"),
            ("x:65536", "a port is a number from 1 to 65535"),
            ("x:http", "a port is a number from 1 to 65535"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
