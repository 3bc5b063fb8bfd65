//! The page in a real browser, headless, at the widths of a telephone and of a desk, by day and by
//! night: nothing of anybody's texts is more than text, everything can be read, and it says so when
//! the daemon is gone. `PAGE_PICTURES=<dir>` keeps what it looked like, PNGs in base64.

pub mod browser;
pub mod scene;

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use claude_failover::api::answer::HostPolicy;
use claude_failover::api::http::Server;
use claude_failover::api::page::{PAGE, POLICY};
use claude_failover::clock::Clock;
use claude_failover::core::event::Event;
use claude_failover::core::history::History;
use claude_failover::core::record::Record;
use claude_failover::snapshot::SnapshotCell;
use claude_failover::snapshot::events::Events;
use crossbeam_channel::{Receiver, unbounded};
use serde_json::{Value, json};

use crate::page::browser::Browser;
use crate::page::scene::{Scene, poison, snapshot};
use crate::support::eventually;

/// For a page to show what was published: it asks every two seconds.
const SHOWN: Duration = Duration::from_secs(20);

struct Daemon {
    server: Server,
    _events: Receiver<Event>,
    dir: tempfile::TempDir,
}

impl Daemon {
    fn serve(listen: SocketAddr, cell: &SnapshotCell) -> Self {
        let dir = tempfile::Builder::new().prefix("cf-").tempdir().unwrap();
        let (sender, events) = unbounded();
        let server =
            Server::spawn(listen, HostPolicy::Local, dir.path(), cell.clone(), &sender).unwrap();
        Self { server, _events: events, dir }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.server.local_addr())
    }
}

fn scene() -> Scene {
    Scene { now: Clock::start().wall() }
}

fn anywhere() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

#[track_caller]
pub fn await_text(browser: &mut Browser, text: &str) {
    let script = format!("!!document.body?.innerText.includes({})", json!(text));
    eventually(&format!("the page says {text:?}"), SHOWN, || {
        (browser.evaluate(&script) == true).then_some(())
    });
}

fn hash(part: &str) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-binary"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = openssl.spawn().expect("openssl is needed: apt-get install openssl");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), part.as_bytes()).unwrap();
    let digest = child.wait_with_output().unwrap().stdout;
    assert_eq!(digest.len(), 32);
    format!("'sha256-{}'", base64(&digest))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = |three: &[u8]| {
        let number =
            (0..3).fold(0u32, |sum, at| sum << 8 | u32::from(*three.get(at).unwrap_or(&0)));
        let digit =
            move |place: u32| char::from(DIGITS[(number >> (18 - 6 * place)) as usize % 64]);
        let count = u32::try_from(three.len()).unwrap() + 1;
        (0..4).map(move |place| if place < count { digit(place) } else { '=' }).collect::<Vec<_>>()
    };
    bytes.chunks(3).flat_map(digits).collect()
}

#[test]
fn the_policy_names_the_script_and_the_style_that_are_in_the_page() {
    for (directive, before, after) in [
        ("script-src ", "<script type=\"module\">", "</script>"),
        ("style-src ", "<style>", "</style>"),
    ] {
        let (_, rest) = PAGE.split_once(before).unwrap();
        let (part, rest) = rest.split_once(after).unwrap();
        assert!(!rest.contains(before), "one {before} and no more");
        let wanted = format!("{directive}{}", hash(part));
        assert!(POLICY.contains(&wanted), "src/api/page/mod.rs must say: {wanted}");
    }
    for word in [
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "Function(",
        "style=",
        "onclick",
    ] {
        assert!(!PAGE.contains(word), "{word} has no place in the page");
    }
}

/// What a hostile title tries: to run, to close what it stands in, to load something.
const POISON: &str = "\"'><script>document.title='run'</script><img src=x onerror=\"document.title='run'\">\
    <b>bold</b>${document.title='run'}javascript:&amp;";

#[test]
fn texts_of_anybody_are_text_and_nothing_else() {
    let scene = scene();
    let mut status = scene.swapping();
    poison(&mut status, "", POISON);
    let mut events = scene.night();
    for entry in &mut events.entries {
        use claude_failover::core::history::entry::Happening;
        let entry = std::sync::Arc::make_mut(entry);
        match &mut entry.what {
            Happening::Refusal(refusal) => refusal.row = POISON.to_owned(),
            Happening::Login(login) => login.reason = POISON.to_owned(),
            Happening::Start(start) => start.version = POISON.to_owned(),
            Happening::Parking(parking) => parking.reasons[0].reason = POISON.to_owned(),
            Happening::Swap(swap) => swap.trouble = Some(POISON.to_owned()),
            _ => {}
        }
    }
    let cell = SnapshotCell::new(snapshot(status, events));
    let daemon = Daemon::serve(anywhere(), &cell);
    let mut browser = Browser::start();
    browser.look(390, "light");
    browser.open(&daemon.url());
    await_text(&mut browser, "Mend the tests of the parser");
    await_text(&mut browser, "turned back");
    let count =
        "[...document.body.innerText.matchAll(\"<script>document.title='run'</script>\")].length";
    let shown = browser.evaluate(count).as_u64().unwrap();
    assert!(shown >= 20, "as text it stands where it stood: {shown}");
    let made = "document.querySelectorAll('main script, main img, main b, header b, #banner b, main [onerror]').length";
    assert_eq!(browser.evaluate(made), 0);
    assert_eq!(browser.evaluate("document.title"), "swapping · claude-failover");
    assert_eq!(browser.evaluate(OVERFLOW_PX), 0);
    assert_eq!(browser.complaints(), [""; 0]);
    // That it would have been heard: what the policy forbids is refused, and complained of.
    browser.evaluate("(() => { const s = document.createElement('style'); s.textContent = 'a{}'; document.head.append(s); })()");
    eventually("the policy is in force", SHOWN, || {
        browser.evaluate("1");
        browser
            .complaints()
            .iter()
            .any(|said| said.contains("Content Security Policy"))
            .then_some(())
    });
    assert!(daemon.dir.path().exists());
}

/// Texts that cannot be read: their contrast with what is behind them is below 4.5.
const FAINT: &str = r"(() => {
    const rgb = (text) => (text.match(/[\d.]+/g) ?? []).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
        .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, place) => sum + c * [0.2126, 0.7152, 0.0722][place], 0);
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = rgb(getComputedStyle(at).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const faint = [];
    let looked = 0;
    for (const element of document.body.querySelectorAll('*')) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!own || !element.checkVisibility() || element.closest('noscript, script')) continue;
        looked += 1;
        const [a, b] = [light(rgb(getComputedStyle(element).color)), light(behind(element))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) faint.push(`${element.textContent.slice(0, 40)}: ${contrast.toFixed(2)}`);
    }
    return { looked, faint };
})()";

/// What stands out to the right of the window.
const WIDE: &str = "(() => [...document.body.querySelectorAll('*')]
    .filter((it) => it.checkVisibility() && it.getBoundingClientRect().right > innerWidth + 0.5)
    .map((it) => it.outerHTML.slice(0, 80)))()";

pub const OVERFLOW_PX: &str =
    "document.documentElement.scrollWidth - document.documentElement.clientWidth";

fn keep_picture(browser: &mut Browser, name: &str) {
    let Some(dir) = std::env::var_os("PAGE_PICTURES") else { return };
    let path = std::path::Path::new(&dir).join(format!("{name}.png.base64"));
    std::fs::write(path, browser.picture()).unwrap();
}

#[test]
fn each_state_can_be_read_at_every_width_by_day_and_by_night() {
    let scene = scene();
    let cell = SnapshotCell::new(snapshot(scene.normal(), scene.night()));
    let daemon = Daemon::serve(anywhere(), &cell);
    let (address, url) = (daemon.server.local_addr(), daemon.url());
    let mut daemon = Some(daemon);
    let mut browser = Browser::start();
    browser.look(390, "light");
    browser.open(&url);
    for (state, status, sign) in [
        ("normal", Some(scene.normal()), "no other can be taken"),
        ("swapping", Some(scene.swapping()), "Moving from primary to backup"),
        ("parked", Some(scene.parked()), "Parked: no account can be taken"),
        ("stuck", Some(scene.stuck()), "swap 18 is stuck"),
        ("gone", None, "The daemon does not answer"),
    ] {
        match status {
            Some(status) => cell.publish(snapshot(status, scene.night())),
            None => drop(daemon.take()),
        }
        await_text(&mut browser, sign);
        for (width, scheme) in [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")] {
            browser.look(width, scheme);
            let name = format!("{state}-{width}-{scheme}");
            let seen = browser.evaluate(FAINT);
            assert!(seen["looked"].as_u64().unwrap() > 60, "{name}: {seen}");
            assert_eq!(seen["faint"], json!([]), "{name}");
            assert_eq!(browser.evaluate(WIDE), json!([]), "{name}");
            assert_eq!(browser.evaluate(OVERFLOW_PX), 0, "{name}");
            keep_picture(&mut browser, &name);
        }
    }
    assert_eq!(browser.evaluate("document.title"), "no answer · claude-failover");

    // Another life of the daemon, at the same address.
    cell.publish(snapshot(scene.normal(), scene.night()));
    let _again = Daemon::serve(address, &cell);
    eventually("the page has found it again", SHOWN, || {
        (browser.evaluate("document.title") == "normal · claude-failover").then_some(())
    });
    assert_eq!(browser.evaluate("document.querySelector('#banner').textContent"), "");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// So many holds, the last of which goes on.
fn holds(history: &mut History, numbers: std::ops::RangeInclusive<u64>) -> Events {
    for number in numbers {
        let account = format!("a{number}").parse().unwrap();
        let at = Clock::start().wall();
        history.take(number, at, &Record::AccountHeld { account, at });
    }
    events(history)
}

fn events(history: &History) -> Events {
    Events { entries: history.latest(), last_seq: history.last_seq() }
}

#[test]
fn the_timeline_shows_news_and_ends_and_goes_back_as_far_as_wanted() {
    let scene = scene();
    let mut history = History::keeping(500);
    let publish = |cell: &SnapshotCell, events| cell.publish(snapshot(scene.normal(), events));
    let cell = SnapshotCell::new(snapshot(scene.normal(), holds(&mut history, 1..=120)));
    let daemon = Daemon::serve(anywhere(), &cell);
    let mut browser = Browser::start();
    browser.open(&daemon.url());
    await_text(&mut browser, "a120 held by the operator");
    let count = "document.querySelectorAll('#timeline li').length";
    assert_eq!(browser.evaluate(count), 50);
    browser.evaluate("document.querySelector('#earlier').focus()");
    browser.evaluate("document.activeElement.click()");
    await_text(&mut browser, "a1 held by the operator");
    assert_eq!(browser.evaluate(count), 120);
    assert_eq!(browser.evaluate("document.querySelector('#earlier')"), Value::Null, "that is all");

    publish(&cell, holds(&mut history, 121..=121));
    await_text(&mut browser, "a121 held by the operator");
    let (account, at) = ("a121".parse().unwrap(), Clock::start().wall());
    history.take(122, at, &Record::AccountReleased { account, at });
    publish(&cell, events(&history));
    await_text(&mut browser, "a121 released by the operator");
    let told = "[...document.querySelectorAll('#timeline li')].slice(0, 2).map((it) => it.innerText).join()";
    let told = browser.evaluate(told);
    assert!(told.as_str().unwrap().contains("then released"), "the hold is over: {told}");
    assert_eq!(browser.evaluate(count), 122);

    // Another journal: what was known is of no use.
    publish(&cell, holds(&mut History::default(), 1..=3));
    eventually("the old entries are gone", SHOWN, || (browser.evaluate(count) == 3).then_some(()));
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn without_scripts_it_says_where_the_same_stands() {
    let cell = SnapshotCell::new(snapshot(scene().normal(), Events::default()));
    let daemon = Daemon::serve(anywhere(), &cell);
    let mut browser = Browser::start();
    browser.call("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    browser.open(&daemon.url());
    let shown = "document.querySelector('noscript')?.innerText ?? ''";
    eventually("the hint is shown", SHOWN, || {
        let shown = browser.evaluate(shown);
        shown.as_str().unwrap().contains("status and events (JSON)").then_some(())
    });
    assert_eq!(browser.evaluate(OVERFLOW_PX), 0);
}
