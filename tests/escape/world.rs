//! What surrounds a run on the host: servers that tell the secret, processes that can be hurt, open
//! files that a child inherits.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::place::Place;

/// The names of the processes that attacks are sent against.
const VICTIMS: [&str; 9] = [
    "read",
    "kill",
    "terminate",
    "stop",
    "kill-group",
    "kill-by-handle",
    "kill-by-libc",
    "powers-kill",
    "powers-stop",
];

pub struct World {
    pub tcp: u16,
    pub http: u16,
    pub udp: u16,
    /// Where an attack may try to listen.
    pub listen: u16,
    pub abstract_name: String,
    victims: BTreeMap<&'static str, Child>,
    inherited: Vec<OwnedFd>,
    over: Arc<AtomicBool>,
}

impl World {
    pub fn new(place: &Place) -> Result<Self, String> {
        Self::make(place).map_err(|e| format!("what surrounds a run: {e}"))
    }

    fn make(place: &Place) -> std::io::Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        let http = TcpListener::bind("127.0.0.1:0")?;
        let udp = UdpSocket::bind("127.0.0.1:0")?;
        let listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let ports = (
            tcp.local_addr()?.port(),
            http.local_addr()?.port(),
            udp.local_addr()?.port(),
        );
        let said = place.secret.clone();
        std::thread::spawn(move || {
            tcp.incoming()
                .flatten()
                .for_each(|mut s| drop(s.write_all(said.as_bytes())))
        });
        let said = format!(
            "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{}",
            place.secret.len(),
            place.secret
        );
        std::thread::spawn(move || {
            for mut stream in http.incoming().flatten() {
                // Closing a connection whose request was not read would reset it.
                let mut request = [0; 4096];
                let _ = std::io::Read::read(&mut stream, &mut request);
                let _ = stream.write_all(said.as_bytes());
            }
        });
        let said = place.secret.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, from)) = udp.recv_from(&mut buffer) {
                let _ = udp.send_to(said.as_bytes(), from);
            }
        });
        let abstract_name = format!("pyw-escape-{}-{}", std::process::id(), ports.0);
        for server in [
            UnixListener::bind(place.base().join("server.sock"))?,
            UnixListener::bind(place.base().join("rw/server.sock"))?,
            UnixListener::bind_addr(&SocketAddr::from_abstract_name(&abstract_name)?)?,
        ] {
            let said = place.secret.clone();
            std::thread::spawn(move || {
                server
                    .incoming()
                    .flatten()
                    .for_each(|mut s| drop(s.write_all(said.as_bytes())))
            });
        }
        let (said, stop) = (place.secret.clone(), Arc::clone(&over));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", listen)) {
                    let _ = stream.write_all(said.as_bytes());
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let mut victims = BTreeMap::new();
        for name in VICTIMS {
            let child = Command::new("sleep")
                .arg("600")
                .env_clear()
                .env("PATH", "/usr/bin:/bin")
                .env("PYW_ESCAPE_SECRET", &place.secret)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()?;
            victims.insert(name, child);
        }
        let file = std::fs::File::open(place.tmp.path().join("secret.txt"))?;
        let (ours, mut theirs) = UnixStream::pair()?;
        theirs.write_all(place.secret.as_bytes())?;
        let inherited: Vec<OwnedFd> = vec![file.into(), ours.into()];
        for fd in &inherited {
            rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?;
        }
        // Its end stays open for as long as the other one does.
        std::mem::forget(theirs);
        Ok(Self {
            tcp: ports.0,
            http: ports.1,
            udp: ports.2,
            listen,
            abstract_name,
            victims,
            inherited,
            over,
        })
    }

    /// The numbers of the victims.
    pub fn victims(&self) -> BTreeMap<&'static str, u32> {
        self.victims
            .iter()
            .map(|(name, child)| (*name, child.id()))
            .collect()
    }

    /// The victims that are dead or stopped.
    pub fn hurt(&mut self) -> Vec<&'static str> {
        let mut hurt = Vec::new();
        for (name, child) in &mut self.victims {
            let stat =
                std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
            let state = stat
                .rsplit(") ")
                .next()
                .and_then(|rest| rest.chars().next());
            if !matches!(state, Some('S' | 'R' | 'D')) {
                hurt.push(*name);
            }
        }
        hurt
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.inherited.clear();
        for child in self.victims.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
