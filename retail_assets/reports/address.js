"use strict";
// What is chosen stands in the page's address, in words: a link shows what its sender saw, and Back goes a choice back.
const Address = (() => {
  // said: name -> {of: what the address says of a value, value: the value of what it says, undefined if there is none,
  // standard: the value that the address need not say}.
  function read(said) {
    const asked = new URLSearchParams(location.search);
    const state = {};
    for (const [name, { value, standard }] of Object.entries(said)) {
      const found = asked.has(name) ? value(asked.get(name)) : undefined;
      state[name] = found === undefined ? standard : found;
    }
    return state;
  }
  function write(said, state) {
    const asked = new URLSearchParams();
    for (const [name, { of, standard }] of Object.entries(said)) if (state[name] !== standard) asked.set(name, of(state[name]));
    const written = asked.toString(), wanted = location.pathname + (written ? "?" + written : "") + location.hash;
    if (location.pathname + location.search + location.hash === wanted) return;
    try {
      history.pushState(null, "", wanted);
    } catch { /* where a browser lets no page on disk change its address, the choice is in the page alone */ }
  }
  return { read, write };
})();
