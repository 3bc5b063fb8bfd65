//! How soon `/health`, the control socket and the deciding thread answer while 200 idle or hostile
//! connections are open: `cargo bench --bench health`. The built daemon, a tmux server and directories of its own.

#![allow(clippy::disallowed_methods, reason = "measures how long things take")]
#![allow(clippy::unwrap_used, reason = "a failed step ends the measurement")]

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const HOSTILE: usize = 200;
const HOSTS: usize = 4;
const ASKED: usize = 3_000;
const WAIT: Duration = Duration::from_secs(20);
/// Ways to be hostile; the first is to say nothing.
const KINDS: usize = 9;
/// Between two looks at all hostile connections.
const TURN: Duration = Duration::from_millis(10);

fn main() {
    let house = House::new();
    house.measure("nobody else");
    for (what, kinds) in [("idle", 1), ("hostile", KINDS)] {
        let (stop, turned_away) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let siege = (0..HOSTS).map(|host| {
                let (address, stop, turned_away) = (house.address, &stop, &turned_away);
                scope.spawn(move || besiege(address, host, kinds, stop, turned_away))
            });
            let siege: Vec<_> = siege.collect();
            house.measure(&format!("{HOSTILE} {what} connections open"));
            stop.store(true, Ordering::Relaxed);
            siege.into_iter().for_each(|host| host.join().unwrap());
        });
        println!("  that were sent away and came again: {}", turned_away.into_inner());
    }
}

struct House {
    dir: tempfile::TempDir,
    daemon: Child,
    address: SocketAddr,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("cf-").tempdir().unwrap();
        for name in ["home", "a", "b", "shared", "shared/projects", "work", "tmp"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        symlink(dir.path().join("a"), dir.path().join("link")).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let env = if rustix::process::geteuid().is_root() { "{IS_SANDBOX: \"1\"}" } else { "{}" };
        let config = format!(
            "link: DIR/link\naccounts: [{{name: a, home: DIR/a}}, {{name: b, home: DIR/b}}]\n\
             pool:\n  shared_projects_dir: DIR/shared/projects\n  \
             dedicated: [{{name: site, project: DIR/work}}]\n\
             agent: {{command: [/bin/sleep, \"1000\"], env: {env}}}\n\
             tmux: {{socket: DIR/tmux.sock, start_server: true}}\n\
             http: {{listen: \"{address}\"}}\nstate_dir: DIR/state\nruntime_dir: DIR/run\n"
        );
        let file = dir.path().join("config.yaml");
        fs::write(&file, config.replace("DIR", dir.path().to_str().unwrap())).unwrap();
        let mut daemon = Command::new(env!("CARGO_BIN_EXE_claude-failover"));
        daemon.args(["run", "--config"]).arg(&file).env_clear().current_dir(dir.path());
        daemon.env("PATH", std::env::var_os("PATH").unwrap()).env("SHELL", "/bin/sh");
        daemon.env("HOME", dir.path().join("home")).env("TMUX_TMPDIR", dir.path().join("tmp"));
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let daemon = daemon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let house = Self { dir, daemon, address };
        let end = Instant::now() + WAIT;
        while house.health().is_none() {
            assert!(Instant::now() < end, "the daemon is not well");
            std::thread::sleep(TURN);
        }
        house
    }

    /// How long it took; `None` when it is not well.
    fn health(&self) -> Option<Duration> {
        let begun = Instant::now();
        let mut stream = TcpStream::connect_timeout(&self.address, WAIT).ok()?;
        stream.set_read_timeout(Some(WAIT)).unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.starts_with("HTTP/1.1 200 ").then(|| begun.elapsed())
    }

    /// One verb, answered.
    fn ask(&self, verb: &str) -> Option<Duration> {
        let begun = Instant::now();
        let mut stream = UnixStream::connect(self.dir.path().join("run/control.sock")).ok()?;
        stream.set_read_timeout(Some(WAIT)).unwrap();
        stream.write_all(format!("{{\"verb\":\"{verb}\"}}\n").as_bytes()).ok()?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).ok()?;
        answer.contains("\"ok\":").then(|| begun.elapsed())
    }

    fn measure(&self, beside: &str) {
        println!("{beside}:");
        // The first wave is let in.
        let settled = Instant::now() + Duration::from_secs(1);
        while Instant::now() < settled {
            self.health().unwrap();
        }
        tell("GET /health", || self.health());
        tell("control: status", || self.ask("status"));
        tell("control: resume (by the deciding thread)", || self.ask("resume"));
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let mut tmux = Command::new("tmux");
        tmux.arg("-S").arg(self.dir.path().join("tmux.sock")).arg("kill-server");
        let _ = tmux.env_remove("TMUX").output();
    }
}

fn tell(what: &str, ask: impl Fn() -> Option<Duration>) {
    let mut took: Vec<Duration> = (0..ASKED).map(|_| ask().expect("an answer")).collect();
    took.sort_unstable();
    let at = |share: usize| took[(took.len() - 1) * share / 1000];
    println!(
        "  {what}: {} answers, median {:.2?}, p99 {:.2?}, longest {:.2?}",
        took.len(),
        at(500),
        at(990),
        at(1000)
    );
}

/// Holds its part of the connections, and comes again at once when it is sent away.
fn besiege(
    address: SocketAddr,
    host: usize,
    kinds: usize,
    stop: &AtomicBool,
    turned_away: &AtomicUsize,
) {
    let part = HOSTILE / HOSTS;
    let come = |at: usize| come(address, (host + at) % kinds);
    let mut clients: Vec<TcpStream> = (0..part).map(come).collect();
    while !stop.load(Ordering::Relaxed) {
        for (at, client) in clients.iter_mut().enumerate() {
            // A third of them drips a byte a turn.
            let drips = kinds > 1 && at % 3 == 0;
            if is_closed(client) || drips && client.write_all(b"G").is_err() {
                *client = come(at);
                turned_away.fetch_add(1, Ordering::Relaxed);
            }
        }
        std::thread::sleep(TURN);
    }
}

fn come(address: SocketAddr, kind: usize) -> TcpStream {
    let mut client = TcpStream::connect_timeout(&address, WAIT).unwrap();
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n", "x".repeat(9_000));
    let words: &[u8] = match kind {
        0 => b"",
        1 => b"GET /health HTTP/1.1\r\nHost: loc",
        2 => long.as_bytes(),
        3 => b"GET /status HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        4 => b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
        5 => b"POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n{",
        // Never read.
        6 => b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        7 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        _ => b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health HTTP/1.1\r\n",
    };
    // It may be sent away before it has said all.
    let _ = client.write_all(words);
    client
}

/// A client that was answered and does not read has not been sent away.
fn is_closed(client: &mut TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    let closed = match client.peek(&mut [0; 1]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    };
    client.set_nonblocking(false).unwrap();
    closed
}
