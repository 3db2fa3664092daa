// Runs before an author's module, in the same context: takes away what is not
// deterministic, freezes what is left, and gives back the drivers by which the
// host folds, one for each kind of module, and what else it needs. Nothing of it is reachable from the author's code.
(() => {
  'use strict';
  const { parse, stringify } = JSON;
  const { ownKeys, getOwnPropertyDescriptor, getPrototypeOf, defineProperty, apply } = Reflect;
  const { create, freeze, hasOwn, keys, prototype: objectPrototype } = Object;
  const { isArray, prototype: arrayPrototype } = Array;
  const { isWellFormed } = String.prototype;

  // What the walk below cannot reach by names alone.
  const hidden = [
    function () {}, function* () {}, async function () {}, async function* () {},
    (function* () {})(), (async function* () {})(),
    [][Symbol.iterator](), ''[Symbol.iterator](), new Map().entries(), new Set().values(),
    'a'.matchAll(/a/g), [].values().map((x) => x),
  ].map(getPrototypeOf);

  // Code is the module, all of the module and nothing but the module.
  const noCode = function Function() {
    throw new TypeError('a reducer cannot make code from text');
  };
  defineProperty(noCode, 'prototype', { value: Function.prototype });
  for (const f of [function () {}, function* () {}, async function () {}, async function* () {}]) {
    defineProperty(getPrototypeOf(f), 'constructor', { value: noCode });
  }
  globalThis.Function = noCode;

  const silent = () => {};
  globalThis.console = { debug: silent, error: silent, info: silent, log: silent, trace: silent, warn: silent };

  const allowed = new Set([
    'AggregateError', 'Array', 'BigInt', 'Boolean', 'Error', 'EvalError', 'Function', 'Infinity',
    'InternalError', 'Iterator', 'JSON', 'Map', 'Math', 'NaN', 'Number', 'Object', 'Promise', 'RangeError',
    'ReferenceError', 'Reflect', 'RegExp', 'Set', 'String', 'Symbol', 'SyntaxError', 'TypeError', 'URIError',
    'console', 'decodeURI', 'decodeURIComponent', 'encodeURI', 'encodeURIComponent', 'escape', 'globalThis',
    'isFinite', 'isNaN', 'parseFloat', 'parseInt', 'undefined', 'unescape',
  ]);
  for (const name of ownKeys(globalThis)) {
    if (typeof name === 'string' && !allowed.has(name)) delete globalThis[name];
  }
  delete Math.random;
  // Both are settings of the engine that freezing leaves open, and the first is told of every function of a stack.
  delete Error.prepareStackTrace;
  delete Error.stackTraceLimit;
  // A key of a state may be called `__proto__`: without these it is a key like any other.
  for (const name of ['__proto__', '__defineGetter__', '__defineSetter__', '__lookupGetter__', '__lookupSetter__']) {
    delete objectPrototype[name];
  }

  // A frozen prototype would refuse `counts.constructor = 1` on a plain object.
  // An accessor that defines the property on the object itself does not.
  for (const prototype of [objectPrototype, Error.prototype]) {
    for (const key of ownKeys(prototype)) {
      const { value, writable } = getOwnPropertyDescriptor(prototype, key);
      if (!writable) continue;
      defineProperty(prototype, key, {
        configurable: true,
        enumerable: false,
        get() { return value; },
        set(replacement) {
          if (this === prototype) throw new TypeError('prototypes are frozen');
          defineProperty(this, key, { value: replacement, writable: true, enumerable: true, configurable: true });
        },
      });
    }
  }

  const seen = new Set();
  const queue = [globalThis, ...hidden];
  while (queue.length > 0) {
    const next = queue.pop();
    if (next === null || (typeof next !== 'object' && typeof next !== 'function') || seen.has(next)) continue;
    seen.add(next);
    freeze(next);
    queue.push(getPrototypeOf(next));
    for (const key of ownKeys(next)) {
      const { value, get, set } = getOwnPropertyDescriptor(next, key);
      queue.push(value, get, set);
    }
  }

  // States must be what JSON can hold, or a replica that loads one from its
  // store goes on from something else than a replica that kept it in memory.
  let left = 0;
  let found;
  // Whether texts are to be whole characters, as those must be that others read than JavaScript.
  let whole = false;
  const half = ' holds half of a character (a surrogate alone, as `slice` leaves it of an emoji; slice `[...text]`)';
  const isHalf = (text) => whole && !apply(isWellFormed, text, []);
  const kind = (value) => {
    switch (typeof value) {
      case 'number': return `${value}`;
      case 'object': return 'an instance of a class';
      case 'undefined': return 'undefined';
      default: return `a ${typeof value}`;
    }
  };
  const kindOf = (value) => (value === null ? 'null' : `a ${typeof value}`);
  // Whether a value is no object and what JSON holds. `x - x` is 0 unless `x` is NaN or infinite.
  const isPlain = (value) => {
    const type = typeof value;
    return type === 'string' || value === null || type === 'boolean' || (type === 'number' && value - value === 0);
  };
  // Gives `null`, or where and what is wrong in an object. Drops properties
  // that are undefined and copies what hangs in the state twice, as JSON does.
  const flaw = (value) => {
    if (typeof value !== 'object') return ` is ${kind(value)}`;
    const list = isArray(value);
    const prototype = getPrototypeOf(value);
    if (list ? prototype !== arrayPrototype : prototype !== objectPrototype && prototype !== null) {
      return ` is ${kind(value)}`;
    }
    const names = list ? value : keys(value);
    for (let i = 0; i < names.length; i += 1) {
      left -= 1;
      if (left < 0) return null;
      const name = list ? i : names[i];
      let inner = value[name];
      const type = typeof inner;
      if (!list && isHalf(name)) return `: a key${half}`;
      if (type === 'string' && isHalf(inner)) return (list ? `[${name}]` : `.${name}`) + half;
      if (type === 'string' || inner === null || (type === 'number' && inner - inner === 0) || type === 'boolean') continue;
      if (type === 'undefined' && !list) {
        delete value[name];
        continue;
      }
      if (type === 'object') {
        // Most states hang in nothing and hold nothing: a set for each would cost more than the fold.
        found ??= new Set([value]);
        if (found.has(inner)) {
          inner = parse(stringify(inner));
          value[name] = inner;
        }
        found.add(inner);
      }
      const wrong = flaw(inner);
      if (wrong !== null) return (list ? `[${name}]` : `.${name}`) + wrong;
    }
    return null;
  };
  const check = (state, budget, what = 'state') => {
    left = budget;
    found = undefined;
    const halved = isText(state) && isHalf(state) ? half : null;
    const wrong = isPlain(state) ? halved : flaw(state);
    found = undefined;
    if (wrong !== null) throw new TypeError(`${what}${wrong}, which JSON cannot hold`);
  };

  // What a module exports: by name, or as members of its default export.
  const exported = (namespace) => {
    const whole = namespace.default;
    const self = whole !== null && typeof whole === 'object' ? whole : {};
    const pick = (name) => (namespace[name] !== undefined ? namespace[name] : self[name]);
    const demand = (name, good, what) => {
      const value = pick(name);
      if (value === undefined) throw new TypeError(`\`${name}\` is not exported`);
      if (!good(value)) throw new TypeError(`\`${name}\` must be ${what}`);
      return value;
    };
    return { self, pick, demand };
  };
  const isText = (value) => typeof value === 'string';
  const isCode = (value) => typeof value === 'function';
  const { bind } = Function.prototype;
  // As a member of what it was exported with. Less work at each call than `apply`, which takes a list of arguments.
  const member = (code, self) => apply(bind, code, [self]);

  // A stream is folded without a look, or each event is judged on the state
  // that it leads to. An empty text is the initial state. The state is kept as
  // JSON before it is judged: what a judge does to it is undone.
  const invariant = (namespace) => {
    const { self, pick, demand } = exported(namespace);
    const start = demand('initialState', (value) => value !== null, 'a state, or a function that makes one');
    const judge = demand('check', isCode, 'a function');
    const fold = pick('fold');
    const handlers = pick('handlers');
    if ((fold === undefined) === (handlers === undefined)) {
      throw new TypeError('one of `fold` and `handlers` must be exported');
    }
    if (fold !== undefined && !isCode(fold)) throw new TypeError('`fold` must be a function');
    if (handlers !== undefined && (typeof handlers !== 'object' || handlers === null || !keys(handlers).every((name) => isCode(handlers[name])))) {
      throw new TypeError('`handlers` must be an object of functions, by the names of events');
    }
    const retroactive = pick('retroactive') ?? false;
    if (typeof retroactive !== 'boolean') throw new TypeError('`retroactive` must be true or false');

    const first = isCode(start) ? apply(start, self, []) : start;
    if (first instanceof Promise) throw new TypeError('`initialState` must not be async');
    check(first, Infinity);
    const initial = stringify(first);
    const handlerOf = (name) => {
      if (fold !== undefined) return fold;
      return hasOwn(handlers, name) ? handlers[name] : undefined;
    };
    const wrong = (value) => new TypeError(`\`check\` must return nothing, a text, { message, path }, or an array of those, not ${kind(value)}`);
    const faultOf = (value) => {
      if (isText(value)) return { path: '', message: value };
      if (value !== null && typeof value === 'object' && isText(value.message) && (value.path === undefined || isText(value.path))) {
        return { path: value.path ?? '', message: value.message };
      }
      throw wrong(value);
    };
    const faultsOf = (verdict) => {
      if (verdict === undefined || verdict === null) return [];
      return isArray(verdict) ? verdict.slice(0, 100).map(faultOf) : [faultOf(verdict)];
    };
    let state = parse(initial);
    let errors = [];
    let judged = 0;

    return {
      declared: stringify({ retroactive }),
      load(_, text) {
        state = parse(text === '' ? initial : text);
        errors = [];
        judged = 0;
      },
      step(mode, event) {
        if (errors.length > 0) return;
        delete event.position;
        const handler = handlerOf(event.name);
        const answer = handler === undefined ? state : apply(handler, self, [state, event]);
        if (answer instanceof Promise) throw new TypeError('a fold must not be async');
        const next = answer === undefined ? state : answer;
        if (mode !== 'check') {
          state = next;
          return next;
        }
        check(next, Infinity);
        const kept = stringify(next);
        const verdict = apply(judge, self, [next, event]);
        if (verdict instanceof Promise) throw new TypeError('`check` must not be async');
        errors = faultsOf(verdict);
        judged += 1;
        state = parse(kept);
      },
      collect(_) {
        check(state, Infinity);
        return stringify({ state, errors, judged });
      },
      drop(_) {},
    };
  };

  // What a handler is told beside the event. Few ask for it, so it is one object for all events that makes its answer
  // when it is asked. Its prototype keeps it out of states, where it would go on changing.
  const asides = () => {
    let [event, partition, told] = [];
    const members = {
      event: () => (told ??= {
        id: event.id, name: event.name, position: event.position, version: event.version,
        entityId: event.entityId, entityType: event.entityType, timestamp: event.timestamp,
        recordedAt: event.timestamp,
        occurredAt: event.occurredAt, metadata: event.metadata,
      }),
      partition: () => partition,
    };
    const aside = create(freeze({}));
    for (const name of keys(members)) {
      defineProperty(aside, name, { enumerable: true, get: freeze(members[name]) });
    }
    freeze(aside);
    return (of, key) => {
      event = of;
      partition = key;
      told = undefined;
      return aside;
    };
  };

  const exports = [
    'name', 'events', 'partitionKey', 'initialState', 'handler', 'onError', 'kind', 'sink', 'tables',
  ];
  // An export that is one of these but for its case, and would not be heard.
  const misspelt = (namespace, self, pick) => {
    for (const name of [...keys(namespace), ...keys(self)]) {
      const meant = exports.find((known) => known.toLowerCase() === name.toLowerCase());
      if (meant !== undefined && pick(meant) === undefined) return { found: name, meant };
    }
    return null;
  };

  // Folds into tables: each event leads to statements, and nothing is kept here.
  const intoTables = (handler, declared) => {
    const aside = asides();
    let steps = [];
    const isStatement = (value) => isArray(value) && isText(value[0]);
    const statementOf = (value) => {
      if (isText(value)) return [value];
      if (!isStatement(value)) throw new TypeError('a statement must be a text, or an array of a text and its parameters');
      for (let i = 1; i < value.length; i += 1) {
        if (!isPlain(value[i])) {
          throw new TypeError(`parameter ${i} of \`${value[0]}\` is ${kind(value[i])}, which no column holds`);
        }
        if (isText(value[i]) && isHalf(value[i])) throw new TypeError(`parameter ${i} of \`${value[0]}\`${half}`);
      }
      return [...value];
    };
    const statementsOf = (answer) => {
      if (answer === undefined || answer === null) return [];
      if (isText(answer) || isStatement(answer)) {
        // A list of texts alone is a list of statements only if it says so by being a list of lists.
        return [statementOf(answer)];
      }
      if (!isArray(answer)) throw new TypeError('`handler` must return a statement, a list of statements, or nothing');
      return answer.map(statementOf);
    };
    return {
      declared,
      load(_, __) {},
      step(key, event) {
        const answer = handler(event, aside(event, key));
        if (answer instanceof Promise) throw new TypeError('`handler` must not be async');
        steps.push([event.position, statementsOf(answer)]);
      },
      collect(_) {
        const text = stringify(steps);
        steps = [];
        return text;
      },
      drop(_) {},
    };
  };

  const projection = (namespace) => {
    whole = true;
    const { self, pick, demand } = exported(namespace);
    const name = demand('name', isText, 'a string');
    const events = demand('events', (value) => isArray(value) && value.every(isText), 'an array of strings');
    const handler = member(demand('handler', isCode, 'a function'), self);
    const partitionKey = pick('partitionKey');
    if (partitionKey !== undefined && partitionKey !== null && !isText(partitionKey)) {
      throw new TypeError('`partitionKey` must be a JSONPath string');
    }
    const onError = pick('onError');
    if (onError !== undefined && onError !== null && !isText(onError)) {
      throw new TypeError('`onError` must be a string: `park` or `skip`');
    }
    const kind = pick('kind');
    if (kind !== undefined && kind !== null && !isText(kind)) {
      throw new TypeError('`kind` must be a string: `async`, `inline`, `virtual` or `sql`');
    }
    const sink = pick('sink');
    if (sink !== undefined && sink !== null) {
      if (!isText(sink)) throw new TypeError('`sink` must be a string: the name of a sink of the nodes');
      if (kind !== 'sql') throw new TypeError('`sink` is where tables are: only a projection of kind `sql` has some');
    }
    const declared = stringify({
      name, events: [...events], partitionKey: partitionKey ?? null, onError: onError ?? null, kind: kind ?? null,
      sink: sink ?? null, misspelt: misspelt(namespace, self, pick),
      tables: kind === 'sql' ? demand('tables', isText, 'a string of `create table` statements') : null,
    });
    if (kind === 'sql') {
      if (partitionKey !== undefined && partitionKey !== null) {
        throw new TypeError('a projection into tables has no `partitionKey`');
      }
      return intoTables(handler, declared);
    }
    const initialState = demand('initialState', isCode, 'a function');

    const first = apply(initialState, self, []);
    if (first instanceof Promise) throw new TypeError('`initialState` must not be async');
    check(first, Infinity);
    const initial = stringify(first);
    const states = new Map();
    const aside = asides();

    return {
      declared,
      load(key, text) {
        states.set(key, parse(text === '' ? initial : text));
      },
      step(key, event) {
        const held = states.get(key);
        const state = held === undefined ? parse(initial) : held;
        const answer = handler(state, event, aside(event, key));
        if (answer instanceof Promise) throw new TypeError('`handler` must not be async');
        if (answer === undefined && (state === null || typeof state !== 'object')) {
          throw new TypeError(`\`handler\` returned nothing, and a state that is ${kindOf(state)} cannot be changed in place`);
        }
        const next = answer === undefined ? state : answer;
        if (next !== held) states.set(key, next);
        return next;
      },
      collect(key) {
        const state = states.get(key);
        check(state, Infinity);
        return stringify(state);
      },
      drop(key) {
        states.delete(key);
      },
    };
  };

  // Data of one schema version becomes that of a later one.
  const upcaster = (namespace) => {
    whole = true;
    const { self, demand } = exported(namespace);
    const upcast = demand('upcast', isCode, 'a function');
    let data = null;

    return {
      declared: '{}',
      load(_, text) {
        data = parse(text);
      },
      step(_, event) {
        delete event.position;
        const held = event.data;
        const answer = apply(upcast, self, [held, event]);
        if (answer instanceof Promise) throw new TypeError('`upcast` must not be async');
        if (answer === undefined && (held === null || typeof held !== 'object')) {
          throw new TypeError(`\`upcast\` returned nothing, and data that is ${kindOf(held)} cannot be changed in place`);
        }
        data = answer === undefined ? held : answer;
        check(data, Infinity, 'data');
      },
      collect(_) {
        return stringify(data);
      },
      drop(_) {},
    };
  };

  // The engine knows what objects have in common as long as one of them lives. These make it know an event at each step of
  // its making; without them it would find that out anew for every one.
  const parts = [
    'id', 'name', 'data', 'entityId', 'entityType', 'version', 'position', 'timestamp', 'occurredAt', 'metadata',
    'schemaVersion', 'source',
  ];
  const growing = parts.map((_, last) => {
    const event = {};
    for (const name of parts.slice(0, last + 1)) event[name] = null;
    return event;
  });

  // An event comes in its parts, of which it is put together here. A step gives back the state that it led to, if the host
  // is to look at it: nearly all states are plain, and it knows those sooner than the check above.
  const stepping = (drive) => (namespace) => {
    const { step, ...driver } = drive(namespace);
    return {
      ...driver,
      step(
        key, id, name, data, entityId, entityType, version, position, timestamp, occurredAt, metadata, schemaVersion,
        source, contentType,
      ) {
        const event = {
          id, name, data, entityId, entityType, version, position, timestamp, occurredAt, metadata, schemaVersion, source,
        };
        if (contentType !== undefined) event.contentType = contentType;
        return step(key, event);
      },
    };
  };

  return {
    drivers: { invariant: stepping(invariant), projection: stepping(projection), upcaster: stepping(upcaster) },
    // What the host cannot tell at a glance of a state that a step led to.
    settle: (state, budget) => check(state, budget),
    objectPrototype,
    arrayPrototype,
    growing,
  };
})()
