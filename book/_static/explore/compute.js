// All that is computed for a state of the explorer, here or in a worker.
explore.part("compute", function (use) {
  "use strict";
  const planes = use("plane");
  const networks = use("network");
  const jaccard = use("jaccard");
  const curves = use("curves");
  const tests = use("test-images");
  const { interpolate, quantize } = use("quantize");
  const PAD = 0.1;
  const KEPT = 24; // results of each kind
  const given = {};
  const caches = {};

  // The result of `make` for the values that it depends on; the last ones are kept.
  function cached(kind, on, make) {
    const kept = (caches[kind] ??= new Map());
    const key = JSON.stringify(on);
    if (!kept.has(key)) {
      kept.set(key, make());
      if (kept.size > KEPT) {
        kept.delete(kept.keys().next().value);
      }
    }
    return kept.get(key);
  }

  // Test image k of a network.
  function image(network, k) {
    const size = network.origin.length;
    return network.x.subarray(k * size, (k + 1) * size);
  }

  function planeOf(state) {
    const network = given[state.network];
    if (state.plane === "pca") {
      return network;
    }
    const on = [state.network, state.images];
    return cached("plane", on, () =>
      planes.through(
        state.images.map((k) => image(network, k)),
        PAD,
      ),
    );
  }

  // A weight at its bits: "W" is the first layer's, "V" the last one's.
  function level(state, part, bits) {
    const network = given[state.network];
    const layer = part === "W" ? "1" : "3";
    const perChannel = state.scale === "channel";
    const key = `${state.rounding}/${bits}/${state.scale}/${layer}`;
    const rows = part === "W" ? network.b.length : network.c.length;
    const up = state.rounding === "nearest" ? null : network.up[key];
    return cached("level", [state.network, key], () =>
      quantize(network[part], rows, bits, perChannel, up),
    );
  }

  // What the first layer at its bits makes of the test images.
  function products(state, bits) {
    const on = [state.network, state.rounding, state.scale, bits];
    const { x, b } = given[state.network];
    return cached("products", on, () => tests.products(level(state, "W", bits), x, b.length));
  }

  const HOW = ["network", "rounding", "scale", "bits", "to", "t"];
  const WHERE = ["network", "plane", "images", "x", "y", "zoom"];
  const pick = (state, names) => names.map((name) => state[name]);

  function quantized(state) {
    return cached("quantized", pick(state, HOW), function () {
      const [W, V] = ["W", "V"].map(function (part, k) {
        const start = level(state, part, state.bits[k]);
        return state.t ? interpolate(start, level(state, part, state.to), state.t) : start;
      });
      return { ...given[state.network], W, V };
    });
  }

  // Both networks on the plane; `on` says what each depends on.
  function cut(state) {
    const where = pick(state, WHERE);
    const plane = planeOf(state);
    const extent = planes.view(plane.extent, state.x, state.y, state.zoom);
    const onWhere = [...where, ...pick(state, HOW)];
    return {
      extent,
      plane,
      float: {
        on: where,
        net: cached("net", where, () => networks.onPlane(given[state.network], plane)),
      },
      quantized: {
        on: onWhere,
        net: cached("net", onWhere, () => networks.onPlane(quantized(state), plane)),
      },
    };
  }

  function map({ on, net }, extent, n) {
    return cached("map", [...on, n], () => networks.labelMap(net, extent, n));
  }

  function curve(one, extent, n) {
    const labels = map(one, extent, n);
    const make = () => curves.segments(networks.labeller(one.net), labels, extent, n);
    return cached("curve", [...one.on, n], make);
  }

  function cellOf([a0, a1, b0, b1], n) {
    return [(a1 - a0) / n, (b1 - b0) / n];
  }

  const cellSide = (extent, n) => (cellOf(extent, n)[0] + cellOf(extent, n)[1]) / 2;

  // Changed area over the length of the float network's boundary.
  function displacement(count, extent, n, length) {
    const [ha, hb] = cellOf(extent, n);
    const area = count * ha * hb;
    return length > 0 ? area / length : area > 0 ? Infinity : 0;
  }

  function slice(state, n) {
    const { extent, float, quantized: other } = cut(state);
    const [labels, changed] = [map(float, extent, n), map(other, extent, n)];
    const masks = [labels, changed].map((one) => jaccard.mask(one, n, state.sides));
    const count = jaccard.changed(labels, changed);
    const length = curves.length(curve(float, extent, n));
    return {
      labels: [labels, changed],
      masks,
      jaccard: jaccard.distance(...masks),
      bounded: masks.some((mask) => mask.includes(1)),
      gridChange: count / (n * n),
      displacement: displacement(count, extent, n, length),
    };
  }

  function shown(state) {
    const network = given[state.network];
    const { extent, plane } = cut(state);
    const found = slice(state, state.n);
    const junctions = found.labels.map((labels) => jaccard.junctions(labels, state.n));
    const reference = cached("tests", [state.network], () => {
      const all = tests.products(network.W, network.x, network.b.length);
      return tests.read(network, all, all, 0);
    });
    const candidate = cached("tests", pick(state, HOW), () => {
      const stop = state.t ? state.to : state.bits[0];
      return tests.read(
        quantized(state),
        products(state, state.bits[0]),
        products(state, stop),
        state.t,
      );
    });
    const size = network.origin.length;
    const points = cached("points", pick(state, WHERE.slice(0, 3)), () =>
      Array.from(network.labels.keys(), (k) => planes.project(plane, image(network, k))),
    );
    const measures = { ...found, ...tests.compare(reference, candidate, network.labels) };
    measures.junctions = junctions.map((cells) => cells.length);
    measures.cell = cellSide(extent, state.n);
    const marks = { junctions, points, truth: network.labels };
    if (state.plane === "three") {
      marks.corners = state.images.map((k) => points[k]);
    }
    return { extent, measures, marks, n: state.n, side: Math.sqrt(size) };
  }

  // Both networks at a point of the plane, and the input there.
  function probe(state) {
    const { plane, float, quantized: other } = cut(state);
    const [a, b] = state.probe;
    const all = [
      networks.values(given[state.network], float.net, a, b),
      networks.values(quantized(state), other.net, a, b),
    ];
    return { a, b, networks: all, input: Float32Array.from(planes.input(plane, a, b)) };
  }

  // J and what does not depend on the grid, on one of the grids of the plot.
  function onGrid(state, n) {
    const found = slice(state, n);
    return { n, jaccard: found.jaccard, displacement: found.displacement };
  }

  // J by the law on several grids, from the distances on the finest of them.
  function law(state, grids) {
    const { extent, float, quantized: other } = cut(state);
    const finest = Math.max(...grids);
    const apart = curves.distances(curve(float, extent, finest), curve(other, extent, finest));
    return grids.map((n) => ({
      n,
      law: apart.length ? jaccard.law(apart, cellSide(extent, n)) : NaN,
    }));
  }

  const kinds = { law, onGrid, probe, shown };

  function answer(kind, state, ...more) {
    return kinds[kind](state, ...more);
  }

  function receive(found) {
    for (const [name, network] of Object.entries(found)) {
      const x = Float64Array.from(network.images, (level) => Math.fround(level / network.scale));
      given[name] = { ...network, x };
    }
  }

  // In a worker: networks come without an id, questions with one.
  function serve(scope) {
    scope.onmessage = function ({ data }) {
      if (data.networks) {
        receive(data.networks);
        return;
      }
      const reply = { id: data.id };
      try {
        reply.found = answer(...data.question);
      } catch (error) {
        reply.error = error.message;
      }
      scope.postMessage(reply);
    };
  }

  return { answer, receive, serve };
});
