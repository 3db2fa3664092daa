// Building-permit applications: where each case stands. One partition per case.
//
//   weir projection deploy docs/examples/permit-cases.js
//   weir projection get permit-cases --partition case-10011

export const name = 'permit-cases';
export const events = ['*'];
export const partitionKey = '$.entityId';

export function initialState() {
  return { events: 0, lastActivity: null, at: null };
}

export function handler(state, event) {
  return {
    events: state.events + 1,
    lastActivity: event.name,
    at: event.occurredAt ?? event.timestamp,
  };
}
