// What can be browsed: its records, how they are listed, filtered and searched.

const INDEX = JSON.parse(byId("index").textContent);
const BLOCKS = new Blocks(document.querySelectorAll("script.block"));

function columnsOf(table, names, i) {
  return Object.fromEntries(names.map((name) => [name, table[name][i]]));
}

const TRACE_TEXT = ["id", "category", "class", "outcome", "split", "suite", "model", "defense"];
const REJECT_COLUMNS = ["stage", "name", "reason", "record", "file", "line"];
const fromTraces = (name) => (i) => INDEX.traces[name][i];
const fromRejects = (name) => (i) => INDEX.rejects[name][i];

const TABS = {
  traces: {
    table: INDEX.traces,
    size: INDEX.traces.id.length,
    id: fromTraces("id"),
    file: "trace_ids.txt",
    filters: [
      ["Data set", (i) => INDEX.datasets[INDEX.traces.dataset[i]].name],
      ["Category", fromTraces("category")],
      ["Outcome", fromTraces("outcome")],
      ["Class", fromTraces("class")],
      ["Suite", fromTraces("suite")],
      ["Attack", fromTraces("attack")],
      ["Model", fromTraces("model")],
      ["Defense", fromTraces("defense")],
      ["Split", fromTraces("split")],
      ["Cut", fromTraces("cut")],
    ],
    text(i, record) {
      const known = Object.values(columnsOf(INDEX.traces, [...TRACE_TEXT, "attack", "cut"], i));
      const told = Object.values(record.about);
      return [...known, ...told, joinTokens(readTokens(INDEX.tokens, record.ids))].join("\n");
    },
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
    id: fromRejects("record"),
    file: "rejected_ids.txt",
    filters: [
      ["Data set", fromRejects("name")],
      ["Stage", fromRejects("stage")],
      ["Reason", fromRejects("reason")],
    ],
    text: (i, record) => rejectText(columnsOf(INDEX.rejects, REJECT_COLUMNS, i), record),
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
for (const tab of Object.values(TABS)) {
  tab.texts = new SearchTexts(BLOCKS, tab.table, tab.size, tab.text);
  tab.picked = new Set();
}
