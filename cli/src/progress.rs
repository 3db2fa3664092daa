use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress on stderr: a bar on a terminal, else a line every five seconds.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    line_due: Instant,
}

impl Progress {
    /// Progress towards `total`; 0 is a total that is not known.
    pub(crate) fn new(total: u64) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:30} {percent:>3}% {msg} [{elapsed}, {eta} left]");
            bar.set_style(style.expect("the template is legal"));
            bar
        });
        Self { bar, line_due: Instant::now() + LINE_EVERY }
    }

    /// Says where it is. Cheap enough to be called ten times a second.
    pub(crate) fn at(&mut self, done: u64, text: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(text());
        } else if Instant::now() >= self.line_due {
            eprintln!("{}", text());
            self.line_due = Instant::now() + LINE_EVERY;
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
