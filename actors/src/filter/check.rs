//! What a filter may say, and what it needs for that.

use std::{collections::HashMap, sync::Arc};

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr as Expression, LiteralValue, SelectExpr, operators,
};
use regex::{Regex, RegexBuilder};
use weir_types::{
    FilterError,
    limits::{FILTER_BRACKETS_MAX, FILTER_DEPTH_MAX, FILTER_LOOPS_MAX, FILTER_REGEX_BYTES_MAX},
};

use super::values::{FIELDS, Needs};

/// What the operators of the language are called in its tree.
const OPERATORS: [&str; 21] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::NOT_STRICTLY_FALSE,
    operators::IN,
    SIZE,
    MATCHES,
];
/// The other functions.
const FUNCTIONS: [&str; 11] =
    ["contains", "startsWith", "endsWith", "string", "int", "uint", "double", "bytes", "bool", "type", "dyn"];
/// Names of types, which are values too.
const TYPES: [&str; 10] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];
pub(super) const SIZE: &str = "size";
pub(super) const MATCHES: &str = "matches";

/// The regular expressions of a filter, each compiled once.
pub(super) type Regexes = Arc<HashMap<String, Regex>>;

/// What is known of a legal filter.
pub(super) struct Checked {
    pub(super) needs: Needs,
    pub(super) regexes: Regexes,
}

/// Refuses brackets that are nested too deep for any reader, whether they stand within a text or not.
pub(super) fn brackets(text: &str) -> Result<(), FilterError> {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest <= FILTER_BRACKETS_MAX {
        return Ok(());
    }
    Err(FilterError::Illegal { reason: format!("brackets are nested over {FILTER_BRACKETS_MAX} levels") })
}

impl Checked {
    /// Looks through the whole expression.
    pub(super) fn new(expression: &Expression) -> Result<Self, String> {
        let mut walk = Walk::default();
        walk.expression(expression, 0)?;
        Ok(Self { needs: walk.needs, regexes: Arc::new(walk.regexes) })
    }
}

#[derive(Default)]
struct Walk<'e> {
    needs: Needs,
    regexes: HashMap<String, Regex>,
    /// Names that a loop around this place has given.
    bound: Vec<&'e str>,
    loops: usize,
}

impl<'e> Walk<'e> {
    fn expression(&mut self, expression: &'e Expression, depth: usize) -> Result<(), String> {
        let below = depth + 1;
        if below > FILTER_DEPTH_MAX {
            return Err(format!("it is nested over {FILTER_DEPTH_MAX} levels"));
        }
        match &expression.expr {
            Expr::Unspecified => Err("it has a part that cannot be read".to_owned()),
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => self.select(select, below),
            Expr::Call(call) => self.call(call, below),
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.expression(element, below)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.expression(&entry.key, below)?;
                    self.expression(&entry.value, below)
                }
                EntryExpr::StructField(_) => Err("a map has a field of a message".to_owned()),
            }),
            Expr::Struct(message) => Err(format!("there is no message `{}`", message.type_name)),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, below),
        }
    }

    fn name(&mut self, name: &str) -> Result<(), String> {
        let plain = name.trim_start_matches('.');
        if self.is_bound(plain) || TYPES.contains(&plain) || self.needs.variable(plain) {
            return Ok(());
        }
        Err(format!("`{plain}` is not known; there are event, data, metadata and name"))
    }

    fn is_bound(&self, name: &str) -> bool {
        name.starts_with('@') || self.bound.contains(&name)
    }

    fn select(&mut self, select: &'e SelectExpr, depth: usize) -> Result<(), String> {
        match &select.operand.expr {
            Expr::Ident(name) if name.trim_start_matches('.') == "event" && !self.is_bound("event") => {
                if self.needs.field(&select.field) {
                    return Ok(());
                }
                Err(format!("event has no `{}`; it has {}", select.field, FIELDS.join(", ")))
            }
            _ => self.expression(&select.operand, depth),
        }
    }

    fn call(&mut self, call: &'e CallExpr, depth: usize) -> Result<(), String> {
        let name = call.func_name.as_str();
        if !OPERATORS.contains(&name) && !FUNCTIONS.contains(&name) {
            return Err(format!("function `{name}` is not known, or has other arguments"));
        }
        if name == MATCHES {
            self.regex(call)?;
        }
        call.target.iter().try_for_each(|target| self.expression(target, depth))?;
        call.args.iter().try_for_each(|argument| self.expression(argument, depth))
    }

    /// A regular expression is compiled here, once: so it is a text that stands in the filter.
    fn regex(&mut self, call: &CallExpr) -> Result<(), String> {
        let all = call.args.len() + usize::from(call.target.is_some());
        let pattern = match call.args.last().map(|argument| &argument.expr) {
            Some(Expr::Literal(LiteralValue::String(pattern))) if all == 2 => pattern.inner(),
            _ => return Err("matches takes a text, and a regular expression in quotes".to_owned()),
        };
        let compiled = RegexBuilder::new(pattern)
            .size_limit(FILTER_REGEX_BYTES_MAX)
            .dfa_size_limit(FILTER_REGEX_BYTES_MAX)
            .build()
            .map_err(|error| format!("`{pattern}` is no regular expression: {error}"))?;
        self.regexes.insert(pattern.to_owned(), compiled);
        Ok(())
    }

    fn comprehension(&mut self, of: &'e ComprehensionExpr, depth: usize) -> Result<(), String> {
        self.expression(&of.iter_range, depth)?;
        self.loops += 1;
        if self.loops > FILTER_LOOPS_MAX {
            return Err(format!("all, exists, map and filter are nested over {FILTER_LOOPS_MAX} levels"));
        }
        let before = self.bound.len();
        self.bound.push(&of.iter_var);
        self.bound.extend(of.iter_var2.as_deref());
        for part in [&of.accu_init, &of.loop_cond, &of.loop_step, &of.result] {
            self.expression(part, depth)?;
        }
        self.bound.truncate(before);
        self.loops -= 1;
        Ok(())
    }
}
