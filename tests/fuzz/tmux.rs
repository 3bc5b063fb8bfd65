//! What a tmux control client prints, whatever an agent prints in its pane; and what goes to tmux.

use claude_failover::quota::dialog_keys::{self, Answer, Keys, Spot, Step};
use claude_failover::quota::fold::fold;
use claude_failover::terminal::encode::{
    PASTE_BYTES_MAX, PasteLine, directory, message, quote, unvis,
};
use claude_failover::terminal::protocol::{BLOCK_BYTES_MAX, Block, Item, LINE_BYTES_MAX, Parser};

use crate::fuzz::target::{cuts, hash};

/// What a client of 3.3a printed, one stream each, between lines of `===`.
const STREAMS: &str = include_str!("corpus/control.txt");

pub const WORDS: &[&str] = &[
    "%begin 1795361004 7 1\n",
    "%end 1795361004 7 1\n",
    "%error 1795361004 7 1\n",
    "%begin 1795361004 8 0\n",
    "%end 1795361004 8 0\n",
    "%begin ",
    "%end ",
    "%error ",
    "%begin 1 2\n",
    "%begin 1 2 3 4\n",
    "%begin -1 2 1\n",
    "%output %1 ",
    "%extended-output %1 0 : ",
    "%exit\n",
    "%exit server exited unexpectedly\n",
    "%session-changed $0 a\n",
    "%window-add @1\n",
    "%layout-change @1 x y z\n",
    "\n",
    "\r\n",
    "\\012",
    "\\015",
    "\\033[31m",
    "\\134",
    "\\400",
    "\\n",
    "\\0",
    "\\",
    "\0",
    "\u{1b}]0;x\u{7}",
    "\u{1b}[201~",
    "\u{9b}",
    ";",
    "#",
    "##",
    "#[",
    "#{pid}",
    "#(id)",
    "%%",
    "$HOME",
    "\"",
    "'",
    "}",
    "❯ 1. Yes, I trust this folder",
    "Accessing workspace:",
    "Enter to confirm · Esc to cancel",
];

pub fn corpus() -> Vec<Vec<u8>> {
    STREAMS.split("===\n").map(|text| text.as_bytes().to_vec()).collect()
}

pub fn read(input: &[u8]) -> u64 {
    let items = Parser::default().feed(input);
    let mut parser = Parser::default();
    let again: Vec<Item> = cuts(input).flat_map(|piece| parser.feed(piece)).collect();
    assert_eq!(again, items, "cut elsewhere");
    assert!(input.len() < LINE_BYTES_MAX.min(BLOCK_BYTES_MAX), "nothing was left out");
    printed(input);
    spoken(input);
    typed(input);
    let kinds = items.iter().map(|item| match item {
        Item::Block(block) => (block.ok, block.ours, block.text.len().min(2)),
        Item::Exit(reason) => (reason.is_empty(), true, 3),
    });
    hash(&kinds.take(4).collect::<Vec<_>>())
}

/// A pane that shows these bytes: its notice and its capture are each what tmux makes of them, and
/// the answers around them are found.
fn printed(pane: &[u8]) {
    let mut stream = b"%output %1 ".to_vec();
    stream.extend(vis(pane));
    stream.extend(b"\n%begin 1795361004 7 1\n");
    stream.extend(vis(pane));
    stream.extend(b"\n%end 1795361004 7 1\n%begin 1795361004 8 1\nnext\n%end 1795361004 8 1\n");
    let items = Parser::default().feed(&stream);
    let [Item::Block(shown), Item::Block(next)] = &*items else { panic!("{items:?}") };
    assert_eq!(unvis(&shown.text), pane, "what the pane shows");
    assert_eq!((next.ok, &*next.text), (true, &b"next"[..]));
}

/// As `show-buffer` writes it to a control client: a byte that is none of a text in octal.
fn vis(bytes: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\\' => encoded.extend(b"\\\\"),
            0..=31 | 127 => encoded.extend(format!("\\{byte:03o}").bytes()),
            byte => encoded.push(byte),
        }
    }
    encoded
}

/// An answer of these lines, as they are: all of it is its text, whatever it looks like, but the very
/// line that ends it.
fn spoken(lines: &[u8]) {
    const TAG: &str = "1795361005 4711 1";
    let ends = [format!("%end {TAG}"), format!("%error {TAG}")];
    let is_end = |line: &&[u8]| ends.iter().any(|end| end.as_bytes() == *line);
    let rows: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').filter(|row| !is_end(row)).collect();
    let text = rows.join(&b'\n');
    let mut stream = format!("%begin {TAG}\n").into_bytes();
    stream.extend(&text);
    stream.extend(format!("\n%end {TAG}\n").bytes());
    let items = Parser::default().feed(&stream);
    assert_eq!(items, [Item::Block(Block { ok: true, ours: true, text })]);
}

/// On its way to tmux a text is one argument, one message, one line, and never syntax.
fn typed(text: &[u8]) {
    let argument = quote(text);
    let inner = argument.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
    let is_dull = |byte: u8| byte.is_ascii_alphanumeric() || b" .,:/_-\\".contains(&byte);
    assert!(inner.bytes().all(is_dull), "{argument}");
    let kept: Vec<u8> = text.iter().copied().filter(|byte| *byte != 0).collect();
    assert_eq!(unvis(inner.as_bytes()), kept, "the argument");

    let formats = |text: &[u8]| {
        let runs = text.split(|byte| *byte != b'#').map(<[u8]>::len);
        let mut at = 0;
        let wrong = runs.filter(|run| {
            at += run + 1;
            run % 2 == 1 && text.get(at - 1) != Some(&b'[')
        });
        wrong.count()
    };
    assert_eq!(formats(&directory(text)), 0, "a directory is no format");
    let lossy = String::from_utf8_lossy(text);
    let message = message(&lossy);
    assert_eq!(formats(message.as_bytes()), 0, "a message is no format");
    assert!(!message.contains("#[") && !message.contains(char::is_control), "{message:?}");
    assert_eq!(message.replace("%%", "").find('%'), None, "{message:?}");
    if let Ok(line) = PasteLine::new(&lossy) {
        let line = line.as_str();
        assert!(line.chars().all(|c| c == '\t' || !c.is_control()), "{line:?}");
        assert!(line.len() <= PASTE_BYTES_MAX && !line.trim().is_empty());
        assert_eq!(PasteLine::new(line).unwrap().as_str(), line, "typed twice");
    }
}

/// A screen with a dialog: only one that we know is answered, and only with what stands there.
pub fn read_dialog(input: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(input);
    match dialog_keys::answer(&text) {
        Answer::Gone => 0,
        Answer::Left { dialog, rows } => {
            assert!(rows.len() <= 12, "{rows:?}");
            for row in &rows {
                assert!(row.chars().count() <= 200 && !row.contains(char::is_control), "{row:?}");
            }
            hash(&(format!("{dialog:?}"), rows.len().min(3)))
        }
        Answer::Press(keys) => {
            pressed(&text, &keys);
            hash(&(format!("{:?}", keys.dialog), keys.steps.len(), keys.from == keys.to))
        }
    }
}

/// It leads from where the cursor stands to an answer that may be given.
fn pressed(text: &str, keys: &Keys) {
    const WANTED: [&str; 4] =
        ["yes, i trust this folder", "yes, proceed", "yes, i accept", "not now"];
    let [from, to] = [&keys.from, &keys.to].map(|spot| {
        let (Spot::Cursor(row) | Spot::Row(row)) = spot;
        assert!(!row.contains(char::is_control), "{row:?}");
        row
    });
    let lines: Vec<_> = text.lines().map(|line| fold(line).text).collect();
    let at = |row: &str| lines.iter().rposition(|line| line.contains(row)).expect("a row");
    match *keys.steps {
        [] => assert_eq!(keys.from, keys.to),
        [Step::Down] => assert!(at(from) < at(to), "{keys:?}"),
        [Step::Up] => assert!(at(to) < at(from), "{keys:?}"),
        _ => panic!("{keys:?}"),
    }
    if !keys.steps.is_empty() {
        let letters = to.trim_start_matches(|c: char| !c.is_alphabetic()).to_lowercase();
        let first = letters.split(' ').next().unwrap();
        assert!(WANTED.iter().any(|wanted| wanted.starts_with(first)), "{keys:?}");
    }
}
