//! How far long work has come: a bar on a terminal, a plain line now and then elsewhere, both on standard error.

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

/// Without a terminal, a line so often.
const PLAIN_LINE_INTERVAL: Duration = Duration::from_secs(2);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Entries,
    Wallets,
    Bytes,
}

impl Unit {
    /// Behind a number.
    const fn name(self) -> &'static str {
        match self {
            Self::Entries => " entries",
            Self::Wallets => " wallets",
            Self::Bytes => "",
        }
    }
}

/// Progress of one piece of work. It is gone from a terminal when it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    unit: Unit,
    /// 0 if it is not known.
    goal: u64,
    bar: Option<ProgressBar>,
    told_at: Instant,
}

impl Progress {
    /// Of work called `what`, until `goal`; 0 if nobody knows.
    pub(crate) fn begin(what: &'static str, unit: Unit, goal: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let goal = (goal > 0).then_some(goal);
            let bar = ProgressBar::with_draw_target(goal, ProgressDrawTarget::stderr());
            let name = unit.name();
            let template = match (goal, unit) {
                (Some(_), Unit::Bytes) => {
                    "{msg} {bar:24} {percent:>3}% {bytes} of {total_bytes} {eta} left".to_owned()
                }
                (None, Unit::Bytes) => "{spinner} {msg} {bytes}".to_owned(),
                (Some(_), _) => {
                    format!(
                        "{{msg}} {{bar:24}} {{percent:>3}}% {{human_pos}} of {{human_len}}{name} {{eta}} left"
                    )
                }
                (None, _) => format!("{{spinner}} {{msg}} {{human_pos}}{name}"),
            };
            bar.set_style(ProgressStyle::with_template(&template).expect("the template is right"));
            bar.set_message(what);
            bar
        });
        Self { what, unit, goal, bar, told_at: Instant::now() }
    }

    /// It has come so far.
    pub(crate) fn set(&mut self, done: u64) {
        if let Some(bar) = &self.bar {
            return bar.set_position(done);
        }
        if self.told_at.elapsed() >= PLAIN_LINE_INTERVAL {
            self.told_at = Instant::now();
            eprintln!("{}", self.line(done));
        }
    }

    fn line(&self, done: u64) -> String {
        let amount = |count: u64| match self.unit {
            Unit::Entries | Unit::Wallets => count.to_string(),
            Unit::Bytes => HumanBytes(count).to_string(),
        };
        let unit = self.unit.name();
        match self.goal {
            0 => format!("{}: {}{unit}", self.what, amount(done)),
            goal => format!("{}: {} of {}{unit}", self.what, amount(done), amount(goal)),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_of_what() {
        let line = |unit, goal| Progress::begin("folding", unit, goal).line(1 << 20);
        assert_eq!(line(Unit::Entries, 0), "folding: 1048576 entries");
        assert_eq!(line(Unit::Entries, 2_000_000), "folding: 1048576 of 2000000 entries");
        assert_eq!(line(Unit::Wallets, 0), "folding: 1048576 wallets");
        assert_eq!(line(Unit::Bytes, 3 << 20), "folding: 1.00 MiB of 3.00 MiB");
    }
}
