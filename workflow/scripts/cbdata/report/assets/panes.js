// Two views beside each other that scroll together, turn by turn.

class PairedScroll {
  constructor(left, right) {
    this.expected = new Map();
    for (const [from, to] of [[left, right], [right, left]])
      from.node.addEventListener("scroll", () => this.follow(from, to));
  }

  follow(from, to) {
    // A view that was scrolled from here tells so by an event of its own.
    const expected = this.expected.get(from);
    this.expected.delete(from);
    if (expected !== undefined && Math.abs(expected - from.node.scrollTop) < 2) return;
    if (to.node.hidden || from.node.hidden) return;
    const before = to.node.scrollTop;
    to.restore(from.top());
    if (Math.abs(to.node.scrollTop - before) >= 1) this.expected.set(to, to.node.scrollTop);
  }
}
