// Two workers that compute: one for what is looked at, one for the plot. Where there are none, the page
// computes by itself.
explore.part("engine", function (use) {
  "use strict";

  function source() {
    const makers = explore.computing.map(
      (name) => `${JSON.stringify(name)}: ${explore.makers[name]}`,
    );
    return `const makers = {${makers.join(",\n")}}, made = {};
const use = (name) => (made[name] ??= makers[name](use));
use("compute").serve(self);`;
  }

  function worker() {
    const address = URL.createObjectURL(new Blob([source()], { type: "text/javascript" }));
    const made = new Worker(address);
    const waiting = new Map();
    let last = 0;
    made.onmessage = function ({ data }) {
      const [done, failed] = waiting.get(data.id);
      waiting.delete(data.id);
      if (data.error) {
        failed(new Error(data.error));
      } else {
        done(data.found);
      }
    };
    made.onerror = () =>
      waiting.forEach(([, failed]) => failed(new Error("the computation failed")));
    return {
      receive: (networks) => made.postMessage({ networks }),
      ask: (...question) =>
        new Promise(function (done, failed) {
          last += 1;
          waiting.set(last, [done, failed]);
          made.postMessage({ id: last, question });
        }),
    };
  }

  function here() {
    const compute = use("compute");
    const later = () => new Promise((done) => setTimeout(done));
    return {
      receive: compute.receive,
      ask: (...question) => later().then(() => compute.answer(...question)),
    };
  }

  function start() {
    try {
      return [worker(), worker()];
    } catch {
      return [here(), here()];
    }
  }

  return { start };
});
