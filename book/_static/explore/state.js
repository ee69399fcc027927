// The state of the explorer, and how it stands in the page's address.
explore.part("state", function () {
  "use strict";
  const GRIDS = [9, 17, 33, 65, 91, 129, 181, 241, 257, 363, 513, 725, 1025];
  const ROUNDINGS = ["nearest", "adaround", "boundary metric"];
  const LAYERS = ["boundaries", "changed", "junctions", "points"];
  const number = (low, high, whole) => (text) => {
    const value = text.trim() === "" ? NaN : Number(text);
    return value >= low && value <= high && (!whole || Number.isInteger(value)) ? value : undefined;
  };
  const word =
    (...words) =>
    (text) =>
      words.includes(text) ? text : undefined;
  const several = (read, least, most) => (text) => {
    const found = text === "" ? [] : text.split(",").map(read);
    const fits = found.length >= least && found.length <= most && !found.includes(undefined);
    return fits ? found : undefined;
  };
  // Each entry: its value at first, and how it is read from text.
  const ENTRIES = {
    network: ["", (text) => text],
    plane: ["pca", word("pca", "three")],
    images: [[0, 1, 2], several(number(0, 9999, true), 3, 3)],
    bits: [[6, 6], several(number(2, 16, true), 2, 2)],
    scale: ["tensor", word("tensor", "channel")],
    rounding: ["nearest", word(...ROUNDINGS)],
    to: [3, number(2, 16, true)],
    t: [0, number(0, 1)],
    n: [129, number(9, 1025, true)],
    sides: ["two", word("two", "one")],
    x: [0.5, number(0, 1)],
    y: [0.5, number(0, 1)],
    zoom: [1, number(1, 64)],
    look: ["side by side", word("side by side", "wipe")],
    wipe: [0.5, number(0, 1)],
    layers: [["boundaries"], several(word(...LAYERS), 0, LAYERS.length)],
    probe: [null, several(number(-1e6, 1e6), 2, 2)],
    step: [0, number(0, 5, true)],
  };

  function initial(networks) {
    const found = Object.entries(ENTRIES).map(([name, [value]]) => [name, value]);
    return { ...Object.fromEntries(found), network: networks[0] };
  }

  // A state with its entries in agreement: `about` is the network's part of its file.
  function fitting(state, about) {
    const found = { ...state };
    if (found.rounding !== "nearest") {
      const nearer = (to) => (best, one) => (Math.abs(one - to) < Math.abs(best - to) ? one : best);
      const kept = (bits) => about.bits.reduce(nearer(bits)); // of those that came along
      found.bits = found.bits.map(kept);
      found.to = kept(found.to);
      if (found.rounding === "boundary metric") {
        found.bits = [found.bits[0], found.bits[0]];
      }
    }
    const most = about.labels.length - 1;
    found.images = found.images.map((k) => Math.min(k, most));
    // The view stays on the plane.
    const half = 0.5 / found.zoom;
    for (const name of ["x", "y"]) {
      found[name] = Math.min(1 - half, Math.max(half, found[name]));
    }
    return found;
  }

  // An address of a place on the page holds no state.
  const asked = (hash) => (hash.includes("=") ? [...new URLSearchParams(hash.slice(1))] : []);

  function value([name, text], networks) {
    const found = Object.hasOwn(ENTRIES, name) ? ENTRIES[name][1](text) : undefined;
    return name !== "network" || networks.includes(found) ? found : undefined;
  }

  function read(hash, networks) {
    const known = asked(hash).map((entry) => [entry[0], value(entry, networks)]);
    const given = known.filter(([, found]) => found !== undefined);
    return { ...initial(networks), ...Object.fromEntries(given) };
  }

  // What an address asks for and does not get, as it stands there.
  function unread(hash, networks) {
    const ignored = asked(hash).filter((entry) => value(entry, networks) === undefined);
    return ignored.map(([name, text]) => `${name}=${text}`);
  }

  // What became of entries of a state, as they stand in an address.
  function adjusted(state, found) {
    const names = Object.keys(ENTRIES).filter((name) => String(state[name]) !== String(found[name]));
    return names.map((name) => `${name}=${state[name]}, where ${found[name]} is shown`);
  }

  function write(state, networks) {
    const first = initial(networks);
    const words = new URLSearchParams();
    for (const name of Object.keys(ENTRIES)) {
      if (state[name] !== null && String(state[name]) !== String(first[name])) {
        words.set(name, String(state[name]));
      }
    }
    const text = words.toString();
    return text ? `#${text}` : "";
  }

  return { GRIDS, LAYERS, ROUNDINGS, adjusted, fitting, initial, read, unread, write };
});
