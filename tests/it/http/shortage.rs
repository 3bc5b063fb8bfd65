//! A process that has no descriptors left, or just so many. tiny_http would panic in its accept loop
//! without one, which a release build does not survive.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, Stdio};

use claude_failover::api::http::HttpError;
use claude_failover::snapshot::SnapshotCell;
use crossbeam_channel::unbounded;

use super::{House, connect, get, rest, snapshot, spawn};
use crate::child::{in_a_child, is_child, told};
use crate::descriptors::{FEW, may_open, take_all_but};

/// Descriptors taken by nobody's need: of [`FEW`] just so many are left.
pub fn leave_only(spare: usize) -> Vec<File> {
    may_open(FEW);
    take_all_but(spare)
}

/// A server with as many spare descriptors as it is told, line by line.
fn serve_with_few() {
    let house = House::new();
    println!("address={}", house.server.local_addr());
    let mut shortage = None;
    for line in std::io::stdin().lines() {
        let spare = line.unwrap().parse().unwrap();
        drop(shortage.take());
        shortage = Some(leave_only(spare));
        println!("spare={spare}");
    }
    drop(shortage);
    assert_eq!(house.events.try_iter().count(), 0, "a component has ended");
}

fn leave(child: &mut Child, spare: usize) {
    writeln!(child.stdin.as_mut().unwrap(), "{spare}").unwrap();
    assert_eq!(told(child, "spare"), spare.to_string());
}

fn assert_calm_end(mut child: Child) {
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
    assert!(output.status.success(), "{said}");
}

#[test]
fn an_answer_takes_no_descriptor_but_its_clients() {
    if is_child() {
        serve_with_few();
        return;
    }
    let test = "http::shortage::an_answer_takes_no_descriptor_but_its_clients";
    let mut child = in_a_child(test).stderr(Stdio::piped()).spawn().unwrap();
    let address: SocketAddr = told(&mut child, "address").parse().unwrap();
    let mut answers = Vec::new();
    let mut ask = |spare| {
        let mut client = connect(address);
        client.write_all(get("/health").as_bytes()).unwrap();
        answers.push((spare, rest(&mut client)));
    };
    // From above: what fails first would be the second descriptor of one connection.
    for spare in (1..=6).rev() {
        leave(&mut child, spare);
        (0..3).for_each(|_| ask(spare));
    }
    // Who cannot be let in waits at the door.
    leave(&mut child, 0);
    let mut early = connect(address);
    early.write_all(get("/health").as_bytes()).unwrap();
    leave(&mut child, 1);
    answers.push((0, rest(&mut early)));
    assert_calm_end(child);
    for (spare, answer) in answers {
        assert!(answer.starts_with("HTTP/1.1 200 "), "{spare} left: {answer:?}");
    }
}

#[test]
fn a_start_without_enough_descriptors_is_refused() {
    if is_child() {
        let dir = tempfile::Builder::new().prefix("cf-").tempdir().unwrap();
        let cell = SnapshotCell::new(snapshot(true));
        let (sender, _events) = unbounded();
        let (mut started, mut refused) = (0, 0);
        for spare in 0..30 {
            let shortage = leave_only(spare);
            match spawn(dir.path(), ([127, 0, 0, 1], 0).into(), &cell, &sender) {
                Ok(server) => {
                    drop(shortage);
                    let mut client = connect(server.local_addr());
                    client.write_all(get("/health").as_bytes()).unwrap();
                    assert!(rest(&mut client).starts_with("HTTP/1.1 200 "), "{spare} left");
                    started += 1;
                }
                Err(HttpError::Bind { .. } | HttpError::Start(_)) => refused += 1,
            }
        }
        println!("started={started} of {}", started + refused);
        assert!(started > 0 && refused > 0, "{started} starts, {refused} refusals");
        return;
    }
    let test = "http::shortage::a_start_without_enough_descriptors_is_refused";
    let child = in_a_child(test).stderr(Stdio::piped()).spawn().unwrap();
    assert_calm_end(child);
}
