// Records picked by hand, and the file of ids that a person takes away.

class Picks {
  // ``tab()`` is what is browsed: the set ``picked``, the id of a record, and the file's name.
  constructor(list, tab) {
    this.list = list;
    this.tab = tab;
    const on = (id, action) => byId(id).addEventListener("click", action);
    on("pick", () => this.pick());
    on("unpick", () => this.clear());
    on("save", () => this.save());
  }

  // Picked by hand, else all that match.
  selection() {
    const { picked } = this.tab();
    return picked.size ? [...picked].sort((a, b) => a - b) : this.list.items;
  }

  ids() {
    const { id } = this.tab();
    return [...new Set(this.selection().map(id).filter((each) => each !== null))];
  }

  now() {
    return this.list.items[this.list.selected];
  }

  show() {
    const { picked } = this.tab();
    const number = this.ids().length;
    const what = (picked.size ? " picked id" : " id") + (number === 1 ? "" : "s");
    byId("save").textContent = "Save " + number.toLocaleString("en") + what;
    byId("save").disabled = number === 0;
    byId("unpick").hidden = picked.size === 0;
    byId("pick").setAttribute("aria-pressed", String(picked.has(this.now())));
    byId("pick").disabled = this.now() === undefined;
  }

  pick() {
    const { picked } = this.tab();
    if (this.now() === undefined) return;
    if (!picked.delete(this.now())) picked.add(this.now());
    this.list.draw();
    this.show();
  }

  clear() {
    this.tab().picked.clear();
    this.list.draw();
    this.show();
  }

  // A text file with one id a line.
  save() {
    const file = new Blob(this.ids().map((id) => id + "\n"), { type: "text/plain" });
    const link = element("a", "");
    link.href = URL.createObjectURL(file);
    link.download = this.tab().file;
    link.click();
    URL.revokeObjectURL(link.href);
  }
}
