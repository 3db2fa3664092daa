//! The one table of everything that the index and the state keep: key families.
//!
//! | store | family | key after the family byte | value |
//! |---|---|---|---|
//! | index | `s` self-check | | format version and group |
//! | index | `m` applied mark | | what is applied, membership, running digest |
//! | index | `h` head | entity id | type, version, positions, times |
//! | index | `e` stream run | stream number, first version | places of one append's events |
//! | index | `p` log run | first position | places of one entry's events |
//! | index | `n` name | stream number | entity id |
//! | index | `t` type member | entity type, NUL, stream number | entity id |
//! | index | `c` count | entity type, or nothing for all | number of streams |
//! | index | `i` idempotency | entity id, NUL, key | digest and first result |
//! | index | `x` expiry | first position | keys remembered from there on |
//! | index | `N` `T` `G` facet | event name, entity type or tag, NUL, first position | positions of such events |
//! | index | `k` key-value applied | | last log index that held a key-value command |
//! | index | `r` rules applied | | last log index that changed rules |
//! | state | `s` self-check | | format version and group |
//! | state | `a` registry applied | | last log index that changed the registry |
//! | state | `r` registry | projection name | log index of the deploy, definition |
//! | state | `o` registry outcome | log index | what that command led to |
//! | state | `c` checkpoint | projection name, NUL, log index | checkpoint |
//! | state | `v` view | projection name, NUL, log index, partition key | state and position |
//! | state | `l` dead letter | projection name, NUL, log index, position | event and error |
//! | state | `f` partition rebuild | projection name, NUL, log index | how the last one ended here |
//! | state | `g` rules revision | | last log index that changed rules |
//! | state | `u` rules | entity type, or nothing for the namespace | log index that set them, rules |
//! | state | `e` schema | event name, NUL, version | schema |
//! | state | `p` upcaster | event name, NUL, version, log index | what stands from there on, if anything does |
//! | state | `q` upcasters revision | | last log index that changed upcasters |
//! | state | `k` key-value mark | | last log index of a key-value command, its time, buckets numbered so far |
//! | state | `b` bucket | bucket name | its number, what was asked for, counts |
//! | state | `d` bucket that is gone | bucket number | nothing: keys are still to be dropped |
//! | state | `h` key | bucket number, key | the versions that are kept, and when they are due |
//! | state | `w` value | bucket number, key, NUL, revision | the value's bytes |
//! | state | `x` due | time, bucket number, key | nothing |
//! | state | `y` key-value digest | log index | a digest of what that entry's key-value commands led to |
//!
//! Every key begins with its group id. A number is one byte that counts its
//! significant bytes, and those, big-endian: byte order is number order, and
//! most keys fit the 20 bytes that fjall keeps without another allocation.
//! Names hold no control character, so a NUL ends one,
//! and no name is a prefix of another's key. A stream's number is the position
//! of its first event: keys stay short, and a name never becomes structure.
//! The last column is encoded by `codec`, behind its version byte.

use weir_types::{Facet, FacetKind, GroupId, LogIndex, Position, Revision, StreamVersion, Timestamp};

/// A stream's number: the position of its first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamNo(pub u64);

/// A bucket's number, never given twice: keys of a bucket that is gone are not those of its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketNo(pub u64);

const NUL: u8 = 0;

/// A key of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexKey<'a> {
    /// The self-check record.
    SelfCheck,
    /// The applied mark.
    Mark,
    /// A stream's head, by entity id.
    Head(&'a str),
    /// A run of a stream's events, by the version of its first.
    StreamRun(StreamNo, StreamVersion),
    /// A run of the log's events, by the position of its first.
    LogRun(Position),
    /// The entity id of a stream.
    Name(StreamNo),
    /// A stream of an entity type.
    TypeMember(&'a str, StreamNo),
    /// The number of streams of an entity type, or of all.
    Count(Option<&'a str>),
    /// An idempotency key of an entity.
    Idempotency(&'a str, &'a str),
    /// Idempotency keys that were remembered from this position on.
    Expiry(Position),
    /// Positions of events with a facet, by the first of them.
    Facet(Facet<'a>, Position),
    /// The last log index that held a key-value command.
    KvApplied,
    /// The last log index that changed rules.
    RulesApplied,
}

impl<'a> IndexKey<'a> {
    /// The bytes of the key.
    #[must_use]
    pub fn encode(self, group: GroupId) -> Vec<u8> {
        let mut out = Vec::with_capacity(32);
        self.encode_into(group, &mut out);
        out
    }

    /// Puts the bytes of the key in place of what `out` holds.
    pub fn encode_into(self, group: GroupId, out: &mut Vec<u8>) {
        out.clear();
        push_number(out, group.0);
        out.push(self.family());
        match self {
            Self::SelfCheck | Self::Mark | Self::Count(None) | Self::KvApplied | Self::RulesApplied => {}
            Self::Head(name) | Self::Count(Some(name)) => out.extend_from_slice(name.as_bytes()),
            Self::StreamRun(stream, version) => {
                push_number(out, stream.0);
                push_number(out, version.0);
            }
            Self::LogRun(Position(number))
            | Self::Expiry(Position(number))
            | Self::Name(StreamNo(number)) => {
                push_number(out, number);
            }
            Self::TypeMember(entity_type, stream) => {
                out.extend_from_slice(entity_type.as_bytes());
                out.push(NUL);
                push_number(out, stream.0);
            }
            Self::Facet(facet, position) => {
                out.extend_from_slice(facet.text.as_bytes());
                out.push(NUL);
                push_number(out, position.0);
            }
            Self::Idempotency(entity, key) => {
                out.extend_from_slice(entity.as_bytes());
                out.push(NUL);
                out.extend_from_slice(key.as_bytes());
            }
        }
    }

    fn family(self) -> u8 {
        match self {
            Self::SelfCheck => b's',
            Self::Mark => b'm',
            Self::Head(_) => b'h',
            Self::StreamRun(..) => b'e',
            Self::LogRun(_) => b'p',
            Self::Name(_) => b'n',
            Self::TypeMember(..) => b't',
            Self::Count(_) => b'c',
            Self::Idempotency(..) => b'i',
            Self::Expiry(_) => b'x',
            Self::Facet(facet, _) => facet_family(facet.kind),
            Self::KvApplied => b'k',
            Self::RulesApplied => b'r',
        }
    }

    /// Reads a key; `None` when the bytes are not one.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<(GroupId, Self)> {
        let (group, rest) = take_number(bytes)?;
        let (family, rest) = rest.split_first()?;
        let key = match family {
            b's' if rest.is_empty() => Self::SelfCheck,
            b'm' if rest.is_empty() => Self::Mark,
            b'k' if rest.is_empty() => Self::KvApplied,
            b'r' if rest.is_empty() => Self::RulesApplied,
            b'c' if rest.is_empty() => Self::Count(None),
            b'c' => Self::Count(Some(text(rest)?)),
            b'h' => Self::Head(text(rest)?),
            b'e' => {
                let (stream, version) = take_number(rest)?;
                Self::StreamRun(StreamNo(stream), StreamVersion(number(version)?))
            }
            b'p' => Self::LogRun(Position(number(rest)?)),
            b'x' => Self::Expiry(Position(number(rest)?)),
            b'n' => Self::Name(StreamNo(number(rest)?)),
            b't' => {
                let (entity_type, rest) = until_nul(rest)?;
                Self::TypeMember(entity_type, StreamNo(number(rest)?))
            }
            b'N' | b'T' | b'G' => {
                let (text, position) = until_nul(rest)?;
                let kind = facet_kind(*family)?;
                Self::Facet(Facet { kind, text }, Position(number(position)?))
            }
            b'i' => {
                let (entity, key) = until_nul(rest)?;
                Self::Idempotency(entity, text(key)?)
            }
            _ => return None,
        };
        Some((GroupId(group), key))
    }
}

fn facet_family(kind: FacetKind) -> u8 {
    match kind {
        FacetKind::Name => b'N',
        FacetKind::EntityType => b'T',
        FacetKind::Tag => b'G',
    }
}

fn facet_kind(family: u8) -> Option<FacetKind> {
    [FacetKind::Name, FacetKind::EntityType, FacetKind::Tag]
        .into_iter()
        .find(|kind| facet_family(*kind) == family)
}

/// A key of the state. A projection's deployment is its name and log index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateKey<'a> {
    /// The self-check record.
    SelfCheck,
    /// The last log index that changed the registry.
    RegistryApplied,
    /// A deployed projection, by name.
    Registry(&'a str),
    /// What a registry command led to.
    RegistryOutcome(LogIndex),
    /// A deployment's checkpoint.
    Checkpoint(&'a str, LogIndex),
    /// One partition's state of a deployment.
    View(&'a str, LogIndex, &'a str),
    /// An event that a deployment passed without folding it.
    DeadLetter(&'a str, LogIndex, Position),
    /// How the last rebuild of a single partition of a deployment ended.
    PartitionRebuild(&'a str, LogIndex),
    /// How far key-value commands are applied.
    KvMark,
    /// A bucket, by name.
    Bucket(&'a str),
    /// A bucket that is gone.
    GoneBucket(BucketNo),
    /// A key of a bucket.
    KvHead(BucketNo, &'a str),
    /// A value of a key.
    KvValue(BucketNo, &'a str, Revision),
    /// A key that is due; times are not negative.
    KvDue(Timestamp, BucketNo, &'a str),
    /// What the key-value commands of an entry led to.
    KvDigest(LogIndex),
    /// The last log index that changed rules.
    RulesRevision,
    /// The rules of an entity type, or of the namespace.
    Rules(&'a str),
    /// The schema of a version of events of a name.
    Schema(&'a str, u32),
    /// The last log index that changed upcasters.
    UpcastersRevision,
    /// The upcaster of events of a name from a version, as a log index left it.
    Upcaster(&'a str, u32, LogIndex),
}

impl<'a> StateKey<'a> {
    /// The bytes of the key.
    #[must_use]
    pub fn encode(self, group: GroupId) -> Vec<u8> {
        let mut out = Vec::with_capacity(48);
        push_number(&mut out, group.0);
        match self {
            Self::SelfCheck => out.push(b's'),
            Self::RegistryApplied => out.push(b'a'),
            Self::Registry(name) => {
                out.push(b'r');
                out.extend_from_slice(name.as_bytes());
            }
            Self::RegistryOutcome(index) => {
                out.push(b'o');
                push_number(&mut out, index.0);
            }
            Self::Checkpoint(name, deployed) => {
                out.push(b'c');
                push_deployment(&mut out, name, deployed);
            }
            Self::View(name, deployed, partition) => {
                out.push(b'v');
                push_deployment(&mut out, name, deployed);
                out.extend_from_slice(partition.as_bytes());
            }
            Self::DeadLetter(name, deployed, position) => {
                out.push(b'l');
                push_deployment(&mut out, name, deployed);
                push_number(&mut out, position.0);
            }
            Self::PartitionRebuild(name, deployed) => {
                out.push(b'f');
                push_deployment(&mut out, name, deployed);
            }
            Self::RulesRevision => out.push(b'g'),
            Self::Rules(scope) => {
                out.push(b'u');
                out.extend_from_slice(scope.as_bytes());
            }
            Self::Schema(name, version) => {
                out.push(b'e');
                out.extend_from_slice(name.as_bytes());
                out.push(NUL);
                push_number(&mut out, version.into());
            }
            Self::UpcastersRevision => out.push(b'q'),
            Self::Upcaster(name, from, set) => {
                out.push(b'p');
                out.extend_from_slice(name.as_bytes());
                out.push(NUL);
                push_number(&mut out, from.into());
                push_number(&mut out, set.0);
            }
            kv => kv.encode_kv(&mut out),
        }
        out
    }

    /// What the keys of all schemas begin with.
    pub(crate) fn schemas(group: GroupId) -> Vec<u8> {
        Self::family(group, b'e')
    }

    /// What the keys of all upcasters begin with.
    pub(crate) fn upcasters(group: GroupId) -> Vec<u8> {
        Self::family(group, b'p')
    }

    fn family(group: GroupId, family: u8) -> Vec<u8> {
        let mut prefix = Self::Rules("").encode(group);
        *prefix.last_mut().expect("a key has a family byte") = family;
        prefix
    }

    fn encode_kv(self, out: &mut Vec<u8>) {
        let mut keyed = |family: u8, numbers: &[u64], text: &str| {
            out.push(family);
            for number in numbers {
                push_number(out, *number);
            }
            out.extend_from_slice(text.as_bytes());
        };
        match self {
            Self::KvMark => keyed(b'k', &[], ""),
            Self::Bucket(name) => keyed(b'b', &[], name),
            Self::GoneBucket(bucket) => keyed(b'd', &[bucket.0], ""),
            Self::KvHead(bucket, key) => keyed(b'h', &[bucket.0], key),
            Self::KvDue(at, bucket, key) => keyed(b'x', &[at.0.max(0).unsigned_abs(), bucket.0], key),
            Self::KvDigest(index) => keyed(b'y', &[index.0], ""),
            Self::KvValue(bucket, key, revision) => {
                keyed(b'w', &[bucket.0], key);
                out.push(NUL);
                push_number(out, revision.0);
            }
            _ => unreachable!("the other families are encoded by the caller"),
        }
    }

    fn decode_kv(family: u8, rest: &'a [u8]) -> Option<Self> {
        Some(match family {
            b'k' if rest.is_empty() => Self::KvMark,
            b'b' => Self::Bucket(text(rest)?),
            b'd' => Self::GoneBucket(BucketNo(number(rest)?)),
            b'h' => {
                let (bucket, key) = take_number(rest)?;
                Self::KvHead(BucketNo(bucket), text(key)?)
            }
            b'w' => {
                let (bucket, rest) = take_number(rest)?;
                let (key, revision) = until_nul(rest)?;
                Self::KvValue(BucketNo(bucket), key, Revision(number(revision)?))
            }
            b'x' => {
                let (at, rest) = take_number(rest)?;
                let (bucket, key) = take_number(rest)?;
                Self::KvDue(Timestamp(i64::try_from(at).ok()?), BucketNo(bucket), text(key)?)
            }
            b'y' => Self::KvDigest(LogIndex(number(rest)?)),
            _ => return None,
        })
    }

    /// Reads a key; `None` when the bytes are not one.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<(GroupId, Self)> {
        let (group, rest) = take_number(bytes)?;
        let (family, rest) = rest.split_first()?;
        let key = match family {
            b's' if rest.is_empty() => Self::SelfCheck,
            b'a' if rest.is_empty() => Self::RegistryApplied,
            b'r' => Self::Registry(text(rest)?),
            b'o' => Self::RegistryOutcome(LogIndex(number(rest)?)),
            b'c' => {
                let (name, deployed) = until_nul(rest)?;
                Self::Checkpoint(name, LogIndex(number(deployed)?))
            }
            b'v' => {
                let (name, rest) = until_nul(rest)?;
                let (deployed, partition) = take_number(rest)?;
                Self::View(name, LogIndex(deployed), text(partition)?)
            }
            b'l' => {
                let (name, rest) = until_nul(rest)?;
                let (deployed, position) = take_number(rest)?;
                Self::DeadLetter(name, LogIndex(deployed), Position(number(position)?))
            }
            b'f' => {
                let (name, deployed) = until_nul(rest)?;
                Self::PartitionRebuild(name, LogIndex(number(deployed)?))
            }
            b'g' if rest.is_empty() => Self::RulesRevision,
            b'u' => Self::Rules(text(rest)?),
            b'e' => {
                let (name, version) = until_nul(rest)?;
                Self::Schema(name, u32::try_from(number(version)?).ok()?)
            }
            b'q' if rest.is_empty() => Self::UpcastersRevision,
            b'p' => {
                let (name, rest) = until_nul(rest)?;
                let (from, set) = take_number(rest)?;
                Self::Upcaster(name, u32::try_from(from).ok()?, LogIndex(number(set)?))
            }
            family => Self::decode_kv(*family, rest)?,
        };
        Some((GroupId(group), key))
    }
}

fn push_deployment(out: &mut Vec<u8>, name: &str, deployed: LogIndex) {
    out.extend_from_slice(name.as_bytes());
    out.push(NUL);
    push_number(out, deployed.0);
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    let bytes = number.to_be_bytes();
    let zeros = (number.leading_zeros() / 8) as usize;
    out.push((bytes.len() - zeros) as u8);
    out.extend_from_slice(&bytes[zeros..]);
}

/// A number and what follows it. Only the form that [`push_number`] writes is one.
fn take_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&len, rest) = bytes.split_first()?;
    let (digits, rest) = rest.split_at_checked(len.into())?;
    if digits.len() > 8 || digits.first() == Some(&0) {
        return None;
    }
    Some((digits.iter().fold(0, |number, digit| number << 8 | u64::from(*digit)), rest))
}

fn number(bytes: &[u8]) -> Option<u64> {
    take_number(bytes).filter(|(_, rest)| rest.is_empty()).map(|(number, _)| number)
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn until_nul(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == NUL)?;
    Some((text(&bytes[..end])?, &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GROUP: GroupId = GroupId::DEFAULT;

    fn name() -> impl Strategy<Value = String> {
        proptest::collection::vec(any::<char>().prop_filter("legal", |c| !c.is_control()), 1..12)
            .prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #[test]
        fn index_keys_read_back(a in name(), b in name(), x in any::<u64>(), y in any::<u64>()) {
            for key in [
                IndexKey::SelfCheck,
                IndexKey::Mark,
                IndexKey::Head(&a),
                IndexKey::StreamRun(StreamNo(x), StreamVersion(y)),
                IndexKey::LogRun(Position(x)),
                IndexKey::Name(StreamNo(x)),
                IndexKey::TypeMember(&a, StreamNo(y)),
                IndexKey::Count(None),
                IndexKey::Count(Some(&a)),
                IndexKey::Idempotency(&a, &b),
                IndexKey::Expiry(Position(y)),
                IndexKey::Facet(Facet { kind: FacetKind::Name, text: &a }, Position(x)),
                IndexKey::Facet(Facet { kind: FacetKind::EntityType, text: &b }, Position(y)),
                IndexKey::Facet(Facet { kind: FacetKind::Tag, text: &b }, Position(x)),
                IndexKey::KvApplied,
                IndexKey::RulesApplied,
            ] {
                let bytes = key.encode(GroupId(y));
                prop_assert_eq!(IndexKey::decode(&bytes), Some((GroupId(y), key)));
            }
        }

        #[test]
        fn state_keys_read_back(a in name(), b in name(), x in any::<u64>()) {
            for key in [
                StateKey::SelfCheck,
                StateKey::RegistryApplied,
                StateKey::Registry(&a),
                StateKey::RegistryOutcome(LogIndex(x)),
                StateKey::Checkpoint(&a, LogIndex(x)),
                StateKey::View(&a, LogIndex(x), &b),
                StateKey::DeadLetter(&a, LogIndex(x), Position(x / 5)),
                StateKey::PartitionRebuild(&a, LogIndex(x)),
                StateKey::KvMark,
                StateKey::Bucket(&a),
                StateKey::GoneBucket(BucketNo(x)),
                StateKey::KvHead(BucketNo(x), &a),
                StateKey::KvValue(BucketNo(x), &a, Revision(x / 3)),
                StateKey::KvDue(Timestamp((x >> 1).cast_signed()), BucketNo(x / 7), &b),
                StateKey::KvDigest(LogIndex(x)),
                StateKey::RulesRevision,
                StateKey::Rules(&a),
                StateKey::Schema(&a, x as u32),
                StateKey::UpcastersRevision,
                StateKey::Upcaster(&a, x as u32, LogIndex(x / 3)),
            ] {
                let bytes = key.encode(GROUP);
                prop_assert_eq!(StateKey::decode(&bytes), Some((GROUP, key)));
            }
        }

        #[test]
        fn byte_order_is_number_order(a in any::<(u64, u64)>(), b in any::<(u64, u64)>()) {
            let run = |(s, v)| IndexKey::StreamRun(StreamNo(s), StreamVersion(v)).encode(GROUP);
            prop_assert_eq!(run(a).cmp(&run(b)), a.cmp(&b));
            let log = |n| IndexKey::LogRun(Position(n)).encode(GROUP);
            prop_assert_eq!(log(a.0).cmp(&log(b.0)), a.0.cmp(&b.0));
            let member = |n| IndexKey::TypeMember("t", StreamNo(n)).encode(GROUP);
            prop_assert_eq!(member(a.0).cmp(&member(b.0)), a.0.cmp(&b.0));
        }

        #[test]
        fn names_never_run_into_what_follows(a in name(), b in name(), c in name(), d in name()) {
            let same = (&a, &b) == (&c, &d);
            prop_assert_eq!(
                IndexKey::Idempotency(&a, &b).encode(GROUP) == IndexKey::Idempotency(&c, &d).encode(GROUP),
                same
            );
            // The members of one type are exactly the keys between its bounds.
            let bounds = [0, u64::MAX].map(|n| IndexKey::TypeMember(&a, StreamNo(n)).encode(GROUP));
            let other = IndexKey::TypeMember(&c, StreamNo(7)).encode(GROUP);
            prop_assert_eq!(bounds[0] <= other && other <= bounds[1], a == c);
        }
    }

    #[test]
    fn foreign_bytes_are_no_key() {
        for bytes in [&b""[..], b"short", b"12345678", b"12345678?", b"12345678p1234567", b"12345678tno-nul"]
        {
            assert_eq!(IndexKey::decode(bytes), None, "{bytes:?}");
        }
        assert_eq!(StateKey::decode(b"12345678vname\x001234567"), None);
    }
}
