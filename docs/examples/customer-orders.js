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
  return {
    orders: state.orders + (event.name === 'order.placed' ? 1 : 0),
    lines: state.lines + (event.name === 'order.line.added' ? 1 : 0),
    amount: Math.round((state.amount + (event.data.amount ?? 0)) * 100) / 100,
    lastActivity: event.name,
  };
}
