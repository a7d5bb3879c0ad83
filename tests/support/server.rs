//! An HTTP server on loopback that misbehaves as told.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    /// By lower-case name.
    pub headers: HashMap<String, String>,
    /// How many requests for this path came before.
    pub nth: usize,
}

impl Request {
    /// The start of the range that is asked for.
    pub fn start(&self) -> Option<usize> {
        let range = self.headers.get("range")?.strip_prefix("bytes=")?;
        range.strip_suffix('-')?.parse().ok()
    }
}

/// What the server does with a request.
pub enum Reply {
    File(File),
    /// A status without a body.
    Status(u16, Vec<(&'static str, String)>),
    /// A page of that media type.
    Page(&'static str, String),
    /// Bytes without end.
    Endless,
    /// Anything: a status, headers and a body.
    Other(u16, Vec<(&'static str, String)>, Vec<u8>),
}

/// A file, and how it is served.
#[derive(Clone, Default)]
pub struct File {
    pub body: Vec<u8>,
    /// Honour `Range`.
    pub ranges: bool,
    pub etag: Option<&'static str>,
    /// Close the connection after so many bytes of the answer.
    pub cut: Option<usize>,
    /// Send so many bytes of the answer and then no more, but keep the connection open.
    pub stall: Option<usize>,
    /// Answer a range with one that starts so much later.
    pub shift: usize,
}

impl File {
    pub fn new(body: &[u8]) -> Self {
        File {
            body: body.to_vec(),
            ranges: true,
            ..File::default()
        }
    }
}

pub struct Server {
    port: u16,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let log = Arc::new(Mutex::new(Vec::new()));
        let reply = Arc::new(reply);
        let server = Server {
            port,
            log: Arc::clone(&log),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (reply, log) = (Arc::clone(&reply), Arc::clone(&log));
                // That a client hangs up is what many tests are about.
                std::thread::spawn(move || serve(stream, &*reply, &log).ok());
            }
        });
        server
    }

    /// A server that serves one file for every path.
    pub fn of(body: &[u8]) -> Server {
        let file = File::new(body);
        Server::start(move |_| Reply::File(file.clone()))
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The requests so far.
    pub fn log(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }

    /// The range starts that were asked for so far.
    pub fn starts(&self) -> Vec<Option<usize>> {
        self.log().iter().map(Request::start).collect()
    }
}

fn serve(
    stream: TcpStream,
    reply: &dyn Fn(&Request) -> Reply,
    log: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let Some(path) = first.split(' ').nth(1) else {
        return Ok(());
    };
    let mut headers = HashMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let request = {
        let mut log = log.lock().unwrap();
        let request = Request {
            nth: log.iter().filter(|before| before.path == path).count(),
            path: path.to_owned(),
            headers,
        };
        log.push(request.clone());
        request
    };
    let mut out = stream;
    match reply(&request) {
        Reply::File(file) => send_file(&mut out, &request, &file),
        Reply::Status(status, headers) => {
            let mut head = format!("HTTP/1.1 {status} Told So\r\nContent-Length: 0\r\n");
            for (name, value) in headers {
                head += &format!("{name}: {value}\r\n");
            }
            write!(out, "{head}Connection: close\r\n\r\n")
        }
        Reply::Page(kind, body) => write!(
            out,
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        ),
        Reply::Other(status, headers, body) => {
            let mut head = format!("HTTP/1.1 {status} Told So\r\n");
            if !headers.iter().any(|(name, _)| *name == "Content-Length") {
                head += &format!("Content-Length: {}\r\n", body.len());
            }
            for (name, value) in headers {
                head += &format!("{name}: {value}\r\n");
            }
            write!(out, "{head}Connection: close\r\n\r\n")?;
            out.write_all(&body)
        }
        Reply::Endless => {
            write!(
                out,
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
            )?;
            let chunk = [b'x'; 64 * 1024];
            loop {
                out.write_all(&chunk)?;
            }
        }
    }
}

fn send_file(out: &mut TcpStream, request: &Request, file: &File) -> std::io::Result<()> {
    let size = file.body.len();
    let if_range = request.headers.get("if-range").map(String::as_str);
    let same = if_range.is_none() || if_range == file.etag;
    let start = request.start().filter(|_| file.ranges && same);
    let mut head = match start {
        Some(start) if start >= size => {
            let head = "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n";
            return write!(out, "{head}Connection: close\r\n\r\n");
        }
        Some(start) => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {}-{}/{size}\r\n",
            start + file.shift,
            size - 1
        ),
        None => "HTTP/1.1 200 OK\r\n".to_owned(),
    };
    let body = &file.body[start.map_or(0, |start| start + file.shift)..];
    if let Some(etag) = file.etag {
        head += &format!("ETag: {etag}\r\n");
    }
    head += &format!("Content-Length: {}\r\nConnection: close\r\n", body.len());
    write!(out, "{head}\r\n")?;
    let end = file.cut.or(file.stall).unwrap_or(body.len());
    out.write_all(&body[..end.min(body.len())])?;
    if file.stall.is_some() {
        out.flush()?;
        std::thread::sleep(Duration::from_secs(30));
    }
    Ok(())
}
