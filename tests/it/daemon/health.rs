//! `/health` answers at once, whatever the daemon does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::daemon::fleet::Fleet;
use crate::daemon::layout::{DEDICATED, Layout};

/// On a machine that runs other tests at the same time, where each answer waits for a processor; alone it
/// is a few milliseconds (`cargo bench --bench health`).
const P99_MAX: Duration = Duration::from_millis(200);
/// Who waited for a step of the swap would wait longer.
const MAX: Duration = Duration::from_secs(1);
const SAMPLES_MIN: usize = 30;

/// Says so also when the test fails in between: its other thread would ask for ever.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn health_answers_at_once_while_a_swap_runs() {
    let (fleet, talks) = Fleet::up(Layout { pool: 6, ..Layout::default() });
    let done = AtomicBool::new(false);
    let fleet = &fleet;
    let mut took: Vec<Duration> = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut took = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let (code, health) = fleet.get("/health");
                took.push(asked.elapsed());
                assert_eq!(code, 200, "{health}");
            }
            took
        });
        fleet.exhaust("a", 2 * 3600);
        let end = Ended(&done);
        fleet.prompt(DEDICATED, "go on");
        fleet.await_status("swapped", |status| {
            status["swap"]["last"]["outcome"] == "done" && status["state"] == "normal"
        });
        drop(end);
        asking.join().unwrap()
    });
    fleet.await_all_on("b", &talks);
    took.sort();
    let p99 = took[took.len() * 99 / 100];
    println!("/health during a swap: {} answers, p99 {p99:?}", took.len());
    assert!(took.len() >= SAMPLES_MIN, "only {} answers", took.len());
    assert!(p99 <= P99_MAX && took[took.len() - 1] <= MAX, "{p99:?} {:?}", took[took.len() - 1]);
}
