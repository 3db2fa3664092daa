// Building-permit applications: how many events and cases each department has.
//
//   weir projection deploy docs/examples/permit-departments.js
//   weir projection get permit-departments

export const name = 'permit-departments';
export const events = ['*'];

export function initialState() {
  return { departments: {} };
}

export function handler(state, event) {
  const department = event.data['case:department'] || 'unknown';
  const seen = state.departments[department] ?? { events: 0, cases: 0 };
  seen.events += 1;
  if (event.version === 1) seen.cases += 1;
  state.departments[department] = seen;
}
