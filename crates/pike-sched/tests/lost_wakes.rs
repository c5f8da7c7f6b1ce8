//! A stress for lost wakes: a few batons are passed on among tasks that stay, tasks that move, new tasks and threads outside
//! of the pool. Nearly all workers sleep nearly always, so every pass meets somebody who is about to sleep or to rise; and a
//! single wake that is lost stops its baton for good.
//!
//! `PIKE_STRESS_SECONDS` says for how long, for each form of the pool (`ci/stress`).

mod common;

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use common::Gate;
use pike_sched::{Builder, Pool};

const MOVING: usize = 3;
const OUTSIDE: usize = 2;
/// A baton that nobody has passed on for so long is lost.
const LOST: Duration = Duration::from_secs(if cfg!(miri) { 2000 } else { 30 });

struct Relay {
    gates: Vec<Arc<Gate>>,
    outside: Vec<mpsc::Sender<()>>,
    passes: AtomicU64,
    over: AtomicBool,
}

impl Relay {
    /// To whoever is next: which differs from pass to pass.
    fn pass_on(self: &Arc<Self>, pool: &Arc<Pool>) {
        if self.over.load(SeqCst) {
            return;
        }
        let mut pass = self.passes.fetch_add(1, SeqCst).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        pass ^= pass >> 29;
        let next = pass as usize % (self.gates.len() + self.outside.len() + 1);
        if let Some(gate) = self.gates.get(next) {
            gate.open();
        } else if let Some(outside) = self.outside.get(next - self.gates.len()) {
            // It leaves when it is over.
            let _ = outside.send(());
        } else {
            let (relay, inner) = (Arc::clone(self), Arc::clone(pool));
            drop(pool.spawn(async move { relay.pass_on(&inner) }));
        }
    }
}

fn time() -> Duration {
    let seconds =
        env::var("PIKE_STRESS_SECONDS").ok().map(|seconds| seconds.parse().expect("a number of seconds"));
    Duration::from_secs_f64(seconds.unwrap_or(1.0))
}

fn stress(builder: Builder, batons: usize) {
    let pool = Arc::new(builder.build().unwrap());
    let (outside, outsiders): (Vec<_>, Vec<_>) = (0..OUTSIDE).map(|_| mpsc::channel()).unzip();
    let gates = (0..pool.workers() + MOVING).map(|_| Gate::new()).collect();
    let relay = Arc::new(Relay { gates, outside, passes: AtomicU64::new(0), over: AtomicBool::new(false) });
    let runner = |gate: usize| {
        let (relay, pool) = (Arc::clone(&relay), Arc::clone(&pool));
        async move {
            loop {
                relay.gates[gate].pass().await;
                relay.pass_on(&pool);
            }
        }
    };
    let mut tasks = pool.spawn_each(|worker| runner(MOVING + worker));
    tasks.extend((0..MOVING).map(|gate| pool.spawn(runner(gate))));
    let threads: Vec<_> = outsiders
        .into_iter()
        .map(|wait| {
            let (relay, pool) = (Arc::clone(&relay), Arc::clone(&pool));
            thread::spawn(move || {
                wait.iter().take_while(|()| !relay.over.load(SeqCst)).for_each(|()| relay.pass_on(&pool))
            })
        })
        .collect();
    let (end, driver) = (Gate::new(), Arc::clone(&pool));
    let driver = thread::spawn({
        let end = Arc::clone(&end);
        move || driver.block_on(end.pass())
    });
    // A gate that is opened twice is passed once: two batons that meet at one become one. So it is the passes that count.
    (0..batons).for_each(|_| relay.pass_on(&pool));
    let (begin, mut last) = (Instant::now(), (0, Instant::now()));
    while begin.elapsed() < time() {
        thread::sleep(Duration::from_millis(5));
        let passes = relay.passes.load(SeqCst);
        if passes != last.0 {
            last = (passes, Instant::now());
        }
        assert!(
            last.1.elapsed() < LOST,
            "a wake was lost after {passes} passes: {pool:?} {:?}",
            pool.counters()
        );
    }
    assert!(last.0 > 10);
    relay.over.store(true, SeqCst);
    relay.outside.iter().for_each(|outside| _ = outside.send(()));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    end.open();
    driver.join().unwrap();
    pool.shutdown();
    assert!(tasks.iter().all(|task| task.is_finished()));
}

#[test]
fn one_baton_and_two_workers() {
    stress(Pool::builder().workers(2), 1);
}

#[test]
fn two_batons_and_three_workers() {
    stress(Pool::builder().workers(3), 2);
}

#[test]
fn one_worker() {
    stress(Pool::builder(), 1);
}

/// With bound Notifiers no worker looks after another: nothing but its wake brings a baton on.
#[test]
fn nobody_looks_after_the_others() {
    stress(Pool::builder().workers(2).bound(), 1);
    stress(Pool::builder().workers(3).bound(), 2);
}
