//! A disk that is full, and one that cannot be written to.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::daemon::chaos::surroundings::room::in_a_room;
use crate::daemon::fleet::{Fleet, SWAP, Talks};
use crate::daemon::layout::Layout;
use crate::daemon::outside;
use crate::support::eventually;

const MODULE: &str = "daemon::chaos::surroundings::disks";
/// Whether it may be mounted at all; the tests do it where they need it.
const MAY_MOUNT: &str = "mount -t tmpfs may \"$ROOM\"";
/// Of 4 KiB. The disk has fewer; a test must not fill another one.
const BLOCKS_MAX: usize = 256;
/// Times the disk fills up, each time somewhere else in a swap.
const ROUNDS: usize = 4;
/// Swaps in which nothing that is written needs another page of the disk.
const SWAPS_MAX: usize = 10;

#[track_caller]
fn mount(args: &[&str]) {
    assert!(Command::new("mount").args(args).status().unwrap().success(), "{args:?}");
}

/// The daemon starts anew with its records on a disk of 256 KiB.
#[track_caller]
fn on_a_small_disk(fleet: &mut Fleet) {
    fleet.stop_daemon();
    let state = fleet.root().join("state");
    let journal = fs::read(state.join("journal")).unwrap();
    mount(&["-t", "tmpfs", "-o", "size=256k,mode=700", "small", state.to_str().unwrap()]);
    fs::write(state.join("journal"), journal).unwrap();
    fs::set_permissions(state.join("journal"), Permissions::from_mode(0o600)).unwrap();
    fleet.start();
}

/// Takes the last byte of the disk on which the records are.
fn fill(fleet: &Fleet) -> PathBuf {
    let path = fleet.root().join("state/filler");
    let mut file = File::create(&path).unwrap();
    let block = [0; 4096];
    let error = (0..BLOCKS_MAX).find_map(|_| file.write_all(&block).err());
    assert_eq!(error.expect("the disk is small").kind(), ErrorKind::StorageFull);
    path
}

fn pids(fleet: &Fleet) -> BTreeSet<i32> {
    outside::agents(fleet.root()).iter().map(|agent| agent.pid).collect()
}

fn other(fleet: &Fleet) -> &'static str {
    let link = fs::read_link(fleet.link()).unwrap();
    if link == fleet.home("a") { "b" } else { "a" }
}

/// Swaps on the full disk until the journal cannot be written; the exit code.
#[track_caller]
fn swap_until_it_ends(fleet: &mut Fleet) -> Option<i32> {
    for _ in 0..SWAPS_MAX {
        let target = other(fleet);
        // It may end before it answers.
        fleet.swap(&["--to", target]);
        let ended = eventually("the daemon ends, or the swap does", SWAP, || {
            if let Some(status) = fleet.daemon_ended() {
                return Some(Some(status));
            }
            let status = fleet.status();
            (!status.is_null() && status["swap"]["open"].is_null()).then_some(None)
        });
        if let Some(status) = ended {
            return status.code();
        }
    }
    panic!("{SWAPS_MAX} swaps, and the disk was not full");
}

#[test]
fn a_full_disk_ends_the_daemon_and_nothing_is_lost() {
    in_a_room(
        &format!("{MODULE}::a_full_disk_ends_the_daemon_and_nothing_is_lost"),
        MAY_MOUNT,
        || {
            let (mut fleet, talks) = Fleet::up(Layout { swaps_per_hour: 100, ..Layout::default() });
            on_a_small_disk(&mut fleet);
            fleet.await_adopted(&talks);
            for round in 0..ROUNDS {
                let filler = fill(&fleet);
                assert_eq!(swap_until_it_ends(&mut fleet), Some(74), "in round {round}");
                let link = fs::read_link(fleet.link()).unwrap();
                assert!([fleet.home("a"), fleet.home("b")].contains(&link), "{link:?}");
                let agents = pids(&fleet);
                // Still full: it does not start, and touches nothing.
                fleet.start_with(None);
                assert_eq!(fleet.await_end().code(), Some(74), "in round {round}");
                assert_eq!(fs::read_link(fleet.link()).unwrap(), link);
                // One whose launch was under way may have come up since.
                assert!(pids(&fleet).is_superset(&agents), "agents were ended");
                fs::remove_file(filler).unwrap();
                fleet.start_with(None);
                await_whole(&fleet, &talks);
            }
        },
    );
}

/// Every conversation is back, on the account that the link names, which is the active one.
#[track_caller]
fn await_whole(fleet: &Fleet, talks: &Talks) {
    let status = fleet.await_status("the open swap has ended", |status| {
        status["state"] == "normal" && status["swap"]["open"].is_null()
    });
    let active = status["active_account"].as_str().unwrap();
    fleet.await_all_on(active, talks);
}

#[test]
fn a_state_directory_that_cannot_be_written_to_stops_the_start() {
    in_a_room(
        &format!("{MODULE}::a_state_directory_that_cannot_be_written_to_stops_the_start"),
        MAY_MOUNT,
        || {
            let (mut fleet, talks) = Fleet::up(Layout::default());
            fleet.stop_daemon();
            let (agents, link) = (fleet.agents(), fs::read_link(fleet.link()).unwrap());
            let state = fleet.root().join("state");
            let state = state.to_str().unwrap();
            mount(&["--bind", state, state]);
            mount(&["-o", "remount,bind,ro", state]);
            fleet.start_with(None);
            assert_eq!(fleet.await_end().code(), Some(78));
            let log = fleet.log();
            let last = log.lines().last().unwrap();
            assert!(
                last.contains(state) && last.contains("is on a read-only file system"),
                "{last}"
            );
            assert_eq!(
                (fleet.agents(), fs::read_link(fleet.link()).unwrap()),
                (agents.clone(), link)
            );
            assert!(Command::new("umount").arg(state).status().unwrap().success());
            fleet.start();
            fleet.await_adopted(&talks);
            assert_eq!(fleet.agents(), agents);
        },
    );
}
