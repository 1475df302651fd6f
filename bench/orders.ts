/** Carries out what the parent process sends, and sends back what came of it. Does nothing in a process that has none. */
export function answerOrders<Order>(carryOut: (order: Order) => Promise<object>): void {
  if (!process.send) return;
  process.on('message', (order: Order) => {
    carryOut(order).then(
      (result) => process.send?.(result),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  });
  process.on('disconnect', () => process.exit(0));
}
