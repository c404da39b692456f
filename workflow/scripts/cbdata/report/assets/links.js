// Links to a place in the page: ``#trace=ID&policy=NAME&beside=twin``. What a link says is only
// ever compared with names that the page has.

const LINK_KEYS = ["trace", "part", "policy", "beside"];

function readLink(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  if (!given.has("trace")) return null;
  return Object.fromEntries(LINK_KEYS.map((key) => [key, given.get(key)]));
}

function writeLink(link) {
  const given = new URLSearchParams();
  for (const key of LINK_KEYS) if (link[key]) given.set(key, link[key]);
  history.replaceState(null, "", "#" + given);
}

// The place of a trace in a column of ids: the first row of that id, or its ``part``-th from 1.
function linkedRow(ids, link) {
  const rows = ids.reduce((found, id, i) => (id === link.trace ? [...found, i] : found), []);
  return rows.length ? rows[Number(link.part) - 1] ?? rows[0] : -1;
}

// The label of a mask by its name in a link: a label of the page, or the id of a policy.
function linkedMask(masks, name) {
  const named = masks.find((mask) => mask.label === name || mask.label === "policy " + name);
  return named ? named.label : null;
}
