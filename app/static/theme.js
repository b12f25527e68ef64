// Applied before the first paint, so that a dark page does not flash white: this file is loaded without `defer`.
(function () {
  "use strict";
  var system = window.matchMedia("(prefers-color-scheme: dark)");

  function remembered() {
    try {
      return window.localStorage.getItem("srs-theme");
    } catch (refused) {
      return null; // A browser that forbids storage follows the system.
    }
  }

  function apply() {
    var theme = remembered() || (system.matches ? "dark" : "light");
    document.documentElement.setAttribute("data-bs-theme", theme);
    document.documentElement.classList.add("js");
  }

  apply();
  system.addEventListener("change", apply);
  // Paper is light.
  window.addEventListener("beforeprint", function () {
    document.documentElement.setAttribute("data-bs-theme", "light");
  });
  window.addEventListener("afterprint", apply);
})();
