//! Listens to what the product logs: each line is part of the trace, and an
//! error that nobody expects is a finding.

use std::{
    fmt::{self, Write as _},
    panic,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, ThreadId},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::{
    disk::{POWER_IS_OFF, SYNC_FAILED},
    trace::Trace,
};

/// Fields that tell real time, which differs from run to run.
const REAL_TIME: [&str; 3] = ["milliseconds", "took_ms", "folder"];
/// Errors that faults are to cause.
const EXPECTED: [&str; 2] = [POWER_IS_OFF, SYNC_FAILED];
/// Findings that are kept.
const KEPT_MAX: usize = 20;

/// What was heard that should not be. Clones share it.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    /// Errors and panics so far, in order.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, what: String) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() < KEPT_MAX {
            heard.push(what);
        }
    }
}

/// Begins to listen, for the rest of the process. `aloud` repeats every line on stderr.
#[must_use]
pub fn listen(trace: &Trace, aloud: bool) -> Heard {
    let heard = Heard::default();
    let listener =
        Listener { trace: trace.clone(), heard: heard.clone(), aloud, main: thread::current().id() };
    // A process simulates once.
    let _ = tracing::subscriber::set_global_default(listener);
    let panics = heard.clone();
    panic::set_hook(Box::new(move |info| {
        if aloud {
            eprintln!("{info}");
        }
        panics.add(format!("panic: {info}"));
    }));
    heard
}

struct Listener {
    trace: Trace,
    heard: Heard,
    aloud: bool,
    main: ThreadId,
}

struct Line {
    text: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to text does not fail.
        let _ = match field.name() {
            "message" => write!(self.text, "{value:?}"),
            name if REAL_TIME.contains(&name) => Ok(()),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::INFO && metadata.target().starts_with("weir")
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::INFO)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line { text: String::new(), fields: String::new() };
        event.record(&mut line);
        let (level, target) = (event.metadata().level(), event.metadata().target());
        let text = format!("{level} {target}: {}{}", line.text, line.fields);
        // What a node says while it is being ended, nobody hears.
        if *level == Level::ERROR
            && self.trace.is_inside()
            && !EXPECTED.iter().any(|known| text.contains(known))
        {
            self.heard.add(text.clone());
        }
        if self.aloud {
            eprintln!("{:>10} {text}", self.trace.now_us());
        }
        // Another thread speaks when it likes.
        if thread::current().id() == self.main {
            self.trace.note(format_args!("log {text}"));
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
