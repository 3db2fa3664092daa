use rquickjs::{Ctx, Null, Object, Undefined, Value, function::Args};
use uuid::fmt::Hyphenated;
use weir_types::{ContentType, RecordedEvent};

use super::event_text::{data_text, metadata_text, source_text, time_text};

/// The partition, and what an event is made of.
const ARGS: usize = 14;

/// An event on its way into a driver's `step`, in its parts: a text of all of it would have to be written, and parsed
/// again. It is there what its [`event_text`](super::event_text::event_text) says.
pub(super) fn event_args<'js>(
    ctx: &Ctx<'js>,
    partition: &str,
    event: &RecordedEvent,
) -> rquickjs::Result<Args<'js>> {
    let mut args = Args::new(ctx.clone(), ARGS);
    let mut id = [0; Hyphenated::LENGTH];
    args.push_arg(partition)?;
    args.push_arg(&*event.id.0.as_hyphenated().encode_lower(&mut id))?;
    args.push_arg(event.name.as_str())?;
    args.push_arg(ctx.json_parse(data_text(event))?)?;
    args.push_arg(event.entity_id.as_str())?;
    args.push_arg(event.entity_type.as_str())?;
    args.push_arg(number(ctx, event.version.0))?;
    args.push_arg(number(ctx, event.position.0))?;
    args.push_arg(time_text(event.recorded_at))?;
    match event.occurred_at {
        Some(at) => args.push_arg(time_text(at))?,
        None => args.push_arg(Null)?,
    }
    match metadata_text(event) {
        "{}" => args.push_arg(Object::new(ctx.clone())?)?,
        metadata => args.push_arg(ctx.json_parse(metadata)?)?,
    }
    args.push_arg(number(ctx, event.schema_version.into()))?;
    args.push_arg(source_text(event.source))?;
    match &event.content_type {
        ContentType::Json => args.push_arg(Undefined)?,
        ContentType::Other(content_type) => args.push_arg(content_type.as_str())?,
    }
    Ok(args)
}

/// As JavaScript reads it: above 2^53 it loses its last digits.
fn number<'js>(ctx: &Ctx<'js>, number: u64) -> Value<'js> {
    match i32::try_from(number) {
        Ok(small) => Value::new_int(ctx.clone(), small),
        Err(_) => Value::new_float(ctx.clone(), number as f64),
    }
}
