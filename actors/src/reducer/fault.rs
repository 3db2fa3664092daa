use std::fmt;

use rquickjs::{CaughtError, Ctx, Error, Exception, Value};

use super::meter::{Meter, Stop};

/// What stacks call the file that calls the author's code.
pub(super) const SANDBOX_FILE: &str = "weir:sandbox";
/// Bytes of an author's error text that are kept.
const MESSAGE_BYTES_MAX: usize = 2 * 1024;
/// Bytes of a stack that are kept.
const STACK_BYTES_MAX: usize = 4 * 1024;

/// What went wrong in an author's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The error, with its name: `TypeError: not a function`.
    pub message: String,
    /// Where: lines of `at handler (projection.js:3:9)`. May be empty.
    pub stack: String,
    /// Whether the event is to blame, and would be on every node: only then may a policy skip it. It is not when
    /// the machine's clock stopped the handler, or when the module itself does not load.
    pub of_event: bool,
}

impl Fault {
    /// A fault that the host found, which has no stack.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), stack: String::new(), of_event: true }
    }

    /// The same, and no event is to blame.
    pub(crate) fn of_no_event(self) -> Self {
        Self { of_event: false, ..self }
    }

    /// What the engine reports. A limit that was reached goes before whatever
    /// the author's code made of it.
    pub(super) fn of(ctx: &Ctx<'_>, error: Error, meter: &Meter) -> Self {
        let caught = CaughtError::from_error(ctx, error);
        match meter.stopped() {
            Some(Stop::Ticks { max }) => Self::new(format!("took more than {max} ticks for one event")),
            Some(Stop::Time { max }) => {
                Self::new(format!("took more than {} ms for one event", max.as_millis())).of_no_event()
            }
            None => Self::of_caught(caught),
        }
    }

    /// What the engine reports where nothing is limited.
    pub(super) fn caught(ctx: &Ctx<'_>, error: Error) -> Self {
        Self::of_caught(CaughtError::from_error(ctx, error))
    }

    fn of_caught(caught: CaughtError<'_>) -> Self {
        match caught {
            CaughtError::Exception(exception) => Self::of_exception(&exception),
            CaughtError::Value(value) => Self::new(cut(thrown(&value), MESSAGE_BYTES_MAX)),
            CaughtError::Error(error) => Self::new(cut(error.to_string(), MESSAGE_BYTES_MAX)),
        }
    }

    fn of_exception(exception: &Exception<'_>) -> Self {
        let name = exception.as_object().get::<_, String>("name").unwrap_or_else(|_| "Error".into());
        let message = exception.message().unwrap_or_default();
        let stack = exception.stack().unwrap_or_default();
        Self {
            message: cut(format!("{name}: {message}"), MESSAGE_BYTES_MAX),
            stack: cut(of_the_author(&stack), STACK_BYTES_MAX),
            of_event: true,
        }
    }
}

/// A stack without the frames that called the author's code.
fn of_the_author(stack: &str) -> String {
    let frames = stack.lines().filter(|frame| !frame.contains(SANDBOX_FILE));
    frames.collect::<Vec<_>>().join("\n")
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.stack.is_empty() { Ok(()) } else { write!(f, "\n{}", self.stack) }
    }
}

fn thrown(value: &Value<'_>) -> String {
    if value.is_null() {
        // The engine throws it too when it has no room left to make an error object.
        return "out of memory, or `null` was thrown".into();
    }
    if let Some(text) = value.as_string().and_then(|text| text.to_string().ok()) {
        return format!("thrown: {text}");
    }
    let text = value.ctx().json_stringify(value).ok().flatten().and_then(|text| text.to_string().ok());
    text.map_or_else(
        || format!("thrown: a value of type {}", value.type_name()),
        |text| format!("thrown: {text}"),
    )
}

fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
