// One trace as tokens in their places, coloured by the loss weights of one mask.

const MARK_TITLES = {
  commit: "commitment point",
  name: "tool name",
  call: "tool call",
  special: "special token",
  own: "written by the model itself",
};

function tokenText(vocabulary, id) {
  const entry = vocabulary[id];
  if (entry === undefined || (Array.isArray(entry) && entry.length === 0))
    return { text: "\u27e8" + id + "\u27e9", raw: null, partial: true };
  if (Array.isArray(entry)) {
    const bytes = entry.map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ");
    return { text: "\u2039" + bytes + "\u203a", raw: "bytes " + bytes, partial: true };
  }
  return { text: visibleLines(entry), raw: entry, partial: false };
}

// The weight of every token, from [start, end, weight] runs.
function spread(length, runs) {
  const weights = new Float64Array(length);
  for (const [start, end, weight] of runs) weights.fill(weight, start, end);
  return weights;
}

// Class names by position, from the spans of a record.
function markTokens(record, special) {
  const marks = Array.from(record.ids, (id) => (special.has(id) ? ["special"] : []));
  const put = (start, end, name) => {
    for (let position = start; position < Math.min(end, marks.length); position += 1)
      marks[position].push(name);
  };
  for (const [, start, end, nameStart, nameEnd] of record.calls) {
    put(start, end, "call");
    put(nameStart, nameEnd, "name");
  }
  for (const [start, end] of record.injections) put(start, end, "injection");
  for (const [start, end] of record.written) put(start, end, "own");
  for (const position of record.commitments) put(position, position + 1, "commit");
  return marks;
}

class TokenView {
  constructor(node, output, vocabulary, special) {
    this.node = node;
    this.output = output;
    this.vocabulary = vocabulary;
    this.special = special;
    this.now = null;
    node.addEventListener("mouseover", (event) => this.point(event.target));
    node.addEventListener("click", (event) => this.point(event.target));
    node.addEventListener("keydown", (event) => this.key(event));
  }

  show(record, mask, unfold) {
    this.record = record;
    this.weights = spread(record.ids.length, mask ? mask.runs : []);
    this.marks = markTokens(record, this.special);
    this.now = null;
    const parts = [this.about(record, mask)];
    const starts = [...record.turns.map((turn) => turn[1]), record.ids.length];
    if (starts[0] > 0) parts.push(this.outside(0, starts[0]));
    record.turns.forEach((turn, number) => parts.push(this.turn(turn, starts[number + 1], unfold)));
    this.node.replaceChildren(...parts);
    this.node.scrollTop = 0;
    this.output.textContent = "Point at a token, or step through with the arrow keys.";
  }

  about(record, mask) {
    const trained = this.weights.reduce((count, weight) => count + (weight > 0), 0);
    const facts = { ...record.about, tokens: record.ids.length + ", " + trained + " with loss" };
    if (mask && mask.weight !== null) facts["sample weight"] = mask.weight;
    if (!mask) facts["loss mask"] = "none: this file has no mask for the trace";
    return factList(facts);
  }

  // What the template puts between two turns, such as a line feed, is shown at the end of the first
  // turn.
  turn([role, start, end], next, unfold) {
    const section = element("section", "turn " + role);
    section.dataset.role = role;
    const trained = this.weights
      .subarray(start, end)
      .reduce((count, weight) => count + (weight > 0), 0);
    const size = end - start + " tokens";
    section.append(element("h4", "", [role, size, trained + " with loss"].join(" \u00b7 ")));
    const tokens = () => this.tokens(start, next, role, end);
    if (role === "assistant" && this.record.about.category === "harmful" && !unfold) {
      const button = element("button", "fold", "Show harmful completion (" + size + ")");
      button.addEventListener("click", () => button.replaceWith(tokens()));
      section.append(button);
    } else {
      section.append(tokens());
    }
    return section;
  }

  outside(start, end) {
    const section = element("section", "turn");
    section.append(
      element("h4", "", "outside the messages \u00b7 " + (end - start) + " tokens"),
      this.tokens(start, end, "no", start),
    );
    return section;
  }

  // Tokens [start, end); from ``outside`` on they belong to no turn.
  tokens(start, end, role, outside) {
    const block = element("div", "tokens");
    block.tabIndex = 0;
    block.setAttribute("role", "group");
    block.setAttribute(
      "aria-label",
      "Tokens of the " + role + " turn; arrow keys step through them",
    );
    const spans = [];
    for (let position = start; position < end; position += 1) {
      const { text, partial } = tokenText(this.vocabulary, this.record.ids[position]);
      const weight = this.weights[position];
      const classes = ["t", ...this.marks[position]];
      if (partial) classes.push("bytes");
      if (weight > 0) classes.push("w" + Math.max(1, Math.round(weight * 10)));
      const span = element("span", classes.join(" "), text);
      span.dataset.i = position;
      span.dataset.role = position < outside ? role : "between turns";
      spans.push(span);
    }
    block.append(...spans);
    return block;
  }

  // Bring the first token with loss into sight, or what it is folded into.
  toLoss() {
    const target = this.node.querySelector(".t[class*=' w'], .fold");
    if (target === null) return;
    // Not scrollIntoView, which would move the whole window too.
    const [place, box] = [target.getBoundingClientRect(), this.node.getBoundingClientRect()];
    this.node.scrollTop += place.top - box.top - box.height / 3;
    this.point(target);
  }

  point(target) {
    const span = target.closest ? target.closest(".t") : null;
    if (!span || span === this.now) return;
    if (this.now) this.now.classList.remove("now");
    this.now = span;
    span.classList.add("now");
    const position = Number(span.dataset.i);
    const id = this.record.ids[position];
    const { raw } = tokenText(this.vocabulary, id);
    const weight = this.weights[position];
    const marks = this.marks[position].map((name) => MARK_TITLES[name] || name);
    const text = raw === null ? "text unknown" : visible(JSON.stringify(raw));
    const facts = [
      "token " + position,
      "id " + id,
      text,
      span.dataset.role,
      "loss " + weight,
      "label " + (weight > 0 ? id : -100),
      ...marks,
    ];
    this.output.textContent = facts.join(" \u00b7 ");
    span.title = facts.slice(1, 5).join("\n");
  }

  key(event) {
    const block = event.target.closest(".tokens");
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10 };
    if (!block || !(event.key in steps)) return;
    event.preventDefault();
    const spans = block.children;
    const inside = this.now && this.now.parentNode === block;
    const here = inside ? Number(this.now.dataset.i) - Number(spans[0].dataset.i) : -1;
    const next = Math.min(Math.max(here + steps[event.key], 0), spans.length - 1);
    this.point(spans[next]);
    spans[next].scrollIntoView({ block: "nearest" });
  }
}
