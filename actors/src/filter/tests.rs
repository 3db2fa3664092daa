use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use uuid::Uuid;
use weir_types::{
    ContentType, EntityId, EntityType, EventId, EventName, EventSource, Position, StreamVersion, Timestamp,
};

use super::*;

fn event(data: &serde_json::Value) -> RecordedEvent {
    RecordedEvent {
        id: EventId(Uuid::from_u128(7)),
        entity_id: EntityId::new("order-1").unwrap(),
        entity_type: EntityType::new("order").unwrap(),
        name: EventName::new("order.placed").unwrap(),
        version: StreamVersion(2),
        position: Position(9),
        schema_version: 3,
        content_type: ContentType::Json,
        data: Bytes::from(data.to_string()),
        metadata: Bytes::from_static(br#"{"user":"ada"}"#),
        recorded_at: Timestamp(1_000_000),
        occurred_at: None,
        source: EventSource::Api,
        tags: Vec::new(),
    }
}

fn order() -> RecordedEvent {
    event(&json!({
        "amount": 120, "share": 0.5, "large": 12_345_678_901_234_567_890_u64, "paid": true, "none": null,
        "city": "Łódź", "odd key": 1, "items": [{ "sku": "a-1", "n": 2 }, { "sku": "b-2", "n": 7 }], "tags": ["x", "y"],
    }))
}

fn compile(text: &str) -> Result<EventFilter, FilterError> {
    EventFilter::compile(&FilterText::new(text).unwrap())
}

fn judge(text: &str, event: &RecordedEvent) -> Result<bool, String> {
    compile(text).unwrap_or_else(|error| panic!("{text}: {error}")).judge(event)
}

#[test]
fn an_event_matches_by_what_it_is() {
    for (text, expected) in [
        ("true", true),
        ("data.amount > 100", true),
        ("data.amount > 100.5 && data.share < 1", true),
        ("data.amount >= 121", false),
        ("data.large > 9223372036854775807", true),
        ("data.paid && !(data.amount == 1)", true),
        ("data.none == null", true),
        ("data.city == 'Łódź' && size(data.city) == 4", true),
        ("data['odd key'] == 1", true),
        ("name == 'order.placed'", true),
        ("name.startsWith('order.') && name.endsWith('placed') && name.contains('r.p')", true),
        ("event.name.matches('^order\\\\.(placed|paid)$')", true),
        ("matches(name, 'shipped')", false),
        ("metadata.user == 'ada' && event.metadata.user == 'ada'", true),
        ("event.entityId == 'order-1' && event.entityType == 'order'", true),
        (
            "event.version == 2 && event.entityVersion == 2 && event.position == 9 && event.schemaVersion == 3",
            true,
        ),
        (
            "event.recordedAt > '1970-01-01T00:00:00' && event.timestamp == '1970-01-01T00:00:01.000000Z'",
            true,
        ),
        ("event.source == 'api' && event.id.endsWith('07') && event.tags.size() == 0", true),
        ("has(event.occurredAt) || has(event.contentType)", false),
        ("has(data.amount) && !has(data.missing)", true),
        ("has(data.missing) && data.missing > 1", false),
        ("data.missing > 1 || data.amount > 1", true),
        ("data.items.exists(item, item.n > 5)", true),
        ("data.items.all(item, item.sku.startsWith('a'))", false),
        ("data.items.exists_one(item, item.n > 5)", true),
        ("data.items.filter(item, item.n > 5).map(item, item.sku) == ['b-2']", true),
        ("data.items.map(item, item.n > 5, item.sku).size() == 1", true),
        ("data.items.all(item, data.tags.exists(tag, tag < item.sku) || item.n > 0)", true),
        ("'x' in data.tags && 'amount' in data && !('z' in data.tags)", true),
        ("data.tags[1] == 'y' && data.tags + ['z'] == ['x', 'y', 'z']", true),
        ("data.amount > 100 ? data.city != '' : false", true),
        ("type(data.amount) == int && string(data.amount) == '120' && int('7') + 1 == 8", true),
        ("[event].exists(e, e.data.amount == 120 && e.name == name)", true),
        ("{'a': data.amount}.a == 120", true),
        ("-data.amount < 0 && data.amount % 7 == 1 && data.amount / 2 == 60", true),
    ] {
        assert_eq!(judge(text, &order()), Ok(expected), "{text}");
    }
}

#[test]
fn an_event_for_which_the_expression_fails_does_not_match() {
    for (text, says) in [
        ("data.missing > 1", "No such key"),
        ("data.amount > 'a'", "no matching overload"),
        ("data.city + 1 == ''", ""),
        ("data.amount", "result is int"),
        ("data.tags[7] == 'x'", ""),
        ("1 / 0 == 1", ""),
        ("9223372036854775807 + 1 > 0", ""),
        ("event.occurredAt > ''", "No such key"),
        ("data.amount.matches('a')", "takes a text"),
        ("int('x') == 1", ""),
    ] {
        let filter = compile(text).unwrap();
        let failed = filter.judge(&order()).unwrap_err();
        assert!(failed.contains(says), "{text}: {failed}");
        assert!(!filter.takes(&order()), "{text}");
    }
    let bytes = RecordedEvent { content_type: ContentType::Other("image/png".into()), ..order() };
    assert_eq!(judge("has(event.contentType) && type(data) == string", &bytes), Ok(true));
    let broken = RecordedEvent { data: Bytes::from_static(b"{"), ..order() };
    assert!(judge("data.amount > 1", &broken).is_err());
    assert_eq!(judge("event.position == 9", &broken), Ok(true), "what nobody asks for is not read");
    let bare = RecordedEvent { metadata: Bytes::new(), ..order() };
    assert_eq!(judge("has(metadata.user)", &bare), Ok(false));
}

#[test]
fn what_is_no_filter_is_refused_with_its_reason() {
    let nested = |levels: usize| format!("{}true{}", "(".repeat(levels), ")".repeat(levels));
    let long = format!("name == '{}'", "x".repeat(limits::FILTER_BYTES_MAX));
    assert!(matches!(FilterText::new(&long), Err(FilterError::TooLong { .. })));
    assert!(compile(&nested(limits::FILTER_BRACKETS_MAX)).is_ok());
    for (text, says) in [
        ("data.amount >", "line 1, column"),
        ("data.amount >\n > 1", "line 2, column 2"),
        ("a b", "line 1, column 3"),
        ("'", "column"),
        ("amount > 100", "`amount` is not known"),
        ("[1].exists(x, y > 1)", "`y` is not known"),
        ("[1].exists(x, x > 1) && x > 1", "`x` is not known"),
        ("event.entity_id == ''", "event has no `entity_id`; it has id, name"),
        ("timestamp(event.recordedAt) > timestamp('2020')", "function `timestamp` is not known"),
        ("data.items.exists(1)", "function `exists` is not known"),
        ("optional.of(1).hasValue()", "is not known"),
        ("data.?amount == 1", "unsupported syntax"),
        ("Message{a: 1} == 1", "no message"),
        ("name.matches(data.pattern)", "in quotes"),
        ("name.matches('(')", "no regular expression"),
        ("name.matches('(a{999}){999}')", "no regular expression"),
        ("[1].all(a, [1].all(b, [1].all(c, a + b + c > 0)))", "nested over 2 levels"),
        (&nested(limits::FILTER_BRACKETS_MAX + 1), "brackets are nested"),
        (&format!("{}true", "!".repeat(999)), ""),
        (&format!("data{} == 1", "[0]".repeat(300)), "nested over"),
        (&format!("data{} == 1", ".a".repeat(500)), "nested over"),
        (&format!("1{} == 1", "+1".repeat(500)), "nested over"),
        (&"true ? ".repeat(140), ""),
        (&"(".repeat(1_000), "brackets"),
        (&"a.b(".repeat(32), ""),
        ("\0", ""),
        ("\u{1F980} == 1", ""),
        ("`x`", ""),
        ("b'\\xff' == data.x &&", ""),
    ] {
        let began = Instant::now();
        match compile(text) {
            Err(error) => assert!(error.to_string().contains(says), "{text}: {error}"),
            Ok(_) => assert_eq!(says, "", "{text} is taken"),
        }
        assert!(began.elapsed() < Duration::from_secs(2), "{text} took {:?}", began.elapsed());
    }
}

#[test]
fn what_costs_too_much_fails_soon() {
    let many: Vec<u64> = (0..100_000).collect();
    let large = event(&json!({ "l": many, "s": "a".repeat(500_000), "p": { "q": 1 } }));
    for (text, expected) in [
        ("data.l.exists(x, x == 7)", Some(true)),
        ("data.p.q == 1 && data.l[3] == 3 && size(data.l) == 100000 && 'p' in data", Some(true)),
        ("data.s.contains('b')", Some(false)),
        ("data.l.all(x, data.l.all(y, x + y >= 0))", None),
        ("data.l.all(x, data.l.all(y, true))", None),
        ("data.l.exists(x, data.l == [x])", None),
        ("data.l.exists(x, size(data.s) == x)", None),
        ("data.l.map(x, data.s + data.s).size() == 1", None),
        ("data.l.map(x, [data.l, data.l]).size() == 1", None),
        ("data.l.map(x, {'a': data.s}).size() == 1", None),
        ("data.l.exists(x, data.s.matches('(a|aa)+b'))", None),
        ("data.l.map(x, data.l.map(y, y)).size() == 1", None),
        (&format!("size({}) == 1", ["data.s"; 40].join("+")), None),
    ] {
        let Ok(filter) = compile(text) else { panic!("{text}: {:?}", compile(text).err()) };
        let began = Instant::now();
        let judged = filter.judge(&large);
        match expected {
            Some(expected) => assert_eq!(judged, Ok(expected), "{text}"),
            None => assert!(
                judged.as_ref().is_err_and(|why| why.contains("too many steps")),
                "{text}: {judged:?}"
            ),
        }
        assert!(began.elapsed() < Duration::from_secs(3), "{text} took {:?}", began.elapsed());
    }
}

#[test]
fn only_what_is_asked_for_is_made_ready() {
    let names = |text: &str| {
        let filter = compile(text).unwrap();
        let given = values::of(&order(), &filter.checked.needs).unwrap();
        given
            .into_iter()
            .map(|(name, value)| (name, value.as_sizer().map(|of| *of.size().inner())))
            .collect::<Vec<_>>()
    };
    assert_eq!(names("name == ''"), [("name", Some(12))]);
    assert_eq!(names("event.name == '' && event.version > 0"), [("event", Some(2))]);
    assert_eq!(names("[{'event': 1}].exists(event, event.event == 1)"), []);
}
