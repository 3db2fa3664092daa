// What each customer ordered, newest first. One state for each customer.
//
//   weir projection deploy examples/orders/projections/customer-orders-list.js
//   weir projection get customer-orders-list --partition ada

export const name = 'customer-orders-list';
export const events = ['order.placed', 'order.shipped', 'order.cancelled'];
export const partitionKey = '$.data.customer.id';
export const initialState = () => ({ orders: [] });

export function handler(state, event, { event: { recordedAt } }) {
  const { orderId, items, totalCents } = event.data;
  if (event.name === 'order.placed') {
    const summary = `${items.length} items`;
    state.orders.unshift({ orderId, placedAt: recordedAt, totalCents, status: 'placed', summary });
    return;
  }
  const row = state.orders.find((order) => order.orderId === orderId);
  if (row !== undefined) row.status = event.name.split('.')[1];
}
