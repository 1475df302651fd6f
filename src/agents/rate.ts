/** A budget that fills up again with time: `perSecond` on average, `burst` at once. */
export interface RateBound {
  perSecond: number;
  burst: number;
}

/** Answers whether so much more fits within the bound; what does not fit is not taken. `now` is in milliseconds. */
export function createRateMeter(bound: RateBound, now: () => number): (amount: number) => boolean {
  let left = bound.burst;
  let last = now();
  return (amount) => {
    const at = now();
    left = Math.min(bound.burst, left + ((at - last) / 1000) * bound.perSecond);
    last = at;
    if (amount > left) return false;
    left -= amount;
    return true;
  };
}
