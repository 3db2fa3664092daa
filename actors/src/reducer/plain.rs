use rquickjs::{Ctx, Filter, Object, Persistent, Value, atom::PredefinedAtom};

/// Values in a state that are looked at after each event.
pub(super) const LOOKED_AT: u32 = 64;

/// Finds out whether a state is what JSON holds, as nearly all are. What it does not know is not plain here: the sandbox's
/// own check, in JavaScript, judges that, tells what is wrong with it and mends what can be mended. That check of each
/// state would be a quarter of what the fold of a small one costs.
pub(super) struct Plain {
    object: Persistent<Object<'static>>,
    array: Persistent<Object<'static>>,
}

impl Plain {
    /// Of the prototypes of what is made by `{}` and by `[]`.
    pub(super) fn save<'js>(ctx: &Ctx<'js>, object: Object<'js>, array: Object<'js>) -> Self {
        Self { object: Persistent::save(ctx, object), array: Persistent::save(ctx, array) }
    }

    /// Whether nothing has to be done about a state, as far as it is looked at.
    pub(super) fn is<'js>(&self, ctx: &Ctx<'js>, state: &Value<'js>) -> rquickjs::Result<bool> {
        if is_scalar(state) {
            return Ok(true);
        }
        let object = self.object.clone().restore(ctx)?;
        let array = self.array.clone().restore(ctx)?;
        Walk { object, array, left: LOOKED_AT, found: Vec::new() }.through(state)
    }
}

/// Whether a value is of no parts, and what JSON holds. A text of half characters has no UTF-8.
fn is_scalar(value: &Value<'_>) -> bool {
    value.is_int()
        || value.as_string().is_some_and(|text| text.to_string().is_ok())
        || value.is_null()
        || value.is_bool()
        || value.as_float().is_some_and(f64::is_finite)
}

struct Walk<'js> {
    object: Object<'js>,
    array: Object<'js>,
    left: u32,
    /// What hangs in the state. What hangs there twice is one thing only until it was stored.
    found: Vec<Value<'js>>,
}

impl<'js> Walk<'js> {
    /// No deeper than there are values left.
    fn through(&mut self, value: &Value<'js>) -> rquickjs::Result<bool> {
        let Some(object) = value.as_object().filter(|_| !value.is_function()) else { return Ok(false) };
        if self.found.contains(value) {
            return Ok(false);
        }
        self.found.push(value.clone());
        let prototype = object.get_prototype();
        if value.is_array() {
            return Ok(prototype.as_ref() == Some(&self.array) && self.through_list(object)?);
        }
        let plain = prototype.is_none_or(|prototype| prototype == self.object);
        Ok(plain && self.all(object.own_values(Filter::default()))?)
    }

    /// A list so long that its length is no small number is not plain: what is in it can only be holes.
    fn through_list(&mut self, list: &Object<'js>) -> rquickjs::Result<bool> {
        match list.get::<_, Value<'js>>(PredefinedAtom::Length)?.as_int() {
            Some(length) => self.all((0..length).map(|index| list.get(index.cast_unsigned()))),
            None => Ok(false),
        }
    }

    fn all(&mut self, values: impl Iterator<Item = rquickjs::Result<Value<'js>>>) -> rquickjs::Result<bool> {
        for value in values {
            let Some(left) = self.left.checked_sub(1) else { return Ok(true) };
            self.left = left;
            let value = value?;
            if !is_scalar(&value) && !self.through(&value)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
