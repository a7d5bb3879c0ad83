//! Looking up hosts, each once.
//!
//! A resolver opens two dozen connections to one host at the same moment, and many name servers
//! drop some of two dozen equal questions, which then cost five seconds each.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::OnceCell;

type Cell = Arc<OnceCell<Vec<SocketAddr>>>;

/// The system's resolver, with a memory.
#[derive(Debug, Default)]
pub(super) struct Dns {
    hosts: Mutex<HashMap<String, Cell>>,
}

impl Resolve for Dns {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let cell = {
            let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(hosts.entry(host.clone()).or_default())
        };
        Box::pin(async move {
            // A failure is not remembered: whoever waits asks again.
            let found = cell.get_or_try_init(|| async move {
                // The port is not looked at.
                let look_up = move || (host.as_str(), 0).to_socket_addrs().map(Vec::from_iter);
                tokio::task::spawn_blocking(look_up)
                    .await
                    .map_err(std::io::Error::other)?
            });
            let addresses: Addrs = Box::new(found.await?.clone().into_iter());
            Ok(addresses)
        })
    }
}
