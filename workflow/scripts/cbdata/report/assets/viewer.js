// The viewer: what to browse, which records match, which one is open, under which mask.

const INDEX = JSON.parse(byId("index").textContent);
const BLOCKS = new Blocks(document.querySelectorAll("script.block"));
const VIEW = new TokenView(byId("record"), byId("token"), INDEX.tokens, new Set(INDEX.special));
const ANY = "";

const TABS = {
  traces: {
    table: INDEX.traces,
    size: INDEX.traces.id.length,
    filters: [
      ["Data set", (i) => INDEX.datasets[INDEX.traces.dataset[i]].name],
      ["Category", (i) => INDEX.traces.category[i]],
      ["Outcome", (i) => INDEX.traces.outcome[i]],
    ],
    search: ["id", "class", "tools", "preview", "split"],
    row(row, i) {
      const first = element("span", "");
      first.append(
        element("span", "tag " + INDEX.traces.category[i], INDEX.traces.category[i]),
        visible(INDEX.traces.preview[i]),
      );
      const about = [
        INDEX.traces.class[i],
        INDEX.traces.outcome[i],
        INDEX.traces.tokens[i] + " tokens",
        INDEX.traces.tools[i],
      ];
      row.append(first, element("span", "second", visible(about.filter(Boolean).join(" \u00b7 "))));
    },
  },
  rejects: {
    table: INDEX.rejects,
    size: INDEX.rejects.reason.length,
    filters: [
      ["Data set", (i) => INDEX.rejects.name[i]],
      ["Stage", (i) => INDEX.rejects.stage[i]],
      ["Reason", (i) => INDEX.rejects.reason[i]],
    ],
    search: ["record", "reason", "name", "file"],
    row(row, i) {
      const first = element("span", "");
      first.append(
        element("span", "tag stage", INDEX.rejects.stage[i]),
        visible(INDEX.rejects.reason[i]),
      );
      const line = INDEX.rejects.line[i] === null ? "" : ":" + INDEX.rejects.line[i];
      const about = [INDEX.rejects.file[i] + line, INDEX.rejects.record[i] || "no id"];
      row.append(first, element("span", "second", visible(about.join(" \u00b7 "))));
    },
  },
};

// ``opened`` counts records asked for, ``shown`` is the last of them that is in the page.
const STATE = { tab: "traces", policy: {}, opened: 0, shown: 0 };
const FILTERS = [1, 2, 3].map((number) => byId("filter-" + number));
const LIST = new VirtualList(byId("list"), (row, i) => TABS[STATE.tab].row(row, i), (i) => open(i));

function options(select, values, labels) {
  select.replaceChildren(...values.map((value, position) => {
    const option = element("option", "", visible(labels[position]));
    option.value = value;
    return option;
  }));
}

function fillFilters() {
  const tab = TABS[STATE.tab];
  tab.filters.forEach(([name, value], number) => {
    const counts = new Map();
    for (let i = 0; i < tab.size; i += 1) counts.set(value(i), (counts.get(value(i)) || 0) + 1);
    const values = [...counts.keys()].sort();
    const labels = values.map((entry) => entry + " (" + counts.get(entry) + ")");
    options(FILTERS[number], [ANY, ...values], ["all", ...labels]);
    byId("filter-" + (number + 1) + "-label").firstChild.textContent = name + " ";
  });
}

function matches() {
  const tab = TABS[STATE.tab];
  const wanted = byId("search").value.trim().toLowerCase();
  const chosen = (i) =>
    tab.filters.every(([, value], number) => [ANY, value(i)].includes(FILTERS[number].value));
  const holds = (column, i) => String(tab.table[column][i] || "").toLowerCase().includes(wanted);
  const found = [];
  for (let i = 0; i < tab.size; i += 1) {
    if (!chosen(i)) continue;
    if (wanted === "" || tab.search.some((column) => holds(column, i))) found.push(i);
  }
  return found;
}

function refresh(wanted) {
  const found = matches();
  const tab = TABS[STATE.tab];
  const [shown, all] = [found.length, tab.size].map((count) => count.toLocaleString("en"));
  byId("count").textContent = shown + " of " + all + " " + STATE.tab;
  LIST.show(found, wanted === undefined ? 0 : found.indexOf(wanted));
}

function switchTab(name) {
  STATE.tab = name;
  for (const tab of Object.keys(TABS))
    byId("tab-" + tab).setAttribute("aria-selected", String(tab === name));
  for (const id of ["policy-label", "legend", "to-loss"]) byId(id).hidden = name !== "traces";
  byId("search").value = "";
  fillFilters();
  refresh();
}

// A mask stays chosen while one steps through the traces of a data set.
function fillPolicies(dataset, record) {
  const masks = INDEX.datasets[dataset].masks;
  const labels = masks.map((mask) => mask.label);
  const titles = masks.map(
    (mask) => mask.title + (mask.label in record.masks ? "" : " \u2013 no mask"),
  );
  options(byId("policy"), labels, titles);
  byId("policy").value = labels.includes(STATE.policy[dataset]) ? STATE.policy[dataset] : labels[0];
}

async function open(i) {
  const ticket = (STATE.opened += 1);
  byId("previous").disabled = LIST.selected <= 0;
  byId("next").disabled = LIST.selected < 0 || LIST.selected >= LIST.items.length - 1;
  byId("twin").hidden = true;
  if (i === null) {
    byId("record").replaceChildren(element("p", "empty-record", "No record matches."));
    STATE.shown = ticket;
    return;
  }
  const table = TABS[STATE.tab].table;
  const record = await BLOCKS.record(table.block[i], table.slot[i]);
  if (ticket !== STATE.opened) return;
  if (STATE.tab === "rejects") showReject(i, record);
  else showTrace(i, record);
  STATE.shown = ticket;
}

function showTrace(i, record) {
  const dataset = INDEX.traces.dataset[i];
  fillPolicies(dataset, record);
  const draw = () => VIEW.show(record, record.masks[byId("policy").value], byId("unfold").checked);
  byId("policy").onchange = () => {
    STATE.policy[dataset] = byId("policy").value;
    draw();
  };
  byId("unfold").onchange = draw;
  const twin = record.twin === null ? -1 : INDEX.traces.id.indexOf(record.twin);
  byId("twin").hidden = twin < 0;
  byId("twin").onclick = () => {
    byId("search").value = "";
    for (const filter of FILTERS) filter.value = ANY;
    refresh(twin);
  };
  draw();
}

function showReject(i, record) {
  const columns = ["stage", "name", "reason", "record", "file", "line"];
  const facts = Object.fromEntries(columns.map((column) => [column, INDEX.rejects[column][i]]));
  const parts = [factList({ ...facts, detail: record.detail })];
  if (record.rawLength) {
    const cut = record.rawLength > record.raw.length ? ", the first " + record.raw.length : "";
    const raw = () => element("pre", "raw", visibleLines(record.raw));
    const size = record.rawLength + " characters" + cut;
    const title = "Show the raw record, which may be harmful (" + size + ")";
    const button = element("button", "fold", title);
    button.addEventListener("click", () => button.replaceWith(raw()));
    parts.push(byId("unfold").checked ? raw() : button);
  }
  byId("unfold").onchange = () => showReject(i, record);
  byId("record").replaceChildren(...parts);
  byId("token").textContent = "";
}

function start() {
  if (INDEX.rejectTotal > INDEX.rejects.reason.length) {
    const share = INDEX.rejects.reason.length + " of " + INDEX.rejectTotal;
    byId("reject-sample").textContent = "Rejects: " + share + ", every file and reason in turn.";
  }
  for (const tab of Object.keys(TABS))
    byId("tab-" + tab).addEventListener("click", () => switchTab(tab));
  for (const filter of FILTERS) filter.addEventListener("change", () => refresh());
  byId("search").addEventListener("input", () => refresh());
  byId("previous").addEventListener("click", () => LIST.move(-1));
  byId("next").addEventListener("click", () => LIST.move(1));
  byId("to-loss").addEventListener("click", () => VIEW.toLoss());
  const keys = { j: () => LIST.move(1), k: () => LIST.move(-1), l: () => VIEW.toLoss() };
  document.addEventListener("keydown", (event) => {
    if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!event.target.closest("input, select")) keys[event.key]();
  });
  switchTab("traces");
}

start();
