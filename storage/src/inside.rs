//! Doors to what is private, for fuzz targets.

use weir_types::{EntityId, ProjectionDefinition, RegistryOutcome, ports};

use crate::{
    codec::{
        CodecError, StoredCheckpoint, StoredDefinition, StoredExpiry, StoredHead, StoredMark,
        StoredRegistryOutcome, StoredRemembered, StoredRun, StoredView, decode, encode,
    },
    index::{AppliedMark, Expiring, Remembered, Run},
};

/// Reads bytes as every kind of value that index and state hold. Gives each
/// kind that takes them, and the bytes that it is written as again.
#[must_use]
pub fn values_again(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let kinds = [
        ("head", head(bytes)),
        ("run", run(bytes)),
        ("remembered", remembered(bytes)),
        ("expiry", expiry(bytes)),
        ("mark", mark(bytes)),
        ("definition", definition(bytes)),
        ("registry outcome", registry_outcome(bytes)),
        ("checkpoint", checkpoint(bytes)),
        ("view", view(bytes)),
    ];
    kinds.into_iter().filter_map(|(kind, written)| Some((kind, written.ok()?))).collect()
}

fn head(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let entity = EntityId::new("e").expect("one letter is a legal id");
    let read = decode::<StoredHead<'_>>("head", bytes)?.read(entity)?;
    Ok(encode(&StoredHead::from(&read)))
}

fn run(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let run = Run::try_from(decode::<StoredRun>("run", bytes)?)?;
    Ok(encode(&StoredRun::from(&run)))
}

fn remembered(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let remembered = Remembered::from(decode::<StoredRemembered>("remembered", bytes)?);
    Ok(encode(&StoredRemembered::from(&remembered)))
}

fn expiry(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let keys = Vec::<Expiring>::try_from(decode::<StoredExpiry<'_>>("expiry", bytes)?)?;
    Ok(encode(&StoredExpiry::from(&keys[..])))
}

fn mark(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mark = AppliedMark::from(decode::<StoredMark<'_>>("mark", bytes)?);
    Ok(encode(&StoredMark::from(&mark)))
}

fn definition(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let definition = ProjectionDefinition::try_from(decode::<StoredDefinition<'_>>("definition", bytes)?)?;
    Ok(encode(&StoredDefinition::from(&definition)))
}

fn registry_outcome(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let outcome = RegistryOutcome::try_from(decode::<StoredRegistryOutcome<'_>>("outcome", bytes)?)?;
    Ok(encode(&StoredRegistryOutcome::from(&outcome)))
}

fn checkpoint(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let checkpoint = ports::Checkpoint::try_from(decode::<StoredCheckpoint<'_>>("checkpoint", bytes)?)?;
    Ok(encode(&StoredCheckpoint::from(&checkpoint)))
}

fn view(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let view = ports::View::from(decode::<StoredView<'_>>("view", bytes)?);
    Ok(encode(&StoredView::from(&view)))
}
