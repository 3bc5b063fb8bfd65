//! Verbs that wait for the coordinator: one that hangs, clients that go, many at once, the end.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use claude_failover::api::control::{ASKS_MAX, AskError, Request, VERB_TIMEOUT, ask};
use claude_failover::core::event::Verb;

use super::control::{House, TIMEOUT};
use crate::support::eventually;

const SWAP: &[u8] = b"{\"verb\":\"swap\",\"to\":null}\n";
const CLIENTS: usize = 100;

fn connect(house: &House) -> UnixStream {
    let stream = UnixStream::connect(house.path()).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}

/// A client that has asked and waits.
fn asking(house: &House) -> UnixStream {
    let mut stream = connect(house);
    stream.write_all(SWAP).unwrap();
    stream
}

fn rest(mut stream: &UnixStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[track_caller]
fn assert_waiting(house: &House, count: usize) {
    eventually(&format!("{count} verbs wait"), TIMEOUT, || {
        (house.server.asks_waiting() == count).then_some(())
    });
}

#[track_caller]
fn assert_status_at_once(house: &House) {
    let begun = Instant::now();
    house.ask(&Request::Status).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn a_coordinator_that_hangs_is_told_of_and_delays_nobody_else() {
    let house = House::new();
    let begun = Instant::now();
    let clients: Vec<UnixStream> = (0..ASKS_MAX).map(|_| asking(&house)).collect();
    assert_waiting(&house, ASKS_MAX);
    assert_status_at_once(&house);
    let one_more = rest(&asking(&house));
    assert!(one_more.contains("128 verbs wait for the coordinator already"), "{one_more}");
    assert!(begun.elapsed() < VERB_TIMEOUT, "{:?}", begun.elapsed());
    for client in &clients {
        assert_eq!(
            rest(client),
            "{\"error\":\"no answer from the coordinator within 5 s; what was asked may still be \
             done\",\"ok\":false}\n"
        );
    }
    let took = begun.elapsed();
    assert!(took >= VERB_TIMEOUT && took < 2 * VERB_TIMEOUT, "{took:?}");
    assert_waiting(&house, 0);
    // It wakes up, too late for all of them.
    for _ in 0..ASKS_MAX {
        let (_, ask) = house.next_verb();
        house.server.answer(ask, Ok("at last".to_owned()));
    }
    assert!(house.events.is_empty());
    let client = asking(&house);
    let (_, ask) = house.next_verb();
    house.server.answer(ask, Ok("in time".to_owned()));
    assert_eq!(rest(&client), "{\"ok\":true,\"said\":\"in time\"}\n");
}

#[test]
fn a_client_that_hangs_up_leaves_nothing_behind() {
    let house = House::new();
    let stays = asking(&house);
    let (_, of_stays) = house.next_verb();
    for _ in 0..3 {
        let goes = asking(&house);
        let (_, of_goes) = house.next_verb();
        assert_waiting(&house, 2);
        drop(goes);
        assert_waiting(&house, 1);
        house.server.answer(of_goes, Ok("to nobody".to_owned()));
    }
    house.server.answer(of_stays, Err("no".to_owned()));
    assert_eq!(rest(&stays), "{\"error\":\"no\",\"ok\":false}\n");
    assert_waiting(&house, 0);
}

/// As `nc -N` and `socat` do.
#[test]
fn a_client_that_has_said_all_it_will_still_hears_the_answer() {
    let house = House::new();
    let client = asking(&house);
    client.shutdown(Shutdown::Write).unwrap();
    let (_, ask) = house.next_verb();
    assert_status_at_once(&house);
    assert_eq!(house.server.asks_waiting(), 1);
    house.server.answer(ask, Ok("done".to_owned()));
    assert_eq!(rest(&client), "{\"ok\":true,\"said\":\"done\"}\n");
}

#[test]
fn a_hundred_at_once_hear_each_its_own_answer() {
    let house = House::new();
    let begun = Instant::now();
    let clients: Vec<UnixStream> = (0..CLIENTS).map(|_| connect(&house)).collect();
    for (mut client, number) in clients.iter().zip(0..) {
        writeln!(client, "{{\"verb\":\"swap\",\"to\":\"a{number}\"}}").unwrap();
    }
    let mut asks: Vec<_> = (0..CLIENTS).map(|_| house.next_verb()).collect();
    // Whoever asked last hears first.
    asks.reverse();
    for (verb, ask) in asks {
        let Verb::Swap { to: Some(account) } = verb else { panic!("{verb:?}") };
        house.server.answer(ask, Err(format!("not to {account}")));
    }
    for (client, number) in clients.iter().zip(0..) {
        assert_eq!(rest(client), format!("{{\"error\":\"not to a{number}\",\"ok\":false}}\n"));
    }
    assert_waiting(&house, 0);
    assert!(begun.elapsed() < VERB_TIMEOUT, "{:?}", begun.elapsed());
}

#[test]
fn who_waits_when_the_daemon_stops_is_told_so_at_once() {
    let house = House::new();
    let answered = asking(&house);
    let (_, ask) = house.next_verb();
    let waiting: Vec<UnixStream> = (0..3).map(|_| asking(&house)).collect();
    assert_waiting(&house, 4);
    let idle = connect(&house);
    // Its answer proves that those before it are inside.
    house.ask(&Request::Status).unwrap();
    let House { server, .. } = house;
    let begun = Instant::now();
    server.answer(ask, Ok("the last one".to_owned()));
    drop(server);
    assert_eq!(rest(&answered), "{\"ok\":true,\"said\":\"the last one\"}\n");
    for client in &waiting {
        assert_eq!(rest(client), "{\"error\":\"the daemon is stopping\",\"ok\":false}\n");
    }
    assert_eq!(rest(&idle), "");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn a_verb_that_nobody_will_take_is_refused() {
    let House { server, events, dir } = House::new();
    drop(events);
    let path = server.path().to_owned();
    let error = ask(&path, &Request::Swap { to: None }, TIMEOUT).unwrap_err();
    assert_eq!(error.to_string(), "the daemon is stopping");
    assert_eq!(server.asks_waiting(), 0);
    drop(dir);
}

#[test]
fn a_daemon_that_is_killed_in_between_is_told_from_one_that_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::scope(|scope| {
        let killed = scope.spawn(|| {
            let (mut client, _) = listener.accept().unwrap();
            let mut request = [0; SWAP.len()];
            client.read_exact(&mut request).unwrap();
            assert_eq!(request, SWAP);
        });
        let error = ask(&path, &Request::Swap { to: None }, TIMEOUT).unwrap_err();
        assert!(matches!(error, AskError::Gone { .. }), "{error}");
        killed.join().unwrap();
    });
}
