//! The table at the end.

use std::{fmt, time::Duration};

use super::histogram::Histogram;

pub struct Report {
    /// And why it was taken.
    pub backend: String,
    /// Of the server.
    pub workers: usize,
    pub connections: u64,
    pub message_len: usize,
    pub time: Duration,
    /// One for each message.
    pub latencies: Histogram,
    /// Of the server's thread, or why they could not be counted.
    pub syscalls: Result<u64, String>,
    /// Of the server's thread.
    pub allocations: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "{name:<26}{value}");
        let messages = self.latencies.count();
        let per_message = |count: u64| format!("{:.3}", count as f64 / messages.max(1) as f64);
        row("backend", self.backend.clone())?;
        row("workers", self.workers.to_string())?;
        row("connections", grouped(self.connections))?;
        row("message size", format!("{} bytes", grouped(self.message_len as u64)))?;
        row("messages", format!("{} in {:.2?}", grouped(messages), self.time))?;
        row("messages per second", grouped((messages as f64 / self.time.as_secs_f64()) as u64))?;
        row("latency p50", format!("{:.1?}", self.latencies.quantile(0.5)))?;
        row("latency p99", format!("{:.1?}", self.latencies.quantile(0.99)))?;
        row("latency p99.9", format!("{:.1?}", self.latencies.quantile(0.999)))?;
        let syscalls = self.syscalls.as_ref().map(|count| per_message(*count));
        let not_counted = |reason: &String| format!("not counted: {reason}");
        row("syscalls per message", syscalls.unwrap_or_else(not_counted))?;
        row("allocations per message", per_message(self.allocations))?;
        writeln!(
            f,
            "\nThe last two rows are the server's alone. A latency includes the wait behind the other connections."
        )
    }
}

/// A number with a comma between each three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_digits() {
        let all = [0, 999, 1000, 123_456, 1_234_567].map(grouped);
        assert_eq!(all, ["0", "999", "1,000", "123,456", "1,234,567"]);
    }
}
