//! The terminal of the pane: as it was before the agent, whatever the agent did to it.

use std::io::{self, Write};

use rustix::termios::{OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcsetattr};

/// Leaves what a client may have switched on, and keeps every row that it printed.
///
/// `?1047l` and not `?1049l`: tmux obeys the cursor part of the latter outside the alternate
/// screen too, and the next line would overwrite the `--resume` row of a client that had tidied
/// up after itself.
const RESET: &str = concat!(
    "\x1b[?2026l", // synchronized update
    "\x1b[?1047l", // alternate screen
    "\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l\x1b[?1015l", // mouse
    "\x1b[?1004l", // focus reports
    "\x1b[?2004l", // bracketed paste
    "\x1b[<u\x1b[>4m", // extended keys
    "\x1b[?1l\x1b>", // cursor keys, keypad
    "\x1b[?7h\x1b[4l", // wrap, insert
    "\x1b(B\x0f",  // character set
    "\x1b[0m\x1b[?25h", // colours, cursor
    "\x1b7\x1b[r\x1b8", // scroll region; it moves the cursor, which is put back
);

/// A row below everything that the client has painted. Before that, origin mode is left: it is not part
/// of [`RESET`] because it moves the cursor to the first row, over the message of a client that ended
/// at once, and what is saved with the cursor holds that very mode. With all rows in the scroll region
/// it shows nowhere.
const BELOW: &str = "\x1b[?6l\x1b[9999;1H\r\n";

/// The modes of our terminal; `None` when we have none.
pub struct Saved(Option<Termios>);

pub fn save() -> Saved {
    Saved(tcgetattr(io::stdin()).ok())
}

/// Puts everything back. What was typed for the agent and not read by it is dropped: the shell
/// that comes next would run it.
pub fn restore(saved: &Saved) {
    let Saved(Some(modes)) = saved else { return };
    // `Now` and not `Drain`: output may be held up for as long as somebody scrolls.
    let _ = tcsetattr(io::stdin(), OptionalActions::Now, modes);
    let _ = tcflush(io::stdin(), QueueSelector::IFlush);
    print(RESET);
}

/// For a client that may have left the cursor anywhere. One that ended at once, with a message, has
/// it under that message, which must stay on the screen: the daemon reads it there.
pub fn go_below() {
    print(BELOW);
}

/// One line of ours.
pub fn say(text: &str) {
    print(&format!("{text}\r\n"));
}

/// A closed terminal is no reason to fail: the shell, or its absence, says it all.
fn print(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
