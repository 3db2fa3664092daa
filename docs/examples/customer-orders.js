// What each customer ordered. One partition per customer.
//
//   weir projection deploy docs/examples/customer-orders.js
//   weir projection get customer-orders --partition 'Ada Byron'

export const name = 'customer-orders';
export const events = ['order.*'];
export const partitionKey = '$.data.customer';

export function initialState() {
  return { orders: 0, lines: 0, amount: 0, lastActivity: null };
}

export function handler(state, event) {
  if (event.name === 'order.placed') state.orders += 1;
  if (event.name === 'order.line.added') {
    state.lines += 1;
    state.amount = Math.round((state.amount + event.data.amount) * 100) / 100;
  }
  state.lastActivity = event.name;
}
