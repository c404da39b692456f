// One trace as tokens in their places, coloured by the loss weights of one mask.

const MARK_TITLES = {
  commit: "commitment point",
  name: "tool name",
  call: "tool call",
  special: "special token",
  own: "written by the model itself",
  found: "found by the search",
};
// From this many tokens on, turns out of sight are not laid out.
const LONG_RECORD = 20000;
const TRAINED = ".t[class*=' w'], .fold[data-trained]";

function byteText(bytes) {
  return bytes.map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ");
}

// The weight of every token, from [start, end, weight] runs.
function spread(length, runs) {
  const weights = new Float64Array(length);
  for (const [start, end, weight] of runs) weights.fill(weight, start, end);
  return weights;
}

// Class names by position, from the spans of a record and the places that a search found.
function markTokens(record, special, found) {
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
  for (const [start, end] of record.thinking) put(start, end, "reasoning");
  for (const [start, end] of record.written) put(start, end, "own");
  for (const position of record.commitments) put(position, position + 1, "commit");
  for (const [start, end] of found) put(start, end, "found");
  return marks;
}

class TokenView {
  constructor(node, output, vocabulary, special) {
    this.node = node;
    this.output = output;
    this.vocabulary = vocabulary;
    this.special = special;
    this.now = null;
    this.hits = [];
    node.addEventListener("mouseover", (event) => this.point(event.target));
    node.addEventListener("click", (event) => this.point(event.target));
    node.addEventListener("keydown", (event) => this.key(event));
  }

  // Show a record under a mask (title, and undefined if the trace has none). ``anchor`` is the
  // place to show, null for the start; if it is undefined it is the first place that ``pattern``
  // finds, or the first token with loss.
  show(record, title, mask, unfold, pattern, anchor) {
    this.record = record;
    this.weights = spread(record.ids.length, mask ? mask.runs : []);
    this.texts = readTokens(this.vocabulary, record.ids);
    this.hits = pattern === null ? [] : findTokens(this.texts, pattern);
    this.hit = -1;
    this.marks = markTokens(record, this.special, this.hits);
    this.now = null;
    const parts = [this.headline(title, mask), this.about(mask)];
    const starts = [...record.turns.map((turn) => turn[1]), record.ids.length];
    if (starts[0] > 0) parts.push(this.outside(0, starts[0]));
    record.turns.forEach((turn, number) => parts.push(this.turn(turn, starts[number + 1], unfold)));
    this.node.classList.toggle("long", record.ids.length > LONG_RECORD);
    this.node.replaceChildren(...parts);
    this.output.textContent = "Point at a token, or step through with the arrow keys.";
    if (anchor !== undefined) this.restore(anchor);
    else if (this.hits.length) this.nextHit();
    else this.scrollTo(this.node.querySelector(TRAINED));
  }

  // Show something that is no trace.
  clear(...parts) {
    this.hits = [];
    this.now = null;
    this.node.replaceChildren(...parts);
    this.node.scrollTop = 0;
    this.output.textContent = "";
  }

  trained(start, end) {
    return this.weights.subarray(start, end).reduce((count, weight) => count + (weight > 0), 0);
  }

  // What stays in sight while one scrolls: whose tokens these are, and under which mask.
  headline(title, mask) {
    const { category } = this.record.about;
    const size = this.record.ids.length.toLocaleString("en");
    const loss = this.trained(0, this.record.ids.length).toLocaleString("en");
    const node = element("p", "headline");
    node.append(
      element("span", "tag " + category, category),
      mask ? visible(title) : "no mask for this trace",
      element("span", "size", loss + " of " + size + " tokens with loss"),
    );
    return node;
  }

  about(mask) {
    const facts = { ...this.record.about };
    if (mask && mask.weight !== null) facts["sample weight"] = mask.weight;
    if (!mask) facts["loss mask"] = "none: this file has no mask for the trace";
    return factList(facts);
  }

  // What the template puts between two turns, such as a line feed, is shown at the end of the first
  // turn.
  turn([role, start, end], next, unfold) {
    const section = element("section", "turn " + role);
    section.dataset.role = role;
    const trained = this.trained(start, end);
    const size = end - start + " tokens";
    section.append(element("h4", "", [role, size, trained + " with loss"].join(" \u00b7 ")));
    const tokens = () => this.tokens(start, next, role, end);
    if (role === "assistant" && this.record.about.category === "harmful" && !unfold) {
      const button = element("button", "fold", "Show harmful completion (" + size + ")");
      if (trained) button.dataset.trained = trained;
      Object.assign(button.dataset, { start, end });
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
      const raw = this.texts[position];
      const entry = this.vocabulary[this.record.ids[position]];
      const weight = this.weights[position];
      const classes = ["t", ...this.marks[position]];
      let text = visibleLines(raw ?? "\u27e8" + this.record.ids[position] + "\u27e9");
      if (Array.isArray(entry)) classes.push("bytes");
      // A part of a character that ends in a later token.
      if (raw === "" && Array.isArray(entry)) text = "\u00b7";
      if (weight > 0) classes.push("w" + Math.max(1, Math.round(weight * 10)));
      const span = element("span", classes.join(" "), text);
      span.dataset.i = position;
      span.dataset.role = position < outside ? role : "between turns";
      spans.push(span);
    }
    block.append(...spans);
    return block;
  }

  // A token in sight and its height in the view, as a place that stays when the record is drawn
  // anew, wider or narrower, or its twin takes its place: the token that is pointed at, else the
  // first with loss, else the one at the top.
  anchor() {
    const box = this.node.getBoundingClientRect();
    const headline = this.node.querySelector(".headline").offsetHeight;
    const inSight = (node) => {
      const place = node.getBoundingClientRect();
      return place.top >= box.top + headline && place.bottom <= box.bottom;
    };
    const trained = () => [...this.node.querySelectorAll(TRAINED)].find(inSight);
    const node = this.now && inSight(this.now) ? this.now : trained();
    return node ? this.placeOf(node, box) : this.top();
  }

  // The token at the top of what is in sight.
  top() {
    const box = this.node.getBoundingClientRect();
    const headline = this.node.querySelector(".headline").offsetHeight;
    const below = (node) => node.getBoundingClientRect().bottom > box.top + headline;
    if (this.node.scrollTop < 1) return null;
    const turn = [...this.node.querySelectorAll(".turn")].find(below);
    if (turn === undefined) return null;
    const spans = turn.querySelectorAll(".t");
    let [low, high] = [0, spans.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (below(spans[middle])) high = middle;
      else low = middle + 1;
    }
    return this.placeOf(spans.length ? spans[low] : turn, box);
  }

  placeOf(node, box) {
    const turn = node.closest(".turn");
    const by = node.getBoundingClientRect().top - box.top;
    return {
      turn: [...this.node.querySelectorAll(".turn")].indexOf(turn),
      token: [...turn.querySelectorAll(".t")].indexOf(node),
      // What is unfolded has more below it.
      by: node.matches(".fold") ? Math.min(by, box.height / 3) : by,
    };
  }

  restore(anchor) {
    const turns = this.node.querySelectorAll(".turn");
    if (anchor === null || turns.length === 0) {
      this.node.scrollTop = 0;
      return;
    }
    const turn = turns[Math.min(anchor.turn, turns.length - 1)];
    const spans = turn.querySelectorAll(".t");
    const node = anchor.token < 0 ? null : spans[Math.min(anchor.token, spans.length - 1)];
    const place = (node || turn.querySelector(".fold") || turn).getBoundingClientRect();
    this.node.scrollTop += place.top - this.node.getBoundingClientRect().top - anchor.by;
  }

  // Bring something into sight. Not scrollIntoView, which would move the whole window too.
  scrollTo(target) {
    if (target === null) {
      this.node.scrollTop = 0;
      return;
    }
    const [place, box] = [target.getBoundingClientRect(), this.node.getBoundingClientRect()];
    this.node.scrollTop += place.top - box.top - box.height / 3;
  }

  // Bring the first token with loss into sight, or what it is folded into.
  toLoss() {
    const target = this.node.querySelector(TRAINED);
    if (target === null) return;
    this.scrollTo(target);
    this.point(target);
  }

  // Bring the next place that the search found into sight, after the last one the first.
  nextHit() {
    if (this.hits.length === 0) return;
    this.hit = (this.hit + 1) % this.hits.length;
    const [start] = this.hits[this.hit];
    const folds = [...this.node.querySelectorAll(".fold")];
    const fold = folds.find((node) => node.dataset.start <= start && start < node.dataset.end);
    const target = fold || this.node.querySelector(".t[data-i='" + start + "']");
    this.scrollTo(target);
    this.point(target);
  }

  point(target) {
    const span = target.closest ? target.closest(".t") : null;
    if (!span || span === this.now || span.dataset.i === undefined) return;
    if (this.now) this.now.classList.remove("now");
    this.now = span;
    span.classList.add("now");
    const position = Number(span.dataset.i);
    const id = this.record.ids[position];
    const raw = this.texts[position];
    const entry = this.vocabulary[id];
    const weight = this.weights[position];
    const marks = this.marks[position].map((name) => MARK_TITLES[name] || name);
    const facts = [
      "token " + position,
      "id " + id,
      raw === null ? "text unknown" : visible(JSON.stringify(raw)),
      ...(Array.isArray(entry) && entry.length ? ["bytes " + byteText(entry)] : []),
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
