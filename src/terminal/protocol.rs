//! What a tmux control client says, bytes → blocks. Pure; safe against hostile text.
//!
//! An answer stands between `%begin TIME NUM FLAGS` and `%end` or `%error` with the very same
//! tag. A line inside that merely looks like an end is text. Notifications are skipped.

/// A longer line keeps its beginning. A screen of 200×50 is 40 kB at most after encoding.
pub const LINE_BYTES_MAX: usize = 4 << 20;
/// A longer answer keeps its beginning. 1 000 panes in a listing are 100 kB.
pub const BLOCK_BYTES_MAX: usize = 8 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Block(Block),
    /// The last line of a client, with its reason when it gave one.
    Exit(String),
}

/// The answer to one tmux command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// False for `%error`; the text is the reason then.
    pub ok: bool,
    /// The command came through this client's input, not from its command line.
    pub ours: bool,
    /// Its lines, without the last newline.
    pub text: Vec<u8>,
}

/// The blocks that answered one exchange.
pub type Reply = Vec<Block>;

impl Block {
    pub fn lossy(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }
}

/// The text of the first block; empty when there is none.
pub fn first_text(reply: &[Block]) -> String {
    reply.first().map(Block::lossy).unwrap_or_default()
}

#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    /// `TIME NUM FLAGS`, by letter.
    tag: Vec<u8>,
    lines: usize,
    text: Vec<u8>,
}

impl Parser {
    /// Takes any cut of the stream; gives what became complete with it.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Vec<Item> {
        let mut items = Vec::new();
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.keep(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.line);
            items.extend(self.line(&line));
        }
        self.keep(bytes);
        items
    }

    fn keep(&mut self, part: &[u8]) {
        let room = LINE_BYTES_MAX - self.line.len();
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn line(&mut self, line: &[u8]) -> Option<Item> {
        let Some(open) = &mut self.open else {
            self.open = line.strip_prefix(b"%begin ").and_then(Open::new);
            return exit(line);
        };
        let ok = match (line.strip_prefix(b"%end "), line.strip_prefix(b"%error ")) {
            (Some(tag), _) if tag == open.tag => true,
            (_, Some(tag)) if tag == open.tag => false,
            _ => {
                open.add(line);
                return None;
            }
        };
        let Open { tag, text, .. } = self.open.take()?;
        let ours = tag.last() == Some(&b'1');
        Some(Item::Block(Block { ok, ours, text }))
    }
}

impl Open {
    fn new(tag: &[u8]) -> Option<Self> {
        let fields: Vec<&[u8]> = tag.split(|&byte| byte == b' ').collect();
        let numbers =
            fields.iter().all(|field| !field.is_empty() && field.iter().all(u8::is_ascii_digit));
        (fields.len() == 3 && numbers).then(|| Self {
            tag: tag.to_vec(),
            lines: 0,
            text: Vec::new(),
        })
    }

    fn add(&mut self, line: &[u8]) {
        if self.lines > 0 && self.text.len() < BLOCK_BYTES_MAX {
            self.text.push(b'\n');
        }
        self.lines += 1;
        let room = BLOCK_BYTES_MAX - self.text.len();
        self.text.extend_from_slice(&line[..line.len().min(room)]);
    }
}

fn exit(line: &[u8]) -> Option<Item> {
    let reason = line.strip_prefix(b"%exit")?;
    Some(Item::Exit(String::from_utf8_lossy(reason).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> Item {
        Item::Block(Block { ok: true, ours: true, text: text.into() })
    }

    #[test]
    fn blocks_are_found_between_notifications() {
        let stream = b"%begin 17 9 0\n%end 17 9 0\n%window-add @1\n%begin 17 10 1\na\n\nb\n\
            %end 17 10 1\n%output %1 %end 17 11 1\n%begin 17 11 1\nno such thing\n%error 17 11 1\n\
            %exit server exited unexpectedly\n";
        let expected = vec![
            Item::Block(Block { ok: true, ours: false, text: Vec::new() }),
            block("a\n\nb"),
            Item::Block(Block { ok: false, ours: true, text: b"no such thing".to_vec() }),
            Item::Exit("server exited unexpectedly".to_owned()),
        ];
        assert_eq!(Parser::default().feed(stream), expected);

        let mut cut = Parser::default();
        let items: Vec<Item> = stream.iter().flat_map(|&byte| cut.feed(&[byte])).collect();
        assert_eq!(items, expected);
    }

    #[test]
    fn text_that_looks_like_an_end_stays_text() {
        for spoof in [
            "%end 17 10 0",
            "%end 17 11 1",
            "%end",
            "%end 17 10 1 ",
            " %end 17 10 1",
            "%error 17 9 1",
            "%begin 17 11 1",
            "%exit",
            "%end 1 1 1",
        ] {
            let stream = format!("%begin 17 10 1\n{spoof}\n%end 17 10 1\n");
            assert_eq!(Parser::default().feed(stream.as_bytes()), vec![block(spoof)], "{spoof:?}");
        }
    }

    #[test]
    fn a_malformed_begin_opens_nothing() {
        for line in ["%begin", "%begin 1 2", "%begin 1 2 3 4", "%begin a 2 1", "%begin  2 1"] {
            let stream = format!("{line}\n%exit\n");
            assert_eq!(
                Parser::default().feed(stream.as_bytes()),
                vec![Item::Exit(String::new())],
                "{line:?}"
            );
        }
    }

    #[test]
    fn an_endless_line_and_an_endless_block_keep_their_beginning() {
        let mut parser = Parser::default();
        parser.feed(b"%begin 1 1 1\n");
        let long = vec![b'x'; 1 << 20];
        for _ in 0..20 {
            for _ in 0..5 {
                parser.feed(&long);
            }
            assert!(parser.line.len() <= LINE_BYTES_MAX);
            parser.feed(b"\n");
        }
        let items = parser.feed(b"%end 1 1 1\n");
        let [Item::Block(block)] = items.as_slice() else {
            panic!("{} items", items.len());
        };
        assert_eq!(block.text.len(), BLOCK_BYTES_MAX);
    }
}
