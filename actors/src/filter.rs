//! Filters of events: expressions of the Common Expression Language, which say of one event whether it is wanted.
//!
//! Invariants:
//! - Whether an event matches depends on the expression and the event alone: on no clock, no node and no other event.
//! - An expression that fails for an event, or gives no boolean, does not match it. It ends nothing.
//! - What an expression may cost is bounded before it is kept ([`check`]) and while it is evaluated ([`charge`]).

mod charge;
mod check;
mod values;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use cel::{
    Context, Env, ParseErrors, Value,
    common::{ast::IdedExpr as Expression, types::CelBool},
};
use weir_types::{FilterError, FilterText, RecordedEvent, limits};

use self::{
    charge::{Budget, charged},
    check::Checked,
};
use crate::off_runtime;

/// The parser and what walks over its tree go down once for each operator: a thread of the runtime has less.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// A filter that is ready to be asked. What it needs of an event, and nothing else, is made ready for it.
pub struct EventFilter {
    text: FilterText,
    expression: Expression,
    checked: Checked,
    env: Arc<Env>,
}

impl EventFilter {
    /// Reads and checks a filter, off the runtime.
    ///
    /// # Errors
    /// [`FilterError`].
    pub async fn new(text: FilterText) -> Result<Arc<Self>, FilterError> {
        let compiled = off_runtime(move || Self::compile(&text)).await;
        compiled.unwrap_or_else(|_| Err(unreadable())).map(Arc::new)
    }

    /// Reads and checks a filter, on a thread of its own.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn compile(text: &FilterText) -> Result<Self, FilterError> {
        check::brackets(text.as_str())?;
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("filter".to_owned()).stack_size(STACK_BYTES);
            let compiling = thread.spawn_scoped(scope, || Self::read(text)).map_err(|_| unreadable())?;
            // The parser gave up in its own way: the text is none that it can read.
            compiling.join().unwrap_or_else(|_| Err(unreadable()))
        })
    }

    fn read(text: &FilterText) -> Result<Self, FilterError> {
        // Optional values are no part of the language: their functions are not among those that are allowed.
        let env = Env::stdlib().with_optional_support(false);
        let program = env.compile(text.as_str()).map_err(|errors| syntax(&errors))?;
        let checked = Checked::new(program.expression()).map_err(|reason| FilterError::Illegal { reason })?;
        let expression = charged(program.expression().clone());
        Ok(Self { text: text.clone(), expression, checked, env: Arc::new(env) })
    }

    /// The filter as it was written.
    #[must_use]
    pub fn text(&self) -> &FilterText {
        &self.text
    }

    /// Whether it takes an event. It may take long: [`limits::FILTER_STEPS_MAX`] steps, and to read the event's data.
    #[must_use]
    pub fn takes(&self, event: &RecordedEvent) -> bool {
        self.judge(event) == Ok(true)
    }

    /// The same, with the reason why it cannot be said.
    ///
    /// # Errors
    /// Why the expression has no boolean for the event.
    pub fn judge(&self, event: &RecordedEvent) -> Result<bool, String> {
        catch_unwind(AssertUnwindSafe(|| self.evaluate(event)))
            .unwrap_or_else(|_| Err("evaluation panicked".to_owned()))
    }

    fn evaluate(&self, event: &RecordedEvent) -> Result<bool, String> {
        let mut context = Context::with_env(self.env.clone());
        let budget = Budget::new(limits::FILTER_STEPS_MAX);
        let failed = |error: &dyn fmt::Display| error.to_string();
        budget.bind(&mut context, &self.checked.regexes).map_err(|error| failed(&error))?;
        for (name, value) in values::of(event, &self.checked.needs)? {
            context.add_variable_as_val(name, value);
        }
        let value = Value::resolve_val(&self.expression, &context).map_err(|error| failed(&error))?;
        let boolean = value.downcast_ref::<CelBool>().map(|boolean| *boolean.inner());
        boolean.ok_or_else(|| format!("result is {}, not a bool", value.get_type().name()))
    }
}

impl fmt::Debug for EventFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventFilter").field(&self.text).finish()
    }
}

fn unreadable() -> FilterError {
    FilterError::Illegal { reason: "it cannot be read".to_owned() }
}

/// The first thing that the parser says.
fn syntax(errors: &ParseErrors) -> FilterError {
    let Some(first) = errors.errors.first() else { return unreadable() };
    let from_one = |number: isize| usize::try_from(number).unwrap_or(0).max(1);
    let reason = first.msg.trim_start_matches("Syntax error: ").chars().take(300).collect();
    FilterError::Syntax { line: from_one(first.pos.0), column: from_one(first.pos.1), reason }
}

#[cfg(test)]
mod tests;
