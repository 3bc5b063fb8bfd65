//! A web address as a configuration may name it: encrypted, or on this host.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Longer ones are a mistake.
const URL_BYTES_MAX: usize = 2_000;

/// Whose address it is, which decides what a message may show of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Its text may be shown.
    Open,
    /// Its text is a secret: no message shows it.
    Secret,
}

/// `https://host[:port][/path][?query]`, or the same with `http` for this host itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    text: String,
    /// The end of scheme and host in `text`.
    origin_end: usize,
}

impl Url {
    /// # Errors
    /// Why it is none that anything may be sent to.
    pub fn parse(text: &str, reach: Reach) -> Result<Self, String> {
        let shown = match reach {
            Reach::Open => format!("{text:?}"),
            Reach::Secret => "what stands there".to_owned(),
        };
        let plain =
            text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte));
        if !plain || text.len() > URL_BYTES_MAX || text.contains('#') {
            return Err(format!("{shown} is no web address: write https://host/path"));
        }
        let (scheme, rest) = text
            .split_once("://")
            .filter(|(scheme, _)| ["https", "http"].contains(scheme))
            .ok_or_else(|| format!("{shown} is no web address: write it from https:// on"))?;
        let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let authority = &rest[..authority_end];
        if authority.contains('@') {
            // Not shown: it holds a password.
            return Err("holds a user or a password before its host: a secret does not stand in \
                        this file"
                .to_owned());
        }
        let host = host(authority).ok_or_else(|| format!("{shown} names no host"))?;
        if scheme == "http" && !is_this_host(host) {
            return Err(format!(
                "{shown} is not encrypted: write https; http is for this host alone (127.0.0.1)"
            ));
        }
        let origin_end = scheme.len() + "://".len() + authority_end;
        Ok(Self { text: text.to_owned(), origin_end })
    }

    /// All of it, to be sent to.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme and host, to be shown.
    pub fn origin(&self) -> &str {
        &self.text[..self.origin_end]
    }

    pub fn is_encrypted(&self) -> bool {
        self.text.starts_with("https:")
    }
}

/// Its path may be a secret.
impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({}…)", self.origin())
    }
}

/// Without its port, which must be one.
fn host(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, port.strip_prefix(':').or(port.is_empty().then_some("443"))?)
        }
        None => authority.split_once(':').unwrap_or((authority, "443")),
    };
    let is_host =
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b));
    (is_host && port.parse::<u16>().is_ok_and(|port| port > 0)).then_some(host)
}

fn is_this_host(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_encrypted_address_or_one_of_this_host_is_taken() {
        for (text, origin) in [
            ("https://api.example.org", Some("https://api.example.org")),
            ("https://api.example.org:8443/a/b?c=d", Some("https://api.example.org:8443")),
            ("https://[2001:db8::1]:443/x", Some("https://[2001:db8::1]:443")),
            ("http://127.0.0.1:8080/hook", Some("http://127.0.0.1:8080")),
            ("http://localhost/hook", Some("http://localhost")),
            ("http://[::1]/hook", Some("http://[::1]")),
            ("http://example.org/hook", None),
            ("http://127.0.0.1.example.org/", None),
            ("https://user:word@example.org/", None),
            ("ftp://example.org/", None),
            ("example.org", None),
            ("https://", None),
            ("https://a b/", None),
            ("https://host:port/", None),
            ("https://host:0/", None),
            ("https://host/#part", None),
            ("https://[::zz]/", None),
            ("", None),
        ] {
            let url = Url::parse(text, Reach::Open);
            assert_eq!(url.as_ref().map(Url::origin).ok(), origin, "{text:?}: {url:?}");
        }
    }

    #[test]
    fn a_secret_address_is_not_shown() {
        let error = Url::parse("http://example.org/SECRET", Reach::Secret).unwrap_err();
        assert!(!error.contains("SECRET"), "{error}");
        let url = Url::parse("https://example.org/SECRET", Reach::Secret).unwrap();
        assert!(!format!("{url:?}").contains("SECRET"));
    }
}
