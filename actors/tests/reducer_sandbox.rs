//! What an author's code can do, cannot do, and what becomes of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/bench.rs"]
mod bench;
#[path = "support/events.rs"]
mod events;

use std::time::Duration;

use bench::Bench;
use bytes::Bytes;
use events::event;
use serde_json::json;
use weir_actors::reducer::{ReducerLimits, inspect};
use weir_types::{ContentType, EventSource, OnError, RecordedEvent, StreamVersion, Timestamp};

/// A module around a handler's body.
fn module(body: &str) -> String {
    format!(
        "export const name = 'p';\nexport const events = ['*'];\nexport const initialState = () => ({{n: 0}});\n\
         export function handler(state, event, ctx) {{\n{body}\n}}\n"
    )
}

/// Folds three events with this handler, the second of which is called `bad`.
async fn fold(body: &str) -> Bench {
    fold_within(body, ReducerLimits::default()).await
}

async fn fold_within(body: &str, limits: ReducerLimits) -> Bench {
    let mut bench = Bench::with(&module(body), limits);
    let batch: Vec<_> = [(1, "good"), (2, "bad"), (3, "good")]
        .map(|(position, name)| event(position, name, "e", &json!({"x": position})))
        .into();
    bench.fold(&batch).await;
    bench
}

#[tokio::test]
async fn what_is_not_deterministic_does_not_exist() {
    for expression in [
        "typeof Date",
        "typeof Math.random",
        "typeof performance",
        "typeof WeakRef",
        "typeof FinalizationRegistry",
        "typeof setTimeout",
        "typeof queueMicrotask",
        "typeof fetch",
        "typeof require",
        "typeof process",
        "typeof eval",
        "typeof SharedArrayBuffer",
        "typeof Atomics",
        "typeof Intl",
        "typeof std",
        "typeof os",
        "typeof navigator",
    ] {
        let bench = fold(&format!("state.type = {expression}")).await;
        assert_eq!(bench.global(), r#"{"n":0,"type":"undefined"}"#, "{expression}");
    }
}

#[tokio::test]
async fn only_known_globals_exist() {
    let bench =
        fold("state.names = Object.getOwnPropertyNames(globalThis).filter((n) => /^[a-z]/.test(n)).sort()")
            .await;
    let expected = "console,decodeURI,decodeURIComponent,encodeURI,encodeURIComponent,escape,globalThis,isFinite,\
                    isNaN,parseFloat,parseInt,undefined,unescape";
    let state: serde_json::Value = serde_json::from_str(bench.global()).unwrap();
    let names: Vec<_> =
        state["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(names.join(","), expected);
}

#[tokio::test]
async fn an_escape_is_a_fault_at_its_event() {
    for (body, message) in [
        ("new Function('return 1')()", "cannot make code from text"),
        ("(() => {}).constructor('return 1')()", "cannot make code from text"),
        ("(function* () {}).constructor('yield 1')", "cannot make code from text"),
        ("(async () => {}).constructor('return 1')", "cannot make code from text"),
        ("globalThis.count = 1", ""),
        ("Array.prototype.push = null", ""),
        ("Object.prototype.polluted = 1", ""),
        ("Object.prototype.toString = 1", "frozen"),
        ("Math.max = Math.min", ""),
        ("JSON.parse = null", ""),
        ("console.log = null", ""),
        ("undeclared = 1", "not defined"),
        ("Error.prepareStackTrace = (error, sites) => { state.sites = sites }", "not extensible"),
        ("Error.stackTraceLimit = 0", "not extensible"),
    ] {
        let bench = fold(&format!("if (event.name === 'bad') {{ {body} }} else state.n += 1")).await;
        let failure = bench.failure.as_ref().unwrap_or_else(|| panic!("{body} passed"));
        assert_eq!(failure.position.0, 2, "{body}");
        assert!(failure.fault.message.contains(message), "{body}: {}", failure.fault.message);
        assert_eq!(bench.global(), r#"{"n":1}"#, "{body}: what came before is kept");
    }
}

#[tokio::test]
async fn importing_is_refused() {
    let bench = fold("state.n += 1; import('os').then(() => { state.n = 100 }, () => {})").await;
    assert_eq!(bench.global(), r#"{"n":3}"#);
    assert!(inspect(&format!("import * as os from 'os';\n{}", module(""))).is_err());
}

#[tokio::test]
async fn a_limit_is_a_fault_at_its_event() {
    let limits = ReducerLimits {
        ticks_per_event_max: 20,
        event_time_max: Duration::from_millis(100),
        memory_bytes_max: 16 * 1024 * 1024,
        ..ReducerLimits::default()
    };
    for (body, message) in [
        ("for (;;) {}", "ticks"),
        ("try { for (;;) {} } catch { for (;;) {} } finally { for (;;) {} }", "ticks"),
        ("const f = () => f(); f()", "Maximum call stack"),
        ("const a = []; for (;;) a.push('x'.repeat(1000) + a.length)", "memory"),
        ("let s = 'x'; for (;;) s += s", ""),
        ("'a'.repeat(30) + 'b'; /^(a+)+$/.test('a'.repeat(40) + 'b')", "more than"),
        ("throw new Error('no')", "Error: no"),
        ("throw 'no'", "thrown: no"),
        ("throw { no: 1 }", r#"thrown: {"no":1}"#),
        ("throw null", ""),
        ("throw { get message() { for (;;) {} } }", "thrown"),
        ("null.x", "TypeError"),
    ] {
        let bench =
            fold_within(&format!("if (event.name === 'bad') {{ {body} }}; state.n += 1"), limits).await;
        let failure = bench.failure.as_ref().unwrap_or_else(|| panic!("{body} passed"));
        assert_eq!(failure.position.0, 2, "{body}");
        assert!(failure.fault.message.contains(message), "{body}: {}", failure.fault.message);
        assert_eq!(bench.global(), r#"{"n":1}"#, "{body}: what came before is kept");
    }
}

#[tokio::test]
async fn a_failed_event_leaves_nothing_of_itself() {
    let bench = fold(
        "state.n += 1; state.half = true; if (event.name === 'bad') throw new Error('no'); delete state.half",
    )
    .await;
    assert_eq!(bench.global(), r#"{"n":1}"#);
    assert_eq!(bench.passed, 1);
}

#[tokio::test]
async fn a_fault_names_file_line_and_function() {
    let bench = fold("if (event.name === 'bad') {\n  event.data.a.b\n}").await;
    let fault = &bench.failure.as_ref().unwrap().fault;
    assert!(fault.message.starts_with("TypeError: "), "{}", fault.message);
    assert!(fault.stack.contains("handler (projection.js:6:"), "{}", fault.stack);
}

#[tokio::test]
async fn a_state_is_what_json_holds() {
    for (body, message) in [
        ("return () => 1", "state is a function"),
        ("return Symbol('x')", "state is a symbol"),
        ("state.big = 1n", "state.big is a bigint"),
        ("state.f = () => 1", "state.f is a function"),
        ("state.m = new Map()", "state.m is an instance of a class"),
        ("state.f = Object.setPrototypeOf(() => 1, Object.prototype)", "state.f is a function"),
        ("state.l = Object.setPrototypeOf([1], Object.prototype)", "state.l is an instance of a class"),
        ("state.p = Promise.resolve(1)", "state.p is an instance of a class"),
        // It is told anew for each event.
        ("state.c = ctx", "state.c is an instance of a class"),
        ("state.n = NaN", "state.n is NaN"),
        ("state.l = [1, undefined]", "state.l[1] is undefined"),
        ("state.l = []; state.l[2 ** 32 - 2] = 1", "state.l[0] is undefined"),
        ("state.self = state", "circular"),
        ("state.deep = {l: [{x: 1 / 0}]}", "state.deep.l[0].x is Infinity"),
        ("return (async () => state)()", "must not be async"),
        ("state.short = 'ab😀'.slice(0, 3)", "state.short holds half of a character"),
        ("state.l = ['😀'[0]]", "state.l[0] holds half of a character"),
        ("state['😀'[1]] = 1", "a key holds half of a character"),
        ("return '😀'[0]", "state holds half of a character"),
        ("let d = {}; state.d = d; for (let i = 0; i < 1e5; i += 1) { d.d = {}; d = d.d }", ""),
        (
            "state.wide = Object.fromEntries(Array.from({length: 200}, (_, i) => [`k${i}`, i])); state.wide.k150 = NaN",
            "state.wide.k150 is NaN",
        ),
    ] {
        let bench = fold(&format!("if (event.name === 'bad') {{ {body} }} else state.n += 1")).await;
        let failure = bench.failure.as_ref().unwrap_or_else(|| panic!("{body} passed: {}", bench.global()));
        assert_eq!(failure.position.0, 2, "{body}");
        assert!(failure.fault.message.contains(message), "{body}: {}", failure.fault.message);
        assert_eq!(bench.global(), r#"{"n":1}"#, "{body}");
    }
}

#[tokio::test]
async fn a_text_of_whole_characters_is_kept_whatever_it_looks_like() {
    let bench = fold(r"state.t = '😀\\ud83d\\\\ud83d\u0001' + 'ab😀'.slice(0, 3) + '😀'[1]").await;
    assert_eq!(bench.failure, None);
    let state: serde_json::Value = serde_json::from_str(bench.global()).unwrap();
    assert_eq!(state["t"], "😀\\ud83d\\\\ud83d\u{1}ab😀");
}

#[tokio::test]
async fn what_is_thrown_is_told_whatever_it_is() {
    for (body, message) in [
        ("throw { code: 1 }", r#"thrown: {"code":1}"#),
        ("throw 0", "thrown: 0"),
        ("throw 'text'", "thrown: text"),
        ("throw null", "out of memory, or `null` was thrown"),
        ("throw undefined", "thrown: a value of type undefined"),
        ("throw { toJSON() { throw 1 } }", "thrown: a value of type object"),
        ("throw { toJSON() { for (;;) {} } }", "thrown: a value of type object"),
    ] {
        let bench = fold(&format!("if (event.name === 'bad') {{ {body} }}")).await;
        assert_eq!(bench.failure.as_ref().unwrap().fault.message, message, "{body}");
    }
}

#[tokio::test]
async fn a_handler_that_returns_nothing_must_have_changed_its_state_in_place() {
    for (initial, kind) in [("0", "a number"), ("'x'", "a string"), ("true", "a boolean"), ("null", "null")] {
        let source = format!(
            "export const name = 'p'; export const events = ['*']; export const initialState = () => {initial};\n\
             export const handler = (state, event) => {{ if (event.name === 'good') return {initial} }};"
        );
        let mut bench = Bench::of(&source);
        bench.fold(&[event(1, "good", "e", &json!({})), event(2, "bad", "e", &json!({}))]).await;
        let failure = bench.failure.as_ref().unwrap_or_else(|| panic!("{initial} passed"));
        assert_eq!(failure.position.0, 2, "{initial}");
        let expected = format!("returned nothing, and a state that is {kind} cannot be changed in place");
        assert!(failure.fault.message.contains(&expected), "{}", failure.fault.message);
    }
}

#[tokio::test]
async fn a_policy_has_one_of_two_names() {
    for (policy, expected) in [
        ("", Ok(OnError::Park)),
        ("export const onError = 'park';", Ok(OnError::Park)),
        ("export const onError = 'skip';", Ok(OnError::Skip)),
        ("export const onError = 'ignore';", Err("`ignore`, and must be `park` or `skip`")),
        ("export const onError = 7;", Err("`onError` must be a string")),
    ] {
        let read = inspect(&format!("{}{policy}", module("state.n += 1")));
        match (read, expected) {
            (Ok(definition), Ok(expected)) => assert_eq!(definition.on_error, expected, "{policy}"),
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (read, _) => panic!("{policy}: {read:?}"),
        }
    }
}

#[tokio::test]
async fn a_state_over_its_limit_is_a_fault() {
    let limits = ReducerLimits { state_bytes_max: 1000, ..ReducerLimits::default() };
    let bench =
        fold_within("state.n += 1; if (event.name === 'bad') state.text = 'x'.repeat(1000)", limits).await;
    let failure = bench.failure.as_ref().unwrap();
    assert_eq!(failure.position.0, 2);
    assert!(failure.fault.message.contains("over the limit of 1000"), "{}", failure.fault.message);
    assert_eq!(bench.global(), r#"{"n":1}"#);
}

#[tokio::test]
async fn handlers_return_or_mutate() {
    for (body, expected) in [
        ("state.n += 1", r#"{"n":3}"#),
        ("return {n: state.n + 1}", r#"{"n":3}"#),
        ("return {...state, note: undefined}", r#"{"n":0}"#),
        ("return event.position", "3"),
        ("return null", "null"),
        ("state.a = event.data; state.b = event.data; state.a.x += 1", r#"{"n":0,"a":{"x":4},"b":{"x":4}}"#),
        (
            "state[event.name === 'bad' ? 'constructor' : '__proto__'] = 1",
            r#"{"n":0,"__proto__":1,"constructor":1}"#,
        ),
        ("state.p = ctx.partition; state.e = ctx.event.entityId", r#"{"n":0,"p":"__global__","e":"e"}"#),
        (
            "const {event: {position}} = ctx; state[position] = ctx.event === ctx.event",
            r#"{"1":true,"2":true,"3":true,"n":0}"#,
        ),
        (
            "state.t = event.timestamp; state.o = event.occurredAt; state.m = event.metadata; state.s = event.source",
            r#"{"n":0,"t":"2024-03-01T11:00:00.000000Z","o":null,"m":{},"s":"api"}"#,
        ),
        ("console.log('x'); state.n += Math.max(1, 2)", r#"{"n":6}"#),
    ] {
        let bench = fold(body).await;
        assert_eq!(bench.failure, None, "{body}");
        assert_eq!(bench.global(), expected, "{body}");
    }
}

#[tokio::test]
async fn a_handler_is_given_all_of_an_event() {
    let given = RecordedEvent {
        version: StreamVersion(3_000_000_000),
        schema_version: 2,
        metadata: Bytes::from_static(br#"{"tenant":"t","n":{"deep":[1]}}"#),
        occurred_at: Some(Timestamp(0)),
        source: EventSource::Import,
        ..event(1, "order.placed", "o-\"1\"", &json!({"__proto__": 1, "x": [1.5, null, "é"]}))
    };
    let mut bench = Bench::of(&module("return {event, names: Object.keys(event).length}"));
    bench.fold(&[given]).await;
    assert_eq!(
        bench.global(),
        r#"{"event":{"id":"00000000-0000-0000-0000-000000000001","name":"order.placed","#.to_owned()
            + r#""data":{"__proto__":1,"x":[1.5,null,"é"]},"#
            + r#""entityId":"o-\"1\"","entityType":"thing","version":3000000000,"position":1,"#
            + r#""timestamp":"2024-03-01T11:00:00.000000Z","occurredAt":"1970-01-01T00:00:00.000000Z","#
            + r#""metadata":{"tenant":"t","n":{"deep":[1]}},"schemaVersion":2,"source":"import"},"names":12}"#
    );
    let bytes = ContentType::Other("image/png".into());
    let other = RecordedEvent {
        content_type: bytes,
        data: Bytes::from_static(b"\x89"),
        ..event(2, "e", "e", &json!(0))
    };
    bench.fold(&[other]).await;
    assert!(
        bench.global().contains(r#""data":null,"#) && bench.global().contains(r#""contentType":"image/png""#)
    );
}

#[tokio::test]
async fn a_state_that_json_cannot_hold_is_a_fault_of_its_event_though_the_next_one_mends_it() {
    for value in [
        "NaN",
        "1n",
        "() => 1",
        "new Map()",
        "Promise.resolve(1)",
        "Object.setPrototypeOf(() => 1, Object.prototype)",
        "Object.setPrototypeOf([1], Object.prototype)",
        "[[undefined]]",
        "{a: [{b: 1 / 0}]}",
    ] {
        let source = module(&format!("if (event.name === 'bad') state.x = {value}; else delete state.x"));
        let mut bench = Bench::of(&source);
        bench.fold(&[event(1, "bad", "e", &json!({})), event(2, "good", "e", &json!({}))]).await;
        let failed = bench.failure.as_ref().unwrap_or_else(|| panic!("{value} passed"));
        assert_eq!(failed.position.0, 1, "{value}");
    }
}

#[tokio::test]
async fn what_json_leaves_out_is_gone_before_the_next_event() {
    let mut bench = Bench::of(&module(
        "if (event.name === 'first') { state.o = Object.assign(Object.create(null), {u: undefined, v: [{}]}) } \
         else state.left = ['u' in state.o, state.o.v]",
    ));
    bench.fold(&[event(1, "first", "e", &json!({})), event(2, "second", "e", &json!({}))]).await;
    assert_eq!(bench.global(), r#"{"n":0,"o":{"v":[{}]},"left":[false,[{}]]}"#);
}

#[tokio::test]
async fn what_hangs_in_a_state_twice_is_two_things() {
    let mut bench = Bench::of(&module(
        "if (event.name === 'first') { const o = {v: 1}; state.a = o; state.b = o } else state.a.v += 1",
    ));
    bench.fold(&[event(1, "first", "e", &json!({})), event(2, "second", "e", &json!({}))]).await;
    assert_eq!(bench.global(), r#"{"n":0,"a":{"v":2},"b":{"v":1}}"#);
}

#[tokio::test]
async fn partitions_do_not_share_an_initial_state() {
    let source = "const start = {n: 0};\nexport default {name: 'p', events: ['*'], partitionKey: '$.entityId', \
                  initialState() { return start }, handler(state) { state.n += 1 }}";
    let mut bench = Bench::of(source);
    let batch: Vec<_> = (1..=4).map(|p| event(p, "e", &format!("e{}", p % 2), &json!({}))).collect();
    bench.fold(&batch).await;
    assert_eq!((bench.state("e0"), bench.state("e1")), (Some(r#"{"n":2}"#), Some(r#"{"n":2}"#)));
}

#[tokio::test]
async fn events_without_a_key_are_counted_and_skipped() {
    let source = module("state.n += 1") + "export const partitionKey = '$.data.customer.id';";
    let mut bench = Bench::of(&source);
    bench
        .fold(&[
            event(1, "e", "e", &json!({"customer": {"id": "c"}})),
            event(2, "e", "e", &json!({})),
            event(3, "e", "e", &json!({"customer": {"id": null}})),
            event(4, "e", "e", &json!({"customer": {"id": 7}})),
        ])
        .await;
    assert_eq!((bench.unkeyed, bench.passed, bench.views.len()), (2, 4, 2));
    // A fault amid a batch leaves the count of those before it, once.
    let over = json!({"customer": {"id": "x".repeat(600)}});
    bench
        .fold(&[event(5, "e", "e", &json!({})), event(6, "e", "e", &over), event(7, "e", "e", &json!({}))])
        .await;
    assert_eq!((bench.failure.as_ref().unwrap().position.0, bench.unkeyed, bench.passed), (6, 3, 5));
}

#[tokio::test]
async fn a_stored_partition_key_that_is_not_legal_any_more_is_a_fault_and_no_panic() {
    let mut definition = inspect(&module("state.n += 1")).unwrap();
    definition.partition_key = Some("$..id".to_owned());
    let mut bench = Bench::deployed(definition, ReducerLimits::default());
    bench.fold(&[event(1, "e", "e", &json!({"id": "a"}))]).await;
    let failure = bench.failure.as_ref().unwrap();
    assert_eq!((failure.position.0, bench.passed), (1, 0));
    let message = failure.fault.to_string();
    assert!(message.contains("not legal any more") && message.contains("deploy it anew"), "{message}");
}

#[test]
fn declarations_are_checked() {
    for (source, message) in [
        ("", "`name` is not exported"),
        ("export const name = 1", "`name` must be a string"),
        ("export const name = 'p'", "`events` is not exported"),
        ("export const name = 'p', events = 'x'", "`events` must be an array of strings"),
        (
            "export const name = 'p', events = []; export function initialState() {}",
            "`handler` is not exported",
        ),
        (
            "export const name = 'p', events = []; export function handler() {}",
            "`initialState` is not exported",
        ),
        (
            "export default {name: 'p p', events: ['*'], initialState: () => 1, handler() {}}",
            "exported `name`",
        ),
        ("export default {name: 'p', events: [], initialState: () => 1, handler() {}}", "folds no events"),
        (
            "export default {name: 'p', events: ['a*'], initialState: () => 1, handler() {}}",
            "event pattern `a*`",
        ),
        (
            "export default {name: 'p', events: ['*'], partitionKey: 'data', initialState: () => 1, handler() {}}",
            "JSONPath",
        ),
        (
            "export default {name: 'p', events: ['*'], partitionKey: 1, initialState: () => 1, handler() {}}",
            "JSONPath",
        ),
        (
            "export default {name: 'p', events: ['*'], initialState: () => undefined, handler() {}}",
            "state is undefined",
        ),
        (
            "export default {name: 'p', events: ['*'], initialState() { throw new Error('no') }, handler() {}}",
            "Error: no",
        ),
        (
            "export default {name: '..', events: ['*'], initialState: () => 1, handler() {}}",
            "`..`, which stands for something else in a path",
        ),
        (
            "export default {name: 'p', events: ['*'], initialState: () => 1, handler() {}, onerror: 'skip'}",
            "exported `onerror` is not known; `onError` is",
        ),
        (
            "export const name = 'p', events = ['*'], Sink = 's'; export const initialState = () => 1; \
             export function handler() {}",
            "exported `Sink` is not known; `sink` is",
        ),
        ("export const name = 'p';\nexport const x = (;", "projection.js:2:"),
        ("await new Promise(() => {})", "at its top level"),
        ("for (;;) {}", "more than"),
    ] {
        let error = inspect(source).unwrap_err().to_string();
        assert!(error.contains(message), "{source}: {error}");
    }
    assert!(inspect(&" ".repeat(300_000)).unwrap_err().to_string().contains("over the limit"));
}

#[test]
fn declarations_are_read_from_named_and_default_exports() {
    let named = "export const name = 'orders'; export const events = ['order.*', 'x']; export const partitionKey = \
                 '$.data.customer.id'; export const initialState = () => ({}); export function handler() {}";
    let whole = "export default {name: 'orders', events: ['order.*', 'x'], partitionKey: '$.data.customer.id', \
                 initialState: () => ({}), handler() {}}";
    for source in [named, whole] {
        let definition = inspect(source).unwrap();
        assert_eq!(definition.name.as_str(), "orders");
        assert_eq!(definition.events.iter().map(|e| e.as_str()).collect::<Vec<_>>(), ["order.*", "x"]);
        assert_eq!(definition.partition_key.as_deref(), Some("$.data.customer.id"));
        assert_eq!(&*definition.source, source);
    }
}

#[tokio::test]
async fn the_shipped_examples_fold_permit_applications() {
    let examples = [
        include_str!("../../docs/examples/permit-departments.js"),
        include_str!("../../docs/examples/permit-cases.js"),
    ];
    let mut batch: Vec<_> = [("case-1", "General"), ("case-2", "General"), ("case-3", "Customer contact")]
        .into_iter()
        .zip(1..)
        .map(|((case, department), at)| {
            event(at, "Confirmation of receipt", case, &json!({"case:department": department}))
        })
        .collect();
    let mut second =
        event(4, "T02 Check confirmation of receipt", "case-1", &json!({"case:department": "General"}));
    second.version = weir_types::StreamVersion(2);
    second.occurred_at = Some(weir_types::Timestamp(1_318_400_785_398_000));
    batch.push(second);
    let [mut departments, mut cases] = examples.map(Bench::of);
    departments.fold(&batch).await;
    cases.fold(&batch).await;
    assert_eq!(
        departments.global(),
        r#"{"departments":{"General":{"events":3,"cases":2},"Customer contact":{"events":1,"cases":1}}}"#
    );
    assert_eq!(
        cases.state("case-1"),
        Some(
            r#"{"events":2,"lastActivity":"T02 Check confirmation of receipt","at":"2011-10-12T06:26:25.398000Z"}"#
        )
    );
}
