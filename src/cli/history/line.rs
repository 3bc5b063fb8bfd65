//! One entry as text: what and how it ended, and behind it or on a second line, why. Rows come from
//! screens: nothing of them reaches a terminal that it could take for an order.

use std::fmt::Write as _;

use crate::cli::history::words::{length, moment, until};
use crate::core::event::StuckVerb;
use crate::core::history::entry::{
    Doubt, End, EndedBy, Entry, Happening, Hold, Login, Parking, Pause, ProofEnd, Reason, Refusal,
    Rejection, Release, Sessions, Start,
};
use crate::core::history::swap::{Canary, CanaryEnd, Cause, MoveEnd, Restore, Swap, SwapEnd};
use crate::harmless;
use crate::ids::SessionName;
use crate::moment::Wall;

/// A telephone's.
const COLUMNS: usize = 80;
const INDENT: &str = "    ";
/// Two account names of full length and our words.
const HEAD_CHARS_MAX: usize = 240;

struct Said {
    head: String,
    /// Belongs to the head, if there is room.
    tail: String,
    /// Why, the most important first; what finds no room is left out.
    why: Vec<String>,
}

/// Ends with a newline; at most two lines of our own.
pub fn text(entry: &Entry) -> String {
    let Said { head, tail, mut why } = said(entry);
    let mut head = harmless::line(&format!("{} {head}", moment(entry.at)), HEAD_CHARS_MAX);
    let tail = harmless::line(&tail, HEAD_CHARS_MAX);
    if width(&head) + 1 + width(&tail) > COLUMNS {
        why.insert(0, tail);
    } else if !tail.is_empty() {
        head = format!("{head} {tail}");
    }
    why.retain(|part| !part.is_empty());
    let Some((first, others)) = why.split_first() else { return format!("{head}\n") };
    let mut why = harmless::line(first, COLUMNS - INDENT.len());
    for other in others {
        let more = format!("{why} · {}", harmless::line(other, COLUMNS));
        if width(&more) > COLUMNS - INDENT.len() {
            break;
        }
        why = more;
    }
    let whole = format!("{head} · {why}");
    if width(&whole) <= COLUMNS {
        return format!("{whole}\n");
    }
    format!("{head}\n{INDENT}{why}\n")
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// The same for programs: one object, one line.
pub fn json(entry: &Entry) -> String {
    plain(&serde_json::to_string(entry).expect("words and numbers, which JSON can hold")) + "\n"
}

/// JSON that no terminal takes for an order; it says the same.
pub fn plain(json: &str) -> String {
    let mut safe = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        if harmless::is_plain(c) || c == '\n' {
            safe.push(c);
        } else {
            // Only inside of texts, where this says the same.
            write!(safe, "\\u{:04x}", u32::from(c)).expect("a String takes all");
        }
    }
    safe
}

fn said(entry: &Entry) -> Said {
    let at = entry.at;
    match &entry.what {
        Happening::Swap(swap) => of_swap(swap),
        Happening::Canary(canary) => of_canary(canary),
        Happening::Restore(restore) => of_restore(restore),
        Happening::Refusal(refusal) => of_refusal(refusal, at),
        Happening::Reset(reset) => {
            let head = format!("reset {} {}", reset.account, reset.window);
            Said { head, tail: proof(&reset.proof), why: Vec::new() }
        }
        Happening::Proof(proof) => {
            let by = proof.session.as_ref().map_or("a request", |session| session.as_str());
            Said::bare(format!("proven {} by {by}", proof.account))
        }
        Happening::Login(login) => of_login(login),
        Happening::Rejection(rejection) => of_rejection(rejection, at),
        Happening::Parking(parking) => of_parking(parking, at),
        Happening::Hold(hold) => of_hold("held", hold),
        Happening::Pin(pin) => of_hold("pinned", pin),
        Happening::Release(release) => of_release(release),
        Happening::Pause(pause) => of_pause(pause, at),
        Happening::Drain(Sessions { sessions }) => {
            Said::bare(format!("drained by the operator: {}", names(sessions)))
        }
        Happening::Resume(Sessions { sessions }) => {
            Said::bare(format!("resumed by the operator: {}", names(sessions)))
        }
        Happening::Link(link) => Said::bare(format!("link found on {}", link.account)),
        Happening::Start(start) => of_start(start),
        Happening::Stop => Said::bare("daemon stopped".to_owned()),
    }
}

impl Said {
    fn bare(head: String) -> Self {
        Self { head, tail: String::new(), why: Vec::new() }
    }
}

fn of_swap(swap: &Swap) -> Said {
    let mut head = format!("swap {} ", swap.op);
    if swap.from == swap.to {
        write!(head, "on {}", swap.to).expect("a String takes all");
    } else {
        write!(head, "{} → {}", swap.from, swap.to).expect("a String takes all");
    }
    head += match swap.outcome {
        SwapEnd::Open => " open",
        SwapEnd::Done => " done",
        SwapEnd::RolledBack => " rolled back",
        SwapEnd::Stuck => " stuck",
        SwapEnd::Cleared => " cleared",
        SwapEnd::Unknown => " end unknown",
    };
    if let Some(took_ms) = swap.took_ms {
        head = format!("{head} {}", length(took_ms));
    }
    let counts = swap.sessions;
    let counts: Vec<String> = [
        (counts.resumed, "resumed"),
        (counts.blocked, "blocked"),
        (counts.failed, "failed"),
        (counts.held, "held"),
        (counts.staying, "left"),
        (counts.dropped, "dropped"),
        (counts.open, "open"),
        (counts.unknown, "unknown"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    let tail = match counts.is_empty() {
        true => String::new(),
        false => format!("({})", counts.join(", ")),
    };
    Said { head, tail, why: why_swap(swap) }
}

/// What asks for somebody comes first.
fn why_swap(swap: &Swap) -> Vec<String> {
    let mut why = Vec::new();
    if let Some(stuck) = swap.stuck.last() {
        let ended = match stuck.ended_by {
            None => "stuck",
            Some(StuckVerb::Resume) => "stuck, resumed",
            Some(StuckVerb::Rollback) => "stuck, rolled back",
            Some(StuckVerb::Clear) => "stuck, cleared",
        };
        why.push(format!("{ended}: {}", stuck.reason));
    }
    if let Some(trouble) = &swap.trouble {
        why.push(format!("turned back: {trouble}"));
    }
    why.extend(
        swap.failed_targets
            .iter()
            .map(|Reason { account, reason }| format!("{account} failed: {reason}")),
    );
    if swap.restarts > 0 {
        why.push(format!("daemon started {} × meanwhile", swap.restarts));
    }
    why.push(match &swap.trigger {
        Cause::Refusal { row, .. } => format!("refused: \"{row}\""),
        Cause::AccountReturned => format!("{} came back", swap.to),
        Cause::Operator => "by the operator".to_owned(),
        Cause::LoginFailed { reason } => format!("login failed: {reason}"),
        Cause::SetAside => format!("{} was set aside", swap.from),
        Cause::Preempt { window, used_permille, .. } => {
            format!("{window} used to {}.{} %", used_permille / 10, used_permille % 10)
        }
        Cause::Preferred => format!("{} is preferred", swap.to),
    });
    why
}

fn of_canary(canary: &Canary) -> Said {
    let Canary { op, session, account, .. } = canary;
    let outcome = match canary.outcome {
        CanaryEnd::Open => "open",
        CanaryEnd::Proven => "proven",
        CanaryEnd::Refused => "refused",
        CanaryEnd::Failed => "failed",
        CanaryEnd::Unanswered => "not answered",
    };
    let took = canary.took_ms.map_or(String::new(), |took_ms| format!(" {}", length(took_ms)));
    Said {
        head: format!("canary {session} → {account} {outcome}{took}"),
        tail: format!("(swap {op})"),
        why: canary.reason.iter().cloned().collect(),
    }
}

fn of_restore(restore: &Restore) -> Said {
    let Restore { op, session, account, .. } = restore;
    let what = if restore.cut { "move" } else { "restore" };
    let outcome = match restore.outcome {
        MoveEnd::Open => "open",
        MoveEnd::Staying => "waits for its turn to end",
        MoveEnd::Resumed => "resumed",
        MoveEnd::Blocked => "blocked",
        MoveEnd::Failed => "failed",
        MoveEnd::Held => "held",
        MoveEnd::Dropped => "dropped",
        MoveEnd::Unknown => "end unknown",
    };
    let took = restore.took_ms.map_or(String::new(), |took_ms| format!(" {}", length(took_ms)));
    Said {
        head: format!("{what} {op} {session} → {account} {outcome}{took}"),
        tail: String::new(),
        why: restore.reason.iter().cloned().collect(),
    }
}

fn of_refusal(refusal: &Refusal, at: Wall) -> Said {
    let Refusal { account, window, row, evidence, .. } = refusal;
    let guess = if refusal.printed { "" } else { " (a guess)" };
    let lasts = lasted(&refusal.end)
        .unwrap_or_else(|| format!("until {}{guess}", until(refusal.until, at)));
    let by = refusal.session.as_ref().map_or("a request", |session| session.as_str());
    let mut why = vec![format!("\"{row}\""), format!("{evidence} of {by}")];
    if refusal.repeats > 0 {
        why.push(format!("{} × for longer", refusal.repeats));
    }
    Said { head: format!("refused {account} {window} {lasts}"), tail: String::new(), why }
}

fn of_login(login: &Login) -> Said {
    let head = match lasted(&login.end) {
        Some(lasted) => format!("login of {} failed {lasted}", login.account),
        None => format!("login of {} fails", login.account),
    };
    let mut why = vec![login.reason.clone()];
    if login.end.ended_by == Some(EndedBy::NewLogin) {
        why.push(proof(&login.proof));
    }
    Said { head, tail: String::new(), why }
}

fn of_rejection(rejection: &Rejection, at: Wall) -> Said {
    let lasts =
        lasted(&rejection.end).unwrap_or_else(|| format!("until {}", until(rejection.until, at)));
    Said {
        head: format!("rejected {} {lasts}", rejection.account),
        tail: String::new(),
        why: vec![rejection.reason.clone()],
    }
}

fn of_parking(parking: &Parking, at: Wall) -> Said {
    let head = match (parking.took_ms, parking.woken_by, parking.until) {
        (Some(took_ms), Some(op), _) => format!("parked {}, woken by swap {op}", length(took_ms)),
        (Some(took_ms), None, _) => format!("parked {} at most, end unknown", length(took_ms)),
        (None, _, Some(end)) => format!("parked until {}", until(end, at)),
        (None, _, None) => "parked until somebody mends an account".to_owned(),
    };
    let reasons: Vec<String> = parking
        .reasons
        .iter()
        .map(|Reason { account, reason }| format!("{account}: {reason}"))
        .collect();
    Said { head, tail: String::new(), why: vec![side_by_side(&reasons)] }
}

/// On one line: the short ones whole, the others with equal shares of what is left.
fn side_by_side(texts: &[String]) -> String {
    const BETWEEN: &str = "; ";
    let mut room = COLUMNS - INDENT.len() + BETWEEN.len();
    let mut by_width: Vec<usize> = (0..texts.len()).collect();
    by_width.sort_by_key(|place| width(&texts[*place]));
    let mut cut = vec![String::new(); texts.len()];
    for (done, place) in by_width.into_iter().enumerate() {
        let share = room / (texts.len() - done);
        cut[place] = harmless::line(&texts[place], share.saturating_sub(BETWEEN.len()));
        room = room.saturating_sub(width(&cut[place]) + BETWEEN.len());
    }
    cut.join(BETWEEN)
}

fn of_hold(word: &str, hold: &Hold) -> Said {
    let tail = lasted(&hold.end).unwrap_or_default();
    Said { head: format!("{word} {} by the operator", hold.account), tail, why: Vec::new() }
}

fn of_pause(pause: &Pause, at: Wall) -> Said {
    let tail = match (lasted(&pause.end), pause.until) {
        (Some(lasted), _) => lasted,
        (None, Some(end)) => format!("until {}", until(end, at)),
        (None, None) => String::new(),
    };
    Said { head: "paused by the operator".to_owned(), tail, why: Vec::new() }
}

fn names(sessions: &[SessionName]) -> String {
    sessions.iter().map(SessionName::as_str).collect::<Vec<_>>().join(", ")
}

fn of_release(release: &Release) -> Said {
    let mut head = format!("released {} by the operator", release.account);
    let kinds: Vec<&str> = release.ended.iter().map(|kind| kind.word()).collect();
    if !kinds.is_empty() {
        write!(head, " ({})", kinds.join(", ")).expect("a String takes all");
    }
    Said { head, tail: proof(&release.proof), why: Vec::new() }
}

fn of_start(start: &Start) -> Said {
    let head = format!("daemon started {} pid {}", start.version, start.pid);
    if !start.unclean {
        return Said::bare(head);
    }
    let mut why = vec!["not stopped cleanly before".to_owned()];
    why.extend(
        start
            .since_last_record_ms
            .map(|silent_ms| format!("{} after the last record", length(silent_ms))),
    );
    Said { head, tail: String::new(), why }
}

/// `None`: it goes on.
fn lasted(end: &End) -> Option<String> {
    let then = match end.ended_by? {
        EndedBy::Reset => ", then reset",
        EndedBy::NewLogin => ", then mended",
        EndedBy::Time => "",
        EndedBy::Release => ", then released",
        EndedBy::Pin => ", then another",
        EndedBy::Resume => ", then resumed",
        EndedBy::Unknown => return Some("(end unknown)".to_owned()),
    };
    Some(format!("for {}{then}", length(end.took_ms.unwrap_or(0))))
}

fn proof(doubt: &Doubt) -> String {
    let after = doubt.proof_after_ms.map_or(String::new(), length);
    let by = doubt.proof_session.as_ref().map_or("a request", |session| session.as_str());
    match doubt.proof {
        ProofEnd::Open => "not proven yet".to_owned(),
        ProofEnd::Proven => format!("proven after {after} by {by}"),
        ProofEnd::RefusedAgain => format!("refused again after {after}"),
        ProofEnd::LoginFailed => format!("login failed after {after}"),
        ProofEnd::Trusted => "could not be asked, taken on trust".to_owned(),
        ProofEnd::StillOut => "still out otherwise".to_owned(),
        ProofEnd::NotNeeded => String::new(),
    }
}
