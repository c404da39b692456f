// A list of any length: only the rows in sight are in the page.

const ROW_HEIGHT = 52;

class VirtualList {
  constructor(node, fillRow, onSelect) {
    this.node = node;
    this.fillRow = fillRow;
    this.onSelect = onSelect;
    this.items = [];
    this.selected = -1;
    this.space = element("div", "list-space");
    node.append(this.space);
    node.addEventListener("scroll", () => this.draw());
    node.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(node);
  }

  show(items, selected) {
    this.items = items;
    this.space.style.height = items.length * ROW_HEIGHT + "px";
    this.node.scrollTop = 0;
    this.select(items.length ? Math.max(selected, 0) : -1);
  }

  select(position) {
    this.selected = position;
    if (position >= 0) {
      const top = position * ROW_HEIGHT;
      if (top < this.node.scrollTop) this.node.scrollTop = top;
      const end = top + ROW_HEIGHT - this.node.clientHeight;
      if (end > this.node.scrollTop) this.node.scrollTop = end;
    }
    this.draw();
    this.onSelect(position < 0 ? null : this.items[position]);
  }

  move(by) {
    const target = Math.min(Math.max(this.selected + by, 0), this.items.length - 1);
    if (this.items.length && target !== this.selected) this.select(target);
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.node.clientHeight / ROW_HEIGHT) - 1);
    const steps = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -this.items.length,
      End: this.items.length,
    };
    if (event.key in steps) {
      event.preventDefault();
      this.move(steps[event.key]);
    }
  }

  draw() {
    const first = Math.max(0, Math.floor(this.node.scrollTop / ROW_HEIGHT) - 4);
    const last = Math.min(
      this.items.length,
      Math.ceil((this.node.scrollTop + this.node.clientHeight) / ROW_HEIGHT) + 4,
    );
    const rows = [];
    for (let position = first; position < last; position += 1) {
      const row = element("div", "row");
      row.id = "row-" + position;
      row.setAttribute("role", "option");
      row.setAttribute("aria-selected", String(position === this.selected));
      row.setAttribute("aria-posinset", String(position + 1));
      row.setAttribute("aria-setsize", String(this.items.length));
      row.style.top = position * ROW_HEIGHT + "px";
      row.addEventListener("click", () => this.select(position));
      this.fillRow(row, this.items[position]);
      rows.push(row);
    }
    this.space.replaceChildren(...rows);
    if (this.selected >= 0) this.node.setAttribute("aria-activedescendant", "row-" + this.selected);
    else this.node.removeAttribute("aria-activedescendant");
  }
}
