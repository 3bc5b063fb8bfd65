//! A server on the loopback that takes requests, writes them down, and answers as it is told.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::support::eventually;

/// For whatever a loaded machine must get done.
pub const SOON: Duration = Duration::from_secs(30);

/// How it behaves towards the next requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manner {
    /// Status, further header lines, body.
    Answer(u16, &'static str, &'static str),
    /// Takes the request and never says anything.
    Hang,
    /// Takes half of the request and goes.
    CloseEarly,
    /// Takes the whole request and goes without an answer.
    CloseAfter,
}

pub const OK: Manner = Manner::Answer(200, "", "{\"ok\":true}");

#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Its thread ends with the process of the tests.
pub struct Server {
    port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    manner: Manner,
    requests: Vec<Request>,
    /// Connections that are kept open without a word.
    hung: Vec<TcpStream>,
}

impl Server {
    pub fn new(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State { manner, requests: Vec::new(), hung: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = shared.clone();
                std::thread::spawn(move || serve(stream.unwrap(), &shared));
            }
        });
        Self { port, state }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn set(&self, manner: Manner) {
        self.state.lock().unwrap().manner = manner;
    }

    /// Says this to all whom it has let hang.
    pub fn answer_hung(&self, answer: &str) {
        for mut stream in std::mem::take(&mut self.state.lock().unwrap().hung) {
            stream.write_all(answer.as_bytes()).unwrap();
        }
    }

    /// Those that were answered, or whose manner it was not to.
    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    #[track_caller]
    pub fn await_requests(&self, count: usize) -> Vec<Request> {
        eventually(&format!("{count} requests have come"), SOON, || {
            let requests = self.requests();
            (requests.len() >= count).then_some(requests)
        })
    }
}

fn serve(mut stream: TcpStream, shared: &Mutex<State>) {
    stream.set_read_timeout(Some(SOON)).unwrap();
    let manner = shared.lock().unwrap().manner.clone();
    if manner == Manner::CloseEarly {
        let mut some = [0; 20];
        let _ = stream.read(&mut some);
        let request = Request { path: String::new(), headers: Vec::new(), body: String::new() };
        shared.lock().unwrap().requests.push(request);
        return;
    }
    let Some(request) = read(&stream) else { return };
    let mut state = shared.lock().unwrap();
    state.requests.push(request);
    match manner {
        Manner::Answer(status, headers, body) => {
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status} Word\r\n{headers}Content-Length: {length}\r\n\
                 Connection: close\r\n\r\n{body}"
            );
        }
        Manner::Hang => state.hung.push(stream),
        Manner::CloseEarly | Manner::CloseAfter => {}
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { path, headers, body: String::from_utf8(body).ok()? })
}
