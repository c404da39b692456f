// Search in everything that the page holds of a record. The texts are read from the blocks at the
// first search and kept, so that the page holds no text twice.

const TYPING_PAUSE_MS = 120;
const BREATH_MS = 40;

// What is searched for as a pattern: the words as they stand, in any case, with any space between.
function searchPattern(query) {
  const words = query.trim().split(/\s+/u).filter(Boolean);
  if (words.length === 0) return null;
  const literal = (word) => word.replace(/[\^$\\.*+?()[\]{}|\/]/g, "\\$&");
  return new RegExp(words.map(literal).join("\\s+"), "giu");
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

class SearchTexts {
  // ``textOf(i, record)`` is what is searched of a record; ``table`` has its block and slot.
  constructor(blocks, table, size, textOf) {
    this.blocks = blocks;
    this.table = table;
    this.size = size;
    this.textOf = textOf;
    this.texts = null;
    this.done = 0;
  }

  ready(progress) {
    if (this.texts === null) this.texts = this.read();
    this.progress = progress;
    return this.texts;
  }

  async read() {
    const texts = [];
    let last = performance.now();
    for (let i = 0; i < this.size; i += 1) {
      const record = await this.blocks.record(this.table.block[i], this.table.slot[i]);
      texts.push(this.textOf(i, record));
      if (performance.now() - last > BREATH_MS) {
        this.progress(i / this.size);
        await pause(0);
        last = performance.now();
      }
    }
    return texts;
  }
}
