//! Tasks that hand something to each other stay together on one worker, and wake no other for it.

#![cfg(not(miri))] // it counts what many hops do

mod common;

use std::{io, sync::Arc};

use common::{Gate, within};
use pike_sched::{Pool, spawn};

const HOPS: u64 = 50_000;

#[test]
fn a_ball_stays_with_one_worker() -> io::Result<()> {
    within(60, || {
        for workers in [2, 3] {
            let pool = Pool::builder().workers(workers).build()?;
            pool.block_on(async {
                let (here, there) = (Gate::new(), Gate::new());
                let player = |mine: &Arc<Gate>, others: &Arc<Gate>| {
                    let (mine, others) = (Arc::clone(mine), Arc::clone(others));
                    spawn(async move {
                        for _ in 0..HOPS {
                            mine.pass().await;
                            others.open();
                        }
                    })
                };
                let (one, two) = (player(&here, &there), player(&there, &here));
                here.open();
                one.await?;
                two.await?;
                io::Result::Ok(())
            })?;
            let counters = pool.counters();
            let sum = |what: fn(&pike_sched::Counters) -> u64| counters.iter().map(what).sum::<u64>();
            assert!(sum(|worker| worker.runs) >= HOPS, "{counters:?}");
            // At the beginning, and when a worker that the machine does not run for a while is taken for a stuck one.
            assert!(sum(|worker| worker.notifications) < HOPS / 50, "{counters:?}");
            assert!(sum(|worker| worker.steals) < HOPS / 50, "{counters:?}");
        }
        Ok(())
    })
}
