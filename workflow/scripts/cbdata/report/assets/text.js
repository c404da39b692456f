"use strict";
// Text of unknown origin is only ever set as textContent, after every hidden character has been
// made visible.

const CONTROLS = "\\p{Cc}\\p{Cf}\\p{Cn}\\p{Co}\\p{Cs}\\p{Zl}\\p{Zp}";
const SPACES = "\\u00a0\\u1680\\u2000-\\u200a\\u202f\\u205f\\u3000\\ufe00-\\ufe0f";
const HIDDEN = new RegExp("[" + CONTROLS + SPACES + "]", "gu");

function codePoint(char) {
  return "U+" + char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
}

function visible(text) {
  return String(text).replace(HIDDEN, (char) => {
    const code = char.codePointAt(0);
    return code < 0x20
      ? String.fromCodePoint(0x2400 + code)
      : "\u27e6" + codePoint(char) + "\u27e7";
  });
}

// As visible(), but lines break where the text has line feeds.
function visibleLines(text) {
  return visible(text).replaceAll("\u240a", "\u23ce\n").replaceAll("\u2409", "\u21e5\u2003");
}

function element(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function byId(id) {
  return document.getElementById(id);
}

// Names and values as a definition list; empty values are left out.
function factList(facts) {
  const list = element("dl", "about");
  for (const [name, value] of Object.entries(facts)) {
    if (value === null || value === undefined) continue;
    const pair = element("div", "");
    pair.append(element("dt", "", name), element("dd", "", visible(value)));
    list.append(pair);
  }
  return list;
}
