//! The programs the demo talks to: tmux on its private socket, and the daemon's HTTP port.
//! Every call is bounded in time and size.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use crossbeam_channel::never;

use crate::clock::instant;

const TMUX_TIMEOUT: Duration = Duration::from_secs(5);
const TMUX_LOOK_INTERVAL: Duration = Duration::from_millis(1);
const HTTP_TIMEOUT: Duration = Duration::from_secs(2);
const HTTP_BYTES_MAX: u64 = 4 << 20;

/// The one place where the demo makes a command.
#[expect(
    clippy::disallowed_methods,
    reason = "the demo starts the daemon and tmux itself: it stands outside the house"
)]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// tmux, by its private socket.
#[derive(Debug, Clone)]
pub struct Tmux {
    pub socket: PathBuf,
}

/// One row of `list-panes -a`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pane {
    pub session: String,
    /// `%N`.
    pub id: String,
    pub leader_pid: i32,
}

impl Tmux {
    /// # Errors
    /// Names the remedy when tmux is not installed.
    pub fn check_installed() -> anyhow::Result<()> {
        match command("tmux").arg("-V").stdout(Stdio::null()).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => bail!("tmux -V ended with {status}"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                bail!(
                    "tmux is not on PATH; install it (for example: apt install tmux) and try again"
                )
            }
            Err(error) => Err(error).context("starting tmux -V"),
        }
    }

    /// Runs one tmux command line; what it printed, without the last newline.
    pub fn run(&self, args: &[&str]) -> anyhow::Result<String> {
        let mut child = command("tmux")
            .arg("-S")
            .arg(&self.socket)
            .args(args)
            .env_remove("TMUX")
            .env_remove("TMUX_PANE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting tmux")?;
        let deadline = instant() + TMUX_TIMEOUT;
        // What these commands print fits the pipe, so the child never waits for its reader.
        while child.try_wait()?.is_none() {
            if instant() >= deadline {
                child.kill()?;
                child.wait()?;
                bail!("tmux {args:?} took longer than {} s", TMUX_TIMEOUT.as_secs());
            }
            let _ = never::<()>().recv_timeout(TMUX_LOOK_INTERVAL);
        }
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "tmux {args:?}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.trim_end_matches('\n').to_owned())
    }

    /// All panes; none when no server answers.
    pub fn panes(&self) -> Vec<Pane> {
        let format = "#{session_name} #{pane_id} #{pane_pid}";
        let text = self.run(&["list-panes", "-a", "-F", format]).unwrap_or_default();
        text.lines().filter_map(pane).collect()
    }

    pub fn screen(&self, pane: &str) -> anyhow::Result<String> {
        self.run(&["capture-pane", "-p", "-J", "-t", pane])
    }

    /// One line and Enter for each pane, all in one command, as fast as tmux takes them.
    pub fn type_lines(&self, lines: &[(&str, &str)]) -> anyhow::Result<()> {
        let mut args = Vec::new();
        for (pane, line) in lines {
            args.extend(["send-keys", "-t", pane, "-l", "--", line, ";"]);
            args.extend(["send-keys", "-t", pane, "Enter", ";"]);
        }
        args.pop();
        self.run(&args).map(drop)
    }

    pub fn server_pid(&self) -> Option<i32> {
        self.run(&["display-message", "-p", "#{pid}"]).ok()?.parse().ok()
    }
}

fn pane(row: &str) -> Option<Pane> {
    let mut fields = row.split(' ');
    Some(Pane {
        session: fields.next()?.to_owned(),
        id: fields.next()?.to_owned(),
        leader_pid: fields.next()?.parse().ok()?,
    })
}

/// One GET; status code and body.
pub fn get(port: u16, path: &str) -> anyhow::Result<(u16, String)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, HTTP_TIMEOUT)?;
    stream.set_read_timeout(Some(HTTP_TIMEOUT))?;
    stream.set_write_timeout(Some(HTTP_TIMEOUT))?;
    // HTTP/1.0 so that the answer ends with the connection and is never chunked.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(HTTP_BYTES_MAX).read_to_end(&mut answer)?;
    parse_answer(&String::from_utf8_lossy(&answer))
        .with_context(|| format!("reading http://{address}{path}"))
}

fn parse_answer(answer: &str) -> anyhow::Result<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no end of head")?;
    let code = head.split(' ').nth(1).context("the answer has no status")?;
    Ok((code.parse().context("the status is no number")?, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_code_and_a_body() {
        let answer = "HTTP/1.0 503 Service Unavailable\r\nA: b\r\n\r\n{\"ok\":false}\r\n\r\nx";
        let body = "{\"ok\":false}\r\n\r\nx".to_owned();
        assert_eq!(parse_answer(answer).unwrap(), (503, body));
        for bad in ["", "HTTP/1.0 200 OK\r\n", "x\r\n\r\n", "HTTP/1.0 abc OK\r\n\r\n"] {
            assert!(parse_answer(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_pane_row_has_three_fields() {
        let expected =
            Pane { session: "demo-auto-1".to_owned(), id: "%7".to_owned(), leader_pid: 42 };
        assert_eq!(pane("demo-auto-1 %7 42"), Some(expected));
        assert_eq!(pane("demo-auto-1 %7"), None);
    }
}
