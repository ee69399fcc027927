// Opens the explorer at each place that a page has for it. Scripts alone are loaded, since a page that is
// opened from a file may load nothing else; each hands over one part, which a worker can be given, too.
(function () {
  "use strict";
  const places = document.querySelectorAll("[data-explore]");
  if (!places.length) {
    return;
  }
  const base = new URL(".", document.currentScript.src).href;
  const computing = "quantize plane network jaccard curves test-images compute".split(" ");
  const makers = {};
  const made = {};
  const waiting = {};
  const texts = {};

  function use(name) {
    made[name] ??= makers[name](use);
    return made[name];
  }

  function load(address) {
    return new Promise(function (done, failed) {
      const script = document.createElement("script");
      script.src = address;
      script.addEventListener("load", done);
      const name = new URL(address).pathname.split("/").pop();
      script.addEventListener("error", () => failed(new Error(`${name} could not be read`)));
      document.head.append(script);
    });
  }

  // The text of a file of networks, which is read once; where that fails, a later call tries again.
  function text(dataset, digest) {
    texts[dataset] ??= received(dataset, digest).catch(function (error) {
      delete texts[dataset];
      throw error;
    });
    return texts[dataset];
  }

  // The file calls `receive`.
  async function received(dataset, digest) {
    const found = new Promise((done) => (waiting[dataset] = done));
    const address = new URL(`../${dataset}.js?${digest}`, base).href;
    const none = load(address).then(() => null);
    const given = await Promise.race([found, none]);
    if (!given) {
      throw new Error(`${dataset}.js holds no networks`);
    }
    return given;
  }

  // A picture that stood in the explorer's place is better than none.
  function tell(place, error) {
    const words = document.createElement("p");
    words.className = "explore-error";
    words.setAttribute("role", "alert");
    words.textContent = `The explorer cannot be shown: ${error.message}. Load the page again, or see the chapter on slice geometry.`;
    place.replaceChildren(words, ...place.querySelectorAll(":scope > img"));
  }

  window.explore = {
    makers,
    part: (name, make) => (makers[name] = make),
    receive: (dataset, given) => waiting[dataset]?.(given),
    computing,
    tell,
    text,
    use,
  };
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = `${base}explore.css`;
  document.head.append(style);
  const showing =
    "files engine state words controls board paint plot guide point readouts python maps player page";
  Promise.all([...computing, ...showing.split(" ")].map((name) => load(`${base}${name}.js`)))
    .then(() => use("page"))
    .then(
      ({ open }) => places.forEach((place) => open(place).catch((error) => tell(place, error))),
      (error) => places.forEach((place) => tell(place, error)),
    );
})();
