// Records are in compressed blocks. A block is opened when one of its records is wanted, and a few
// blocks stay open.

const KEPT_BLOCKS = 12;

class Blocks {
  constructor(nodes) {
    this.nodes = nodes;
    this.open = new Map();
  }

  async record(block, slot) {
    let records = this.open.get(block);
    if (records === undefined) {
      records = this.inflate(this.nodes[block].textContent);
    }
    this.open.delete(block);
    this.open.set(block, records);
    if (this.open.size > KEPT_BLOCKS) this.open.delete(this.open.keys().next().value);
    return (await records)[slot];
  }

  async inflate(base64) {
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return JSON.parse(await new Response(stream).text());
  }
}
