//! Unit tests of `blocking`.

#[cfg(target_os = "linux")]
use std::fs;
use std::{
    sync::{
        atomic::AtomicUsize,
        mpsc::{self, Receiver, Sender, channel},
    },
    task::Wake,
    time::Instant,
};

use futures_lite::future::{block_on, poll_once};

use super::*;
use crate::time::Deadline;

/// Longer than any of this takes on a busy machine, shorter than a hang.
const LONG: Duration = Duration::from_secs(20);

/// How many helpers a pool of one test's own has at most.
const HELPERS_MAX: usize = 4;

/// A pool of one test's own.
fn pool() -> &'static Pool {
    platform::watch_forks().unwrap();
    Box::leak(Box::new(Pool::new(HELPERS_MAX)))
}

/// The calling thread's number in /proc.
#[cfg(target_os = "linux")]
fn thread_id() -> String {
    fs::read_link("/proc/thread-self").unwrap().file_name().unwrap().to_str().unwrap().into()
}

#[cfg(not(target_os = "linux"))]
fn thread_id() -> String {
    format!("{:?}", thread::current().id())
}

/// The helpers of this process that /proc knows, of all pools. Elsewhere nobody tells which threads there are.
#[cfg(not(target_os = "linux"))]
fn helper_ids() -> Vec<String> {
    Vec::new()
}

/// The helpers of this process that /proc knows, of all pools.
#[cfg(target_os = "linux")]
fn helper_ids() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    tasks
        .filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "pike-helper\n"))
        .map(|task| task.file_name().unwrap().to_str().unwrap().into())
        .collect()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Jobs that report their number when they begin and stay until they are told to end.
struct Stuck {
    begun: Receiver<usize>,
    begin: Sender<usize>,
}

impl Stuck {
    fn new() -> Self {
        let (begin, begun) = channel();
        Self { begun, begin }
    }

    fn job(&self, number: usize) -> (impl FnOnce() -> usize + Send + 'static, Sender<()>) {
        let (begin, (release, released)) = (self.begin.clone(), channel());
        let job = move || {
            begin.send(number).unwrap();
            let _: Result<(), mpsc::RecvError> = released.recv();
            number
        };
        (job, release)
    }

    fn next_begun(&self) -> usize {
        self.begun.recv_timeout(LONG).unwrap()
    }
}

#[test]
fn futures_are_send_and_unpin() {
    fn check<T: Send + Unpin + 'static>(_: &T) {}
    check(&LOOK_UPS.run(|| std::cell::Cell::new(1)));
}

/// Which signals a thread blocks, by what /proc says, which only Linux has.
#[cfg(target_os = "linux")]
fn blocked(thread: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{thread}/status"))?;
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap().trim();
    Ok(u64::from_str_radix(blocked, 16).unwrap())
}

#[cfg(target_os = "linux")]
fn assert_deaf(blocked: u64) {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGCHLD, libc::SIGUSR1, libc::SIGRTMIN()]
    {
        assert_ne!(blocked & 1 << (signal - 1), 0, "signal {signal} in {blocked:x}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_helper_has_its_name_and_blocks_signals() {
    let (name, blocked) =
        block_on(LOOK_UPS.run(|| {
            (fs::read_to_string("/proc/thread-self/comm").unwrap(), blocked("thread-self").unwrap())
        }))
        .unwrap();
    assert_eq!(name, "pike-helper\n");
    assert_deaf(blocked);
    assert_eq!(blocked & 1 << (libc::SIGSEGV - 1), 0, "faults in {blocked:x}");
}

/// Goal: there is no moment at which a handler could run on a helper, and who starts one blocks what it did before.
///
/// Method: looks at the newest threads over and over while one starts, and asks later which it was.
#[cfg(target_os = "linux")]
#[test]
fn a_helper_blocks_signals_from_its_start() {
    let before = blocked("thread-self").unwrap();
    let mut looks = 0;
    for _ in 0..100 {
        let running = pool().run(thread_id);
        let mut threads: Vec<_> = fs::read_dir("/proc/self/task")
            .unwrap()
            .map(|thread| thread.unwrap().file_name().into_string().unwrap())
            .collect();
        threads.sort_unstable_by_key(|id| std::cmp::Reverse(id.parse::<u32>().unwrap()));
        threads.truncate(2);
        let look = |id: &String| Some((id.clone(), blocked(&format!("self/task/{id}")).ok()?));
        let seen: Vec<_> =
            (0..10).flat_map(|_| threads.iter().filter_map(look).collect::<Vec<_>>()).collect();
        assert_eq!(blocked("thread-self").unwrap(), before, "of who starts it");
        let helper = block_on(running).unwrap();
        for (_, blocked) in seen.into_iter().filter(|(id, _)| *id == helper) {
            assert_deaf(blocked);
            looks += 1;
        }
    }
    assert!(looks > 0, "no helper was looked at");
}

/// Goal: threads come on demand, are kept while there is work, and none is left once there was none for a while.
#[test]
fn helpers_come_and_go() {
    let pool = pool();
    for _ in 0..2 {
        assert_eq!(pool.lock().helpers, 0);
        let stuck = Stuck::new();
        let mut jobs = Vec::new();
        for number in 0..2 {
            let (job, release) = stuck.job(number);
            jobs.push((pool.run(move || (job(), thread_id()).1), release));
            stuck.next_begun();
            assert_eq!(pool.lock().helpers, number + 1);
        }
        let ids: Vec<_> = jobs
            .into_iter()
            .map(|(running, release)| {
                drop(release);
                block_on(running).unwrap()
            })
            .collect();
        assert_ne!(ids[0], ids[1]);
        eventually("the helpers end", || pool.lock().helpers == 0);
        eventually("their threads are gone", || !helper_ids().iter().any(|id| ids.contains(id)));
    }
}

#[test]
fn an_idle_helper_is_used_again() {
    let pool = pool();
    // On a busy machine it may not be idle yet, or have ended already.
    eventually("the same helper twice", || {
        let first = block_on(pool.run(thread_id)).unwrap();
        thread::sleep(Duration::from_millis(5));
        block_on(pool.run(thread_id)).unwrap() == first
    });
}

/// Goal: of two jobs that come while one helper is idle, the second does not wait for the first.
#[test]
fn an_idle_helper_counts_for_one_job() {
    let (pool, stuck) = (pool(), Stuck::new());
    for _ in 0..10 {
        block_on(pool.run(|| ())).unwrap();
        thread::sleep(Duration::from_millis(2));
        let jobs = [0, 1].map(|number| stuck.job(number)).map(|(job, release)| (pool.run(job), release));
        assert_eq!(stuck.next_begun() + stuck.next_begun(), 1);
        drop(jobs);
        eventually("all end", || pool.lock().helpers == 0);
    }
}

/// Goal: never more than four, and the fifth job waits for one of them, not for ever.
#[test]
fn a_fifth_job_begins_when_one_of_four_ends() {
    let (pool, stuck) = (pool(), Stuck::new());
    let mut jobs: VecDeque<_> = (0..8)
        .map(|number| {
            let (job, release) = stuck.job(number);
            (pool.run(job), release)
        })
        .collect();
    let mut begun: Vec<_> = (0..HELPERS_MAX).map(|_| stuck.next_begun()).collect();
    begun.sort_unstable();
    assert_eq!(begun, [0, 1, 2, 3]);
    thread::sleep(Duration::from_millis(50));
    assert!(stuck.begun.try_recv().is_err(), "a fifth began beside four");
    assert_eq!(pool.lock().helpers, HELPERS_MAX);

    // One at a time from here on: the queue is first in, first out.
    for ended in 0..8 {
        let (running, release) = jobs.pop_front().unwrap();
        drop(release);
        assert_eq!(block_on(running).unwrap(), ended);
        if ended + HELPERS_MAX < 8 {
            assert_eq!(stuck.next_begun(), ended + HELPERS_MAX);
        }
    }
    assert!(pool.lock().helpers <= HELPERS_MAX);
}

#[test]
fn a_panic_reaches_the_caller_and_loses_no_helper() {
    let pool = pool();
    // Without the hook, to keep the test's output clean.
    let running: Vec<_> =
        (0..10).map(|n| pool.run(move || -> () { panic::resume_unwind(Box::new(n)) })).collect();
    for (n, running) in running.into_iter().enumerate() {
        let payload = panic::catch_unwind(AssertUnwindSafe(|| block_on(running))).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&(n as i32)));
    }
    // All four still work, at the same time.
    let stuck = Stuck::new();
    let jobs: Vec<_> =
        (0..HELPERS_MAX).map(|n| stuck.job(n)).map(|(job, end)| (pool.run(job), end)).collect();
    for _ in 0..HELPERS_MAX {
        stuck.next_begun();
    }
    assert_eq!(pool.lock().helpers, HELPERS_MAX);
    drop(jobs);
    eventually("all end", || pool.lock().helpers == 0);
}

/// A result that panics when dropped, and whose panic panics when dropped.
struct Bomb;
impl Drop for Bomb {
    fn drop(&mut self) {
        struct Second;
        impl Drop for Second {
            fn drop(&mut self) {
                panic::resume_unwind(Box::new("third"));
            }
        }
        panic::resume_unwind(Box::new(Second));
    }
}

#[test]
fn a_panic_while_dropping_an_unheard_result_loses_no_helper() {
    let (pool, stuck) = (pool(), Stuck::new());
    let (job, release) = stuck.job(0);
    let running = pool.run(move || (job(), Bomb).1);
    stuck.next_begun();
    drop(running);
    drop(release);
    assert_eq!(block_on(pool.run(|| 7)).unwrap(), 7);
    eventually("all end", || pool.lock().helpers == 0);
}

#[test]
fn work_that_began_is_finished_unheard_and_other_is_not_begun() {
    let (pool, stuck) = (pool(), Stuck::new());
    let done = Arc::new(AtomicUsize::new(0));
    let jobs: Vec<_> = (0..HELPERS_MAX + 1)
        .map(|number| {
            let ((job, release), done) = (stuck.job(number), done.clone());
            (pool.run(move || done.fetch_add((job(), 1).1, Ordering::Relaxed)), release)
        })
        .collect();
    for _ in 0..HELPERS_MAX {
        stuck.next_begun();
    }
    let (running, releases): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
    drop(running);
    drop(releases);
    // First in, first out: when this has run the fifth was passed over.
    block_on(pool.run(|| ())).unwrap();
    eventually("four are done", || done.load(Ordering::Relaxed) == HELPERS_MAX);
    eventually("all end", || pool.lock().helpers == 0);
    assert_eq!(done.load(Ordering::Relaxed), HELPERS_MAX);
    assert_eq!(Arc::strong_count(&done), 1, "the fifth was dropped");
}

#[test]
fn the_last_waker_is_woken() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let wakers = [0, 1].map(|_| Arc::new(Count(AtomicUsize::new(0))));
    let (pool, stuck) = (pool(), Stuck::new());
    let (job, release) = stuck.job(5);
    let mut running = pool.run(job);
    for waker in &wakers {
        let waker = Waker::from(waker.clone());
        assert!(Pin::new(&mut running).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    drop(release);
    eventually("it is woken", || wakers[1].0.load(Ordering::SeqCst) == 1);
    assert_eq!(wakers[0].0.load(Ordering::SeqCst), 0);
    assert_eq!(block_on(poll_once(&mut running)).unwrap().unwrap(), 5);
    eventually("no waker is kept", || wakers.iter().all(|waker| Arc::strong_count(waker) == 1));
    panic::catch_unwind(AssertUnwindSafe(|| block_on(running))).unwrap_err();
}

#[test]
fn stuck_work_has_a_deadline() {
    let (pool, stuck) = (pool(), Stuck::new());
    let (job, _release) = stuck.job(0);
    let error = block_on(pool.run(job).timeout(Duration::from_millis(5))).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

/// Goal: the start of a thread fails. With no helper that is the caller's error; with one it only takes longer.
#[test]
fn without_threads() {
    let (pool, stuck) = (pool(), Stuck::new());
    pool.lock().exhausted = true;
    let mut running = pool.run(|| ());
    assert_eq!(block_on(&mut running).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let (job, _) = pool.submit(Box::new(|| ())).err().unwrap();
    job();

    pool.lock().exhausted = false;
    let (job, release) = stuck.job(0);
    let first = pool.run(job);
    stuck.next_begun();
    pool.lock().exhausted = true;
    let second = pool.run(thread_id);
    assert_eq!(pool.lock().helpers, 1);
    drop(release);
    assert_eq!(block_on(first).unwrap(), 0);
    block_on(second).unwrap();
}

/// Goal: many callers at once, ends and starts of helpers among them: every job is done once.
#[test]
fn many_callers() {
    let (pool, sum) = (pool(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for caller in 0..4 {
            let sum = &sum;
            scope.spawn(move || {
                for n in 0..200 {
                    sum.fetch_add(block_on(pool.run(move || n)).unwrap(), Ordering::Relaxed);
                    if n % 100 == caller {
                        thread::sleep(IDLE);
                    }
                }
            });
        }
    });
    assert_eq!(sum.load(Ordering::Relaxed), 4 * 199 * 200 / 2);
    eventually("all end", || pool.lock().helpers == 0);
}

/// Goal: a child works though its parent's threads are gone and the lock is held (I14).
///
/// Method: fork with both held; the child says with its exit code what it found, and an alarm ends it if it hangs.
#[cfg(unix)]
#[test]
#[allow(unsafe_code)]
fn a_forked_child_has_pools_of_its_own() {
    use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

    let stuck = Stuck::new();
    let (job, release) = stuck.job(0);
    let parents = CLOSES.run(job);
    stuck.next_begun();
    let held = LOOK_UPS.pool().unwrap().lock();
    let held_too = CLOSES.pool().unwrap().lock();
    // SAFETY: glibc makes its allocator usable in the child of a threaded process. What else the child uses is
    // either its own or what is tested; it ends below, without running a destructor.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: takes no pointer.
        unsafe { libc::alarm(10) };
        let good = panic::catch_unwind(AssertUnwindSafe(|| {
            let is_run = block_on(LOOK_UPS.run(|| 7)).is_ok_and(|seven| seven == 7);
            let is_run_too = block_on(CLOSES.run(|| 8)).is_ok_and(|eight| eight == 8);
            let is_closed = block_on(parents).is_err_and(|error| Closed::is(&error));
            is_run && is_run_too && is_closed
        }));
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(if good.is_ok_and(|good| good) { 0 } else { 1 }) };
    }
    drop((held, held_too));
    let mut status = 0;
    // SAFETY: a child of ours, and a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(ExitStatus::from_raw(status).success(), "{:?}", ExitStatus::from_raw(status));
    drop(release);
    assert_eq!(block_on(parents).unwrap(), 0);
}
