//! What the evaluation of a filter costs is counted in steps: one for each value that an operator or a function is
//! given, with one for every value within it and one for every 64 bytes. No result is larger than what was counted for
//! it, so the steps bound time and memory alike, in the same way on every node.
//!
//! The counting is put into the expression: `a + b` becomes `@all(a) + @all(b)`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use cel::{
    Context, DeclarationError, ExecutionError, FunctionContext,
    common::{
        ast::{CallExpr, EntryExpr, Expr, IdedExpr as Expression, operators},
        types::{CelBool, CelBytes, CelList, CelMap, CelString},
        value::{CowVal, Val},
    },
};

use super::check::{MATCHES, Regexes, SIZE};

/// Counts a value with all that is in it.
const ALL: &str = "@all";
/// Counts a value that is asked for one of its keys, or for its size.
const ONE: &str = "@one";
/// Counts a value in which another is looked for: in a map by its key.
const WITHIN: &str = "@within";
/// Bytes of one step.
const STEP_BYTES: usize = 64;

type Function = Box<
    dyn for<'c, 'v> Fn(&mut FunctionContext<'c, 'v>) -> Result<CowVal<'c, 'v>, ExecutionError> + Send + Sync,
>;

/// The expression with its counting.
pub(super) fn charged(mut expression: Expression) -> Expression {
    match &mut expression.expr {
        Expr::Call(call) => charge_call(call),
        Expr::List(list) => list.elements.iter_mut().for_each(|element| charge(element, ALL)),
        Expr::Map(map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    charge(&mut entry.key, ALL);
                    charge(&mut entry.value, ALL);
                }
            }
        }
        Expr::Select(select) => charge_within(&mut select.operand),
        // Its loop begins with copies of what it goes over, and each of its steps is a call.
        Expr::Comprehension(comprehension) => {
            charge(&mut comprehension.iter_range, ALL);
            charge_within(&mut comprehension.loop_step);
        }
        Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) | Expr::Struct(_) => {}
    }
    expression
}

fn charge_call(call: &mut CallExpr) {
    let by: &[&str] = match call.func_name.as_str() {
        // One of the two others is what it gives; nobody looks at it here.
        operators::CONDITIONAL => &[ALL, "", ""],
        operators::INDEX => &[ONE, ALL],
        operators::IN => &[ALL, WITHIN],
        SIZE => &[ONE],
        _ => &[],
    };
    let of = |at: usize| by.get(at).copied().unwrap_or(ALL);
    if let Some(target) = &mut call.target {
        charge(target, of(0));
    }
    for (at, argument) in call.args.iter_mut().enumerate() {
        match of(at) {
            "" => charge_within(argument),
            by => charge(argument, by),
        }
    }
}

fn charge_within(expression: &mut Expression) {
    *expression = charged(std::mem::take(expression));
}

/// What the loops of the language keep for themselves, literals, and lists of what is counted one by one are not
/// counted. The loops know their own steps by their form.
fn charge(expression: &mut Expression, by: &str) {
    charge_within(expression);
    let is_free = match &expression.expr {
        Expr::Literal(_) | Expr::List(_) => true,
        Expr::Ident(name) => name.starts_with('@'),
        _ => false,
    };
    if !is_free {
        let counted = std::mem::take(expression);
        let call = CallExpr { func_name: by.to_owned(), target: None, args: vec![counted] };
        *expression = Expression { id: 0, expr: Expr::Call(call) };
    }
}

/// The steps that are left.
#[derive(Clone)]
pub(super) struct Budget(Arc<AtomicU64>);

impl Budget {
    pub(super) fn new(steps: u64) -> Self {
        Self(Arc::new(AtomicU64::new(steps)))
    }

    /// Gives a context what counts, and the function that needs what is compiled already.
    pub(super) fn bind(
        &self,
        context: &mut Context<'_, '_>,
        regexes: &Regexes,
    ) -> Result<(), DeclarationError> {
        context.add_function(ALL, self.counting(weigh))?;
        context.add_function(ONE, self.counting(weigh_one))?;
        context.add_function(WITHIN, self.counting(weigh_within))?;
        if regexes.is_empty() { Ok(()) } else { context.add_function(MATCHES, self.matching(regexes)) }
    }

    fn counting(&self, weigh: fn(&dyn Val, &mut u64) -> Option<()>) -> Function {
        let budget = self.clone();
        Box::new(move |call| {
            let value = call.args.pop().ok_or_else(ExecutionError::missing_argument_or_target)?;
            budget.take(|left| weigh(value.as_ref(), left))?;
            Ok(value)
        })
    }

    fn matching(&self, regexes: &Regexes) -> Function {
        let (budget, regexes) = (self.clone(), regexes.clone());
        Box::new(move |call| {
            let given = call.this.as_ref().or(call.args.first());
            let text = given.and_then(|given| given.downcast_ref::<CelString>());
            let pattern = call.args.last().and_then(|pattern| pattern.downcast_ref::<CelString>());
            let regex = pattern.and_then(|pattern| regexes.get(pattern.inner()));
            let (Some(text), Some(regex)) = (text, regex) else {
                return Err(call.error("it takes a text"));
            };
            // It does much more with each byte than others do.
            budget.take(|left| spend(left, text.inner().len()))?;
            Ok(CowVal::owned(CelBool::from(regex.is_match(text.inner()))))
        })
    }

    fn take(&self, spend: impl FnOnce(&mut u64) -> Option<()>) -> Result<(), ExecutionError> {
        let mut left = self.0.load(Relaxed);
        let within = spend(&mut left);
        self.0.store(if within.is_some() { left } else { 0 }, Relaxed);
        within.ok_or_else(|| ExecutionError::function_error("filter", "it takes too many steps"))
    }
}

/// `None` when the steps do not suffice.
fn spend(left: &mut u64, more: usize) -> Option<()> {
    let steps = 1 + u64::try_from(more).unwrap_or(u64::MAX - 1);
    *left = left.checked_sub(steps)?;
    Some(())
}

fn weigh(value: &dyn Val, left: &mut u64) -> Option<()> {
    if let Some(text) = value.downcast_ref::<CelString>() {
        return spend(left, text.inner().len() / STEP_BYTES);
    }
    if let Some(bytes) = value.downcast_ref::<CelBytes>() {
        return spend(left, bytes.inner().len() / STEP_BYTES);
    }
    spend(left, 0)?;
    if let Some(list) = value.downcast_ref::<CelList>() {
        list.inner().iter().try_for_each(|element| weigh(element.as_ref(), left))?;
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        for (key, value) in map.inner() {
            weigh(key.inner(), left)?;
            weigh(value.as_ref(), left)?;
        }
    }
    Some(())
}

fn weigh_one(value: &dyn Val, left: &mut u64) -> Option<()> {
    let is_flat = value.downcast_ref::<CelList>().is_none() && value.downcast_ref::<CelMap>().is_none();
    if is_flat { weigh(value, left) } else { spend(left, 0) }
}

fn weigh_within(value: &dyn Val, left: &mut u64) -> Option<()> {
    if value.downcast_ref::<CelMap>().is_some() { spend(left, 0) } else { weigh(value, left) }
}
