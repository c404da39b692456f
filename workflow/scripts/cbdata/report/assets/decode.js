// From token ids to the text that they stand for, and back from a place in the text to tokens.

// The text that each token adds: null for an id that the vocabulary does not have. A character of
// several tokens is given to the last of them, and the others add nothing.
function readTokens(vocabulary, ids) {
  const texts = new Array(ids.length);
  let decoder = null;
  for (let position = 0; position < ids.length; position += 1) {
    const entry = vocabulary[ids[position]];
    const part = Array.isArray(entry) && entry.length > 0;
    if (!part && decoder !== null) {
      texts[position - 1] += decoder.decode();
      decoder = null;
    }
    if (part) {
      if (decoder === null) decoder = new TextDecoder("utf-8", { ignoreBOM: true });
      texts[position] = decoder.decode(Uint8Array.from(entry), { stream: true });
    } else {
      texts[position] = typeof entry === "string" ? entry : null;
    }
  }
  if (decoder !== null) texts[ids.length - 1] += decoder.decode();
  return texts;
}

// The text of all tokens, with a character that no query holds for each unknown one.
function joinTokens(texts) {
  return texts.map((text) => (text === null ? "\u0000" : text)).join("");
}

// Tokens [start, end) of every place where the text of a record matches, in order.
function findTokens(texts, pattern) {
  const found = [];
  let position = 0;
  let offset = 0;
  const sizes = texts.map((text) => (text === null ? 1 : text.length));
  for (const match of joinTokens(texts).matchAll(pattern)) {
    while (offset + sizes[position] <= match.index) offset += sizes[position++];
    let [end, reached] = [position, offset];
    while (reached < match.index + match[0].length) reached += sizes[end++];
    found.push([position, end]);
  }
  return found;
}
