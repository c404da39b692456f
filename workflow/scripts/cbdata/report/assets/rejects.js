// One reject: why, what was asked and what the model wrote. Raw text stays folded until one asks.

function folded(title, text, length, unfold) {
  const cut = length > text.length ? ", the first " + text.length.toLocaleString("en") : "";
  const size = length.toLocaleString("en") + " characters" + cut;
  const shown = () => element("pre", "raw", visibleLines(text));
  if (unfold) return shown();
  const name = "Show " + title + ", which may be harmful (" + size + ")";
  const button = element("button", "fold", name);
  button.addEventListener("click", () => button.replaceWith(shown()));
  return button;
}

function promptTurns({ prompt, promptLength }) {
  const shown = prompt.reduce((sum, [, text]) => sum + text.length, 0);
  const cut = shown < promptLength ? ", of " + promptLength + " characters the last " + shown : "";
  return prompt.map(([role, text], number) => {
    const turn = element("section", "turn " + role);
    const title = "prompt \u00b7 " + role + (number === 0 ? cut : "");
    turn.append(element("h4", "", title), element("pre", "raw", visibleLines(text)));
    return turn;
  });
}

function rejectParts(columns, record, unfold) {
  const { stage, name, reason, file, line } = columns;
  const place = [file, line].filter((part) => part !== null).join(":");
  const facts = {
    stage,
    "data set": name,
    reason,
    meaning: record.meaning || null,
    detail: record.detail,
    ...record.asked,
    record: columns.record,
    place,
  };
  const parts = [factList(facts)];
  if (record.prompt) parts.push(...promptTurns(record));
  if (record.completion !== undefined) {
    const turn = element("section", "turn assistant");
    turn.append(
      element("h4", "", "what the model wrote"),
      folded("the completion", record.completion, record.completionLength, unfold),
    );
    parts.push(turn);
  }
  if (record.rawLength) {
    const turn = element("section", "turn");
    turn.append(
      element("h4", "", record.completion === undefined ? "raw record" : "how it was generated"),
      folded("the raw record", record.raw, record.rawLength, unfold),
    );
    parts.push(turn);
  }
  return parts;
}

function rejectText(columns, record) {
  const prompt = (record.prompt || []).map(([, text]) => text);
  const asked = Object.values(record.asked || {});
  const parts = [...Object.values(columns), record.detail, record.meaning, ...asked, ...prompt];
  return [...parts, record.completion, record.raw].filter(Boolean).join("\n");
}
