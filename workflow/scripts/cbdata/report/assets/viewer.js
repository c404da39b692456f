// The viewer: what to browse, which records match, which one is open, under which masks.

const SPECIAL = new Set(INDEX.special);
const VIEW = new TokenView(byId("record"), byId("token"), INDEX.tokens, SPECIAL);
const BESIDE = new TokenView(byId("beside"), byId("token"), INDEX.tokens, SPECIAL);
new PairedScroll(VIEW, BESIDE);
const ANY = "";
const TWIN = "twin";

// ``opened`` counts records asked for, ``shown`` is the last of them that is in the page, and
// ``searching`` counts searches that are not done. ``anchor`` is the place that the next record
// opens at, ``pattern`` what was searched for last.
const STATE = {
  tab: "traces",
  mask: {},
  beside: ANY,
  opened: 0,
  shown: 0,
  searches: 0,
  searching: 0,
  anchor: undefined,
  pattern: null,
  linked: false,
};
const LIST = new VirtualList(byId("list"), fillRow, (i) => open(i));
const PICKS = new Picks(LIST, () => TABS[STATE.tab]);
let FILTERS = [];

function fillRow(row, i) {
  const tab = TABS[STATE.tab];
  tab.row(row, i);
  if (tab.picked.has(i)) row.firstChild.prepend(element("span", "pick", "\u2713 picked "));
}

function options(select, values, labels) {
  select.replaceChildren(...values.map((value, position) => {
    const option = element("option", "", visible(labels[position]));
    option.value = value;
    return option;
  }));
}

// A select for each thing that differs between the records of a tab.
function fillFilters() {
  const tab = TABS[STATE.tab];
  FILTERS = [];
  const labels = [];
  for (const [name, value] of tab.filters) {
    const counts = new Map();
    for (let i = 0; i < tab.size; i += 1) counts.set(value(i), (counts.get(value(i)) || 0) + 1);
    if (counts.size < 2) continue;
    const values = [...counts.keys()].sort();
    const size = (entry) => counts.get(entry).toLocaleString("en");
    const titles = values.map((entry) => entry + " (" + size(entry) + ")");
    const label = element("label", "", name + " ");
    const select = element("select", "");
    select.id = "filter-" + name.toLowerCase().replace(" ", "-");
    options(select, [ANY, ...values], ["all", ...titles]);
    select.addEventListener("change", () => refresh());
    label.append(select);
    labels.push(label);
    FILTERS.push({ select, value });
  }
  byId("filters").replaceChildren(...labels);
  byId("filter-box").hidden = labels.length === 0;
}

function clearFilters() {
  byId("search").value = "";
  for (const { select } of FILTERS) select.value = ANY;
}

// The records that match; ``texts`` are those of the tab's records where ``pattern`` is one.
function matches(pattern, texts) {
  const found = [];
  for (let i = 0; i < TABS[STATE.tab].size; i += 1) {
    const chosen = ({ select, value }) => select.value === ANY || select.value === value(i);
    if (!FILTERS.every(chosen)) continue;
    // A pattern that is used with test() remembers where it found something.
    if (pattern !== null) pattern.lastIndex = 0;
    if (pattern === null || pattern.test(texts[i])) found.push(i);
  }
  return found;
}

function count(words) {
  byId("count").textContent = words;
}

function showFound(found, wanted) {
  const tab = TABS[STATE.tab];
  const [shown, all] = [found.length, tab.size].map((number) => number.toLocaleString("en"));
  count(shown + " of " + all + " " + STATE.tab);
  const set = FILTERS.filter(({ select }) => select.value !== ANY).length;
  byId("filter-count").textContent = set ? "(" + set + " set)" : "";
  LIST.show(found, wanted === undefined ? 0 : found.indexOf(wanted));
  PICKS.show();
}

// Show what matches now, and open ``wanted`` of it, or the first.
async function refresh(wanted) {
  const search = (STATE.searches += 1);
  const tab = TABS[STATE.tab];
  const pattern = searchPattern(byId("search").value);
  if (pattern === null) {
    STATE.pattern = null;
    showFound(matches(null), wanted);
    return;
  }
  STATE.searching += 1;
  try {
    await pause(TYPING_PAUSE_MS);
    if (search !== STATE.searches) return;
    const progress = (share) => {
      if (search === STATE.searches) count("Reading the texts: " + Math.round(share * 100) + "%");
    };
    const texts = await tab.texts.ready(progress);
    if (search !== STATE.searches) return;
    STATE.pattern = pattern;
    showFound(matches(pattern, texts), wanted);
  } finally {
    STATE.searching -= 1;
  }
}

function switchTab(name) {
  STATE.tab = name;
  for (const tab of Object.keys(TABS)) {
    byId("tab-" + tab).setAttribute("aria-selected", String(tab === name));
    byId("tab-" + tab).tabIndex = tab === name ? 0 : -1;
  }
  for (const node of document.querySelectorAll(".of-traces")) node.hidden = name !== "traces";
  byId("unfold-name").textContent =
    name === "traces" ? "Show harmful completions" : "Show completions and raw records";
  byId("beside").hidden = true;
  byId("panes").classList.remove("two");
  byId("search").value = "";
  fillFilters();
  refresh();
}

// A mask stays chosen while one steps through the traces of a data set.
function fillMasks(dataset, record, twin) {
  const { masks } = INDEX.datasets[dataset];
  const labels = masks.map((mask) => mask.label);
  const titles = masks.map(
    (mask) => mask.title + (mask.label in record.masks ? "" : " \u2013 no mask"),
  );
  options(byId("policy"), labels, titles);
  byId("policy").value = labels.includes(STATE.mask[dataset]) ? STATE.mask[dataset] : labels[0];
  const missing = record.twin === null ? "it has none" : "not in this page";
  const twinTitle = twin < 0 ? "its twin \u2013 " + missing : "its twin, under the same mask";
  options(byId("compare"), [ANY, TWIN, ...labels], ["nothing", twinTitle, ...titles]);
  byId("compare").value = [TWIN, ...labels].includes(STATE.beside) ? STATE.beside : ANY;
}

function titleOf(dataset, label) {
  const mask = INDEX.datasets[dataset].masks.find((each) => each.label === label);
  return mask ? mask.title : label;
}

async function open(i) {
  const ticket = (STATE.opened += 1);
  const { anchor } = STATE;
  STATE.anchor = undefined;
  byId("previous").disabled = LIST.selected <= 0;
  byId("next").disabled = LIST.selected < 0 || LIST.selected >= LIST.items.length - 1;
  PICKS.show();
  if (i === null) {
    for (const id of ["twin", "next-hit"]) byId(id).hidden = true;
    showBeside(null);
    VIEW.clear(element("p", "empty-record", noMatch()));
    STATE.shown = ticket;
    return;
  }
  const { table } = TABS[STATE.tab];
  const record = await BLOCKS.record(table.block[i], table.slot[i]);
  if (ticket !== STATE.opened) return;
  if (STATE.tab === "rejects") {
    showReject(i, record);
  } else {
    const twin = record.twin === null ? -1 : INDEX.traces.id.indexOf(record.twin);
    const wanted = STATE.beside === TWIN && twin >= 0;
    const other = wanted ? await BLOCKS.record(table.block[twin], table.slot[twin]) : null;
    if (ticket !== STATE.opened) return;
    showTrace(i, record, twin, other, anchor);
  }
  STATE.shown = ticket;
}

function noMatch() {
  const [shown, all] = [INDEX.traces.id.length, INDEX.datasets.reduce((n, d) => n + d.total, 0)];
  if (STATE.tab === "rejects" || shown === all) return "No record matches.";
  const [part, total] = [shown, all].map((number) => number.toLocaleString("en"));
  return (
    "No record matches. This page holds " + part + " of " + total + " traces;" +
    " workflow/scripts/show.py shows any of them by its id."
  );
}

// Show the second pane, or none.
function showBeside(draw) {
  byId("panes").classList.toggle("two", draw !== null);
  byId("beside").hidden = draw === null;
  if (draw === null) byId("beside").replaceChildren();
  else draw();
}

function showTrace(i, record, twin, other, anchor) {
  const dataset = INDEX.traces.dataset[i];
  fillMasks(dataset, record, twin);
  const label = byId("policy").value;
  const unfold = byId("unfold").checked;
  const show = (view, shown, own, mask, place) =>
    view.show(shown, titleOf(own, mask), shown.masks[mask], unfold, STATE.pattern, place);
  const beside = byId("compare").value;
  const draw = () =>
    beside === TWIN
      ? show(BESIDE, other, INDEX.traces.dataset[twin], label, VIEW.anchor())
      : show(BESIDE, record, dataset, beside, VIEW.anchor());
  // The panes have their width before anything is scrolled.
  const two = beside !== ANY && (beside !== TWIN || other !== null);
  byId("panes").classList.toggle("two", two);
  byId("beside").hidden = !two;
  show(VIEW, record, dataset, label, anchor);
  showBeside(two ? draw : null);
  byId("twin").hidden = twin < 0;
  byId("twin").onclick = () => goToTwin(twin);
  for (const id of ["next-hit", "found-key"]) byId(id).hidden = VIEW.hits.length === 0;
  byId("next-hit").textContent = "Next of " + VIEW.hits.length.toLocaleString("en") + " found";
  if (STATE.linked) linkTo(i, dataset);
  STATE.linked = true;
}

function linkTo(i, dataset) {
  const id = INDEX.traces.id[i];
  const part = INDEX.traces.id.slice(0, i + 1).filter((other) => other === id).length;
  writeLink({
    trace: id,
    part: part > 1 ? String(part) : "",
    policy: STATE.mask[dataset] || "",
    beside: STATE.beside,
  });
}

function goToTwin(twin) {
  STATE.anchor = VIEW.anchor();
  const position = LIST.items.indexOf(twin);
  if (position >= 0) {
    LIST.select(position);
  } else {
    clearFilters();
    refresh(twin);
  }
}

// Draw the open record anew, at the same place.
function redraw() {
  if (LIST.selected < 0) return;
  const settled = STATE.shown === STATE.opened;
  if (STATE.tab === "traces" && settled) STATE.anchor = VIEW.anchor();
  open(LIST.items[LIST.selected]);
}

function showReject(i, record) {
  const columns = columnsOf(INDEX.rejects, REJECT_COLUMNS, i);
  VIEW.clear(...rejectParts(columns, record, byId("unfold").checked));
  byId("next-hit").hidden = true;
}

// Open what a link names, and say what of it the page does not have.
function follow(link) {
  const i = linkedRow(INDEX.traces.id, link);
  const notes = [];
  const { masks } = INDEX.datasets[i < 0 ? 0 : INDEX.traces.dataset[i]] || { masks: [] };
  const named = (name) => visible(name.slice(0, 80));
  const policy = link.policy ? linkedMask(masks, link.policy) : null;
  if (link.policy && policy === null) notes.push("no loss mask " + named(link.policy));
  if (i < 0) notes.unshift("no trace " + named(link.trace));
  const told = "The link is to what this page has not: " + notes.join(", ");
  byId("notice").textContent = notes.length ? told : "";
  if (policy !== null && i >= 0) STATE.mask[INDEX.traces.dataset[i]] = policy;
  if (link.beside === TWIN) STATE.beside = TWIN;
  else if (link.beside) STATE.beside = linkedMask(masks, link.beside) || ANY;
  if (STATE.tab !== "traces") switchTab("traces");
  if (i >= 0) {
    clearFilters();
    refresh(i);
    byId("viewer").scrollIntoView({ behavior: "instant" });
  }
}

function start() {
  if (INDEX.rejectTotal > INDEX.rejects.reason.length) {
    const share = INDEX.rejects.reason.length + " of " + INDEX.rejectTotal;
    byId("reject-sample").textContent = "Rejects: " + share + ", every file and reason in turn.";
  }
  const on = (id, event, action) => byId(id).addEventListener(event, action);
  for (const tab of Object.keys(TABS)) {
    on("tab-" + tab, "click", () => switchTab(tab));
    on("tab-" + tab, "keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      const other = Object.keys(TABS).find((name) => name !== STATE.tab);
      switchTab(other);
      byId("tab-" + other).focus();
    });
  }
  on("search", "input", () => refresh());
  on("previous", "click", () => LIST.move(-1));
  on("next", "click", () => LIST.move(1));
  on("to-loss", "click", () => VIEW.toLoss());
  on("next-hit", "click", () => VIEW.nextHit());
  on("unfold", "change", redraw);
  on("policy", "change", () => {
    STATE.mask[INDEX.traces.dataset[LIST.items[LIST.selected]]] = byId("policy").value;
    redraw();
  });
  on("compare", "change", () => {
    STATE.beside = byId("compare").value;
    redraw();
  });
  const ofTraces = (action) => () => STATE.tab === "traces" && action();
  const keys = {
    j: () => LIST.move(1),
    k: () => LIST.move(-1),
    l: ofTraces(() => VIEW.toLoss()),
    n: ofTraces(() => VIEW.nextHit()),
    t: ofTraces(() => byId("twin").hidden || byId("twin").click()),
    x: () => PICKS.pick(),
  };
  document.addEventListener("keydown", (event) => {
    if (!Object.hasOwn(keys, event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!event.target.closest("input, select")) keys[event.key]();
  });
  byId("filter-box").open = matchMedia("(min-width: 861px)").matches;
  const followHash = () => {
    const link = readLink(location.hash);
    if (link !== null) follow(link);
  };
  window.addEventListener("hashchange", followHash);
  switchTab("traces");
  followHash();
}

start();
