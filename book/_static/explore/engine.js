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

  // Where a worker cannot run, the page answers what it was asked.
  function worker() {
    const address = URL.createObjectURL(new Blob([source()], { type: "text/javascript" }));
    const made = new Worker(address);
    const waiting = new Map();
    const received = [];
    let last = 0;
    let instead = null;
    made.onmessage = function ({ data }) {
      const { done, failed } = waiting.get(data.id);
      waiting.delete(data.id);
      if (data.error) {
        failed(new Error(data.error));
      } else {
        done(data.found);
      }
    };
    made.onerror = function () {
      instead ??= here();
      received.forEach(instead.receive);
      waiting.forEach(({ question, done, failed }) => instead.ask(...question).then(done, failed));
      waiting.clear();
    };
    return {
      receive: function (networks) {
        received.push(networks);
        (instead ?? { receive: () => made.postMessage({ networks }) }).receive(networks);
      },
      ask: function (...question) {
        if (instead) {
          return instead.ask(...question);
        }
        return new Promise(function (done, failed) {
          last += 1;
          waiting.set(last, { question, done, failed });
          made.postMessage({ id: last, question });
        });
      },
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
