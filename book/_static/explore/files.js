// Networks from a file of the page: zlib's format in base64, and in it safetensors.
explore.part("files", function () {
  "use strict";
  const KINDS = { F64: Float64Array, F32: Float32Array, U8: Uint8Array };

  async function unpacked(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  }

  // The networks of a data set, by DATASET/NAME; `text` is what its file holds.
  async function networks(dataset, text) {
    if (!globalThis.DecompressionStream) {
      throw new Error("this browser is too old to unpack the networks");
    }
    let buffer, header;
    try {
      buffer = await unpacked(text);
      const size = Number(new DataView(buffer).getBigUint64(0, true));
      header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, size)));
      header.start = 8 + size;
    } catch {
      throw new Error(`${dataset}.js is damaged`);
    }
    const found = {};
    for (const [name, entry] of Object.entries(JSON.parse(header.__metadata__.about))) {
      const network = { ...entry, up: {} };
      for (const [key, { dtype, data_offsets: ends }] of Object.entries(header)) {
        if (key.startsWith(`${name}/`)) {
          const [from, to] = ends.map((end) => header.start + end);
          const values = new KINDS[dtype](buffer.slice(from, to));
          const part = key.slice(name.length + 1);
          if (part.startsWith("up/")) {
            network.up[part.slice(3)] = values;
          } else {
            network[part] = values;
          }
        }
      }
      network.extent = Array.from(network.extent);
      found[`${dataset}/${name}`] = network;
    }
    return found;
  }

  return { networks };
});
