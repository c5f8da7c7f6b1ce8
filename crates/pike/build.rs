//! Names a list of platforms, so that it is written once: `cfg(kqueue)` where the kqueue backend is built.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(kqueue)");
    let system = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    // The private cfg of `ci/kqueue`: a kqueue made of epoll, for Linux (`src/sys/kqueue/double`).
    let double = env::var_os("CARGO_CFG_PIKE_KQUEUE_DOUBLE").is_some();
    if double || ["macos", "freebsd", "netbsd", "openbsd", "dragonfly"].contains(&system.as_str()) {
        println!("cargo::rustc-cfg=kqueue");
    }
}
