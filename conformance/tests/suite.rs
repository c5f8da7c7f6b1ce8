//! Every case on every backend of this build.

use pike::Backend;
use pike_conformance::heap;

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

#[cfg(any(target_os = "linux", target_os = "android"))]
pike_conformance::suite!(epoll, Backend::Epoll);

#[cfg(any(all(unix, not(any(target_os = "linux", target_os = "android"))), pike_kqueue_double))]
pike_conformance::suite!(kqueue, Backend::Kqueue);

#[cfg(target_os = "linux")]
pike_conformance::suite!(io_uring, Backend::IoUring);

#[cfg(windows)]
pike_conformance::suite!(iocp, Backend::Iocp);

/// The backends above are those of the build: none is forgotten.
#[test]
fn every_backend_has_a_suite() {
    let mut suites: Vec<Backend> = Vec::new();
    if cfg!(any(target_os = "linux", target_os = "android")) {
        suites.push(Backend::Epoll);
    }
    if cfg!(any(all(unix, not(any(target_os = "linux", target_os = "android"))), pike_kqueue_double)) {
        suites.push(Backend::Kqueue);
    }
    if cfg!(target_os = "linux") {
        suites.push(Backend::IoUring);
    }
    if cfg!(windows) {
        suites.push(Backend::Iocp);
    }
    for backend in Backend::BUILT {
        assert!(suites.contains(backend), "tests/suite.rs has no suite! for {backend}");
    }
}
