//! What a timer costs among many: to insert it, to cancel it, and to fire it. pike's and tokio's in the same run.
//!
//! ```text
//! cargo run --release -p pike-bench --bin timers              1,000 and 1,000,000 timers
//! cargo run --release -p pike-bench --bin timers -- 10000     that many
//! ```
//!
//! In nanoseconds a timer, and the best of some runs:
//!
//! - *insert* is the first poll of a sleep that exists already.
//! - *one more* makes, inserts and cancels another one beside those: what an operation with a timeout costs that is
//!   done in time.
//! - *cancel* drops them all, in random order, and frees the box that each is in.
//! - *fire* is one turn in which all are due, with the wake of each.
//!
//! Deadlines come in random order or one after the other, as timeouts of one length do. *heap* is the allocations a
//! timer in all of these, but for the box.

use std::{
    env,
    error::Error,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

mod allocations;

#[global_allocator]
static ALLOCATOR: allocations::Allocator = allocations::Allocator;

/// So many timers are measured in all for one figure, if it takes few at a time.
const TIMERS_MIN: usize = 3_000_000;
/// What timers that are cancelled wait for, and between which their deadlines lie.
const NEVER: Duration = Duration::from_secs(3600);
/// After this the first of the timers is due that fire, and the last of them this much later.
const LEAD_PER_TIMER: Duration = Duration::from_micros(1);
const SPREAD: Duration = Duration::from_millis(50);
/// tokio's timers have a resolution of a millisecond.
const SURELY_DUE: Duration = Duration::from_millis(5);

fn main() -> Result<(), Box<dyn Error>> {
    let mut counts = env::args().skip(1).map(|arg| arg.parse()).collect::<Result<Vec<usize>, _>>()?;
    if counts.is_empty() {
        counts = vec![1000, 1_000_000];
    }
    let notifier = pike::Notifier::new()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;

    println!("   timers  deadlines         insert  one more  cancel    fire    heap");
    for count in counts.into_iter().filter(|&count| count > 0) {
        for order in [Order::Random, Order::Ascending] {
            let pike = best(count, || {
                let _here = notifier.enter();
                let turn = || notifier.poll(Some(Duration::ZERO)).map(drop);
                measure(count, order, pike::time::sleep_until, turn)
            })?;
            let tokio = best(count, || {
                let _here = runtime.enter();
                // A task that gives way has the runtime look at its timers.
                let turn = || {
                    runtime.block_on(tokio::task::yield_now());
                    Ok(())
                };
                measure(count, order, |at| tokio::time::sleep_until(at.into()), turn)
            })?;
            for (name, costs) in [("pike", pike), ("tokio", tokio)] {
                let [insert, one_more, cancel, fire] = costs.map(|cost| cost.ns);
                let heap: f64 = costs.iter().map(|cost| cost.allocations).sum();
                print!("{count:9}  {:9}  {name:5}  ", order.name());
                println!("{insert:6.0}  {one_more:8.0}  {cancel:6.0}  {fire:6.0}  {heap:6.2}");
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Order {
    Random,
    Ascending,
}

impl Order {
    fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Ascending => "ascending",
        }
    }

    /// Shares of a span of time, one a timer.
    fn shares(self, count: usize) -> Vec<f64> {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        (0..count)
            .map(|i| match self {
                Self::Ascending => i as f64 / count as f64,
                Self::Random => {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    (state >> 11) as f64 / (1_u64 << 53) as f64
                }
            })
            .collect()
    }
}

/// Of one timer.
#[derive(Clone, Copy)]
struct Cost {
    ns: f64,
    allocations: f64,
}

impl Cost {
    fn of(count: usize, work: impl FnOnce()) -> Self {
        let (start, before) = (Instant::now(), allocations::counted());
        work();
        let (time, after) = (start.elapsed(), allocations::counted());
        Self {
            ns: time.as_nanos() as f64 / count as f64,
            allocations: (after - before) as f64 / count as f64,
        }
    }

    fn min(self, other: Self) -> Self {
        Self { ns: self.ns.min(other.ns), allocations: self.allocations.min(other.allocations) }
    }
}

type Costs = [Cost; 4];

fn best(count: usize, run: impl Fn() -> Result<Costs, Box<dyn Error>>) -> Result<Costs, Box<dyn Error>> {
    let mut best = run()?;
    for _ in 1..(TIMERS_MIN / count).clamp(3, 20) {
        for (best, again) in best.iter_mut().zip(run()?) {
            *best = best.min(again);
        }
    }
    Ok(best)
}

/// Inserts and cancels as many timers as `count` says, with others between, and then inserts and fires as many.
fn measure<S: Future<Output = ()>>(
    count: usize,
    order: Order,
    sleep_until: impl Fn(Instant) -> S,
    turn: impl Fn() -> std::io::Result<()>,
) -> Result<Costs, Box<dyn Error>> {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let insert = |timers: &mut Vec<Pin<Box<S>>>| {
        let mut cx = Context::from_waker(&waker);
        timers.iter_mut().all(|timer| timer.as_mut().poll(&mut cx).is_pending())
    };
    let shares = order.shares(count);
    let make = |first: Instant, span: Duration| -> Vec<_> {
        shares.iter().map(|&share| Box::pin(sleep_until(first + span.mul_f64(share)))).collect()
    };

    let far = Instant::now() + NEVER;
    let mut timers = make(far, NEVER);
    let mut all_wait = true;
    let inserted = Cost::of(count, || all_wait = insert(&mut timers));
    let one_more = Cost::of(count, || {
        let mut cx = Context::from_waker(&waker);
        for share in &shares {
            all_wait &= pin!(sleep_until(far + NEVER.mul_f64(*share))).poll(&mut cx).is_pending();
        }
    });
    // Not in the order in which they came, but the same in each run.
    let mut order: Vec<_> = Order::Random.shares(count).into_iter().zip(timers).collect();
    order.sort_by(|one, other| one.0.total_cmp(&other.0));
    let timers: Vec<_> = order.into_iter().map(|(_, timer)| timer).collect();
    let cancelled = Cost::of(count, || timers.into_iter().for_each(drop));

    let first = Instant::now() + SPREAD + LEAD_PER_TIMER * count as u32;
    let mut timers = make(first, SPREAD);
    if !all_wait || !insert(&mut timers) {
        return Err("the machine is too slow: a timer was due before all were inserted".into());
    }
    thread::sleep((first + SPREAD + SURELY_DUE).saturating_duration_since(Instant::now()));
    let mut turned = Ok(());
    let fired = Cost::of(count, || turned = turn());
    turned?;
    let mut cx = Context::from_waker(&waker);
    let all_ready = timers.iter_mut().all(|timer| timer.as_mut().poll(&mut cx) == Poll::Ready(()));
    match woken.0.load(Relaxed) == count && all_ready {
        true => Ok([inserted, one_more, cancelled, fired]),
        false => Err(format!("{} of {count} timers were fired by one turn", woken.0.load(Relaxed)).into()),
    }
}

/// Counts wakes.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}
