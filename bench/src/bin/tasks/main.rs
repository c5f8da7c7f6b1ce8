//! What tasks cost: pike's pool beside tokio's multi-thread runtime and async-executor, in one run.
//!
//! ```text
//! cargo run --release -p pike-bench --bin tasks            medians of 7, on one and on two workers
//! cargo run --release -p pike-bench --bin tasks -- pike fan-out 2
//!                                                          one library, piece of work and number alone: to be profiled
//! ```
//!
//! Axes: the library, the number of workers, and what is done (`work`). The three take turns, so that what else the machine
//! does falls on all of them alike. Each figure is nanoseconds an operation. It fails unless pike's is the least in each.

use std::{env, process::ExitCode};

mod runtimes;
mod work;

use work::{WORKS, Work};

const ROUNDS: usize = 7;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let (only, scenario, number) = (args.next(), args.next(), args.next());
    let mut ahead = true;
    println!(
        "{:<12} {:>7} {:>9} {:>9} {:>15}   ns an operation, median of {ROUNDS} (least)",
        "", "workers", "pike", "tokio", "async-executor"
    );
    for work in WORKS {
        if scenario.as_deref().is_some_and(|name| name != work.name) {
            continue;
        }
        for workers in [1, 2] {
            if number.as_deref().is_some_and(|number| number != workers.to_string()) {
                continue;
            }
            if let Some(only) = &only {
                match runtimes::ALL.iter().find(|(name, _)| name == only) {
                    Some((_, run)) => println!("{:<12} {workers:>7} {:>9.1}", work.name, run(work, workers)),
                    None => {
                        eprintln!("tasks: no library is called {only}");
                        return ExitCode::from(2);
                    }
                }
            } else {
                ahead &= compare(work, workers);
            }
        }
    }
    if only.is_none() {
        println!(
            "{}",
            if ahead { "pike is ahead of both in each" } else { "pike is NOT ahead of both in each" }
        );
    }
    if ahead { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints a line. Whether pike is ahead in it.
fn compare(work: &Work, workers: usize) -> bool {
    let mut figures = [const { Vec::new() }; 3];
    for round in 0..ROUNDS {
        for turn in 0..3 {
            let library = (round + turn) % 3;
            figures[library].push((runtimes::ALL[library].1)(work, workers));
        }
    }
    let [pike, tokio, executor] = figures.map(|mut figures| {
        figures.sort_by(f64::total_cmp);
        (figures[ROUNDS / 2], figures[0])
    });
    let cell = |(median, least): (f64, f64)| format!("{median:.1} ({least:.1})");
    println!("{:<12} {workers:>7} {:>16} {:>16} {:>16}", work.name, cell(pike), cell(tokio), cell(executor));
    pike.0 < tokio.0 && pike.0 < executor.0
}
