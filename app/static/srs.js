// What the pages do in the browser. Every page works without this file, which only adds comfort.
(function () {
  "use strict";

  // ---- Small words -------------------------------------------------------------------------------------------
  function make(tag, attributes, children) {
    const element = document.createElement(tag);
    Object.entries(attributes || {}).forEach(([name, value]) => element.setAttribute(name, value));
    (children || []).forEach((child) => element.append(child));
    return element;
  }

  function each(root, selector, change) {
    if (root.matches && root.matches(selector)) change(root);
    root.querySelectorAll(selector).forEach(change);
  }

  function announce(text) {
    const announcer = document.getElementById("announcer");
    if (announcer) announcer.textContent = text;
  }

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";
  const day = new Intl.DateTimeFormat("en-GB", {
    day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
  });

  function bytes(count) {
    const units = ["bytes", "KiB", "MiB", "GiB"];
    let power = 0;
    let size = count;
    while (size >= 1024 && power < units.length - 1) {
      size /= 1024;
      power += 1;
    }
    return (power ? size.toFixed(1) : size) + " " + units[power];
  }

  // ---- Times -------------------------------------------------------------------------------------------------
  function relative(milliseconds) {
    const words = new Intl.RelativeTimeFormat("en-GB", { numeric: "auto" });
    const steps = [["day", 86400000], ["hour", 3600000], ["minute", 60000]];
    const step = steps.find(([, size]) => Math.abs(milliseconds) >= size) || ["second", 1000];
    return words.format(Math.round(milliseconds / step[1]), step[0]);
  }

  function showTime(element) {
    const moment = new Date(element.getAttribute("datetime"));
    if (Number.isNaN(moment.getTime())) return;
    element.textContent = day.format(moment);
    element.title = relative(moment - Date.now()) + " (" + zone + "; " + element.getAttribute("datetime") + ")";
  }

  function span(milliseconds) {
    const seconds = Math.floor(milliseconds / 1000);
    const [d, h, m, s] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
    const two = (number) => String(number).padStart(2, "0");
    if (d) return d + " d " + two(h) + " h " + two(m) + " min";
    return h ? h + " h " + two(m) + " min " + two(s) + " s" : m + " min " + two(s) + " s";
  }

  function showCountdown(element) {
    const left = new Date(element.dataset.countdown) - Date.now();
    if (Number.isNaN(left)) return;
    element.textContent = left > 0 ? "in " + span(left) : element.dataset.over || "now; reload the page";
  }

  // ---- Schedule fields: typed in the viewer's zone, sent in UTC -----------------------------------------------
  function useLocalZone(input) {
    const local = (moment) => new Date(moment - moment.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
    const hidden = make("input", { type: "hidden", name: input.name, value: input.value });
    const label = document.getElementById(input.dataset.utc);
    if (input.value) input.value = local(new Date(input.value + "Z"));
    input.removeAttribute("name");
    input.removeAttribute("data-utc");
    input.after(hidden);
    if (label) label.textContent = zone;
    input.addEventListener("change", () => {
      hidden.value = input.value ? new Date(input.value).toISOString().slice(0, 16) : "";
    });
  }

  // ---- Theme -------------------------------------------------------------------------------------------------
  function labelTheme(button) {
    const dark = document.documentElement.getAttribute("data-bs-theme") === "dark";
    button.setAttribute("aria-pressed", String(dark));
  }

  function toggleTheme(button) {
    const next = document.documentElement.getAttribute("data-bs-theme") === "dark" ? "light" : "dark";
    document.documentElement.setAttribute("data-bs-theme", next);
    try {
      window.localStorage.setItem("srs-theme", next);
    } catch (refused) {
      announce("This browser does not keep the choice.");
    }
    labelTheme(button);
  }

  // ---- Tables ------------------------------------------------------------------------------------------------
  function addSortButton(header) {
    const button = make("button", { type: "button", class: "sort" });
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => sortBy(header));
  }

  function key(row, column, kind) {
    const cell = row.cells[column];
    const text = cell.dataset.value === undefined ? cell.textContent.trim() : cell.dataset.value;
    if (kind !== "number") return text.toLowerCase();
    const number = parseFloat(text);
    return Number.isNaN(number) ? -Infinity : number;
  }

  function sortBy(header) {
    const table = header.closest("table");
    const kind = header.dataset.sort;
    const before = header.getAttribute("aria-sort") || (kind === "number" ? "ascending" : "descending");
    const sign = before === "ascending" ? -1 : 1;
    const column = header.cellIndex;
    const order = (a, b) => (a < b ? -sign : a > b ? sign : 0);
    const rows = Array.from(table.tBodies[0].rows).filter((row) => row.cells.length > column);
    rows.sort((a, b) => order(key(a, column, kind), key(b, column, kind)));
    each(table, "th[aria-sort]", (other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    table.tBodies[0].append(...rows);
    announce("Sorted by " + header.textContent.trim() + ", " + header.getAttribute("aria-sort"));
  }

  // ---- Copy --------------------------------------------------------------------------------------------------
  function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    const text = source.value === undefined ? source.textContent : source.value;
    const label = button.lastChild.textContent;
    const say = (words) => {
      button.lastChild.textContent = " " + words;
      announce(words);
      window.setTimeout(() => { button.lastChild.textContent = label; }, 2000);
    };
    if (!navigator.clipboard) {
      window.getSelection().selectAllChildren(source);
      say("Selected: press Ctrl+C");
      return;
    }
    navigator.clipboard.writeText(text.trim()).then(() => say("Copied"), () => say("Not allowed to copy"));
  }

  // ---- Confirmation ------------------------------------------------------------------------------------------
  function ask(form, submitter) {
    const yes = make("button", { type: "submit", value: "yes", class: "btn btn-danger" }, [form.dataset.confirmLabel || "Yes, go on"]);
    const no = make("button", { type: "submit", value: "no", class: "btn btn-secondary", autofocus: "" }, ["Cancel"]);
    const text = make("p", { class: "mb-0", id: "confirm-text" }, [form.dataset.confirm]);
    const inner = make("form", { method: "dialog" }, [text, make("div", { class: "dialog-actions" }, [no, yes])]);
    const dialog = make("dialog", { "aria-labelledby": "confirm-text" }, [inner]);
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (dialog.returnValue !== "yes") return;
      form.dataset.confirmed = "yes";
      form.requestSubmit(submitter);
    });
    document.body.append(dialog);
    dialog.showModal();
  }

  // ---- Uploads -----------------------------------------------------------------------------------------------
  function checkSize(input) {
    const limit = Number(input.dataset.maxBytes);
    const files = Array.from(input.files);
    const large = files.find((file) => file.size > limit);
    const problem = large ? large.name + " is larger than " + bytes(limit) + ", the limit for this file." : "";
    input.setCustomValidity(problem);
    input.classList.toggle("is-invalid", Boolean(problem));
    const line = document.getElementById(input.id + "-chosen");
    if (line) line.textContent = problem || files.map((file) => file.name + ", " + bytes(file.size)).join("; ");
    if (problem) announce(problem);
  }

  function showPage(request) {
    const page = new DOMParser().parseFromString(request.responseText, "text/html");
    document.title = page.title;
    window.history.replaceState({ srs: "form" }, "");
    window.history.pushState({ srs: "answer" }, "", request.responseURL);
    document.body.replaceWith(document.adoptNode(page.body));
    if (window.htmx) window.htmx.process(document.body);
    enhance(document.body);
    window.scrollTo(0, 0);
    const main = document.getElementById("main");
    if (main) main.focus();
  }

  function send(form, submitter) {
    const request = new XMLHttpRequest();
    const bar = make("progress", { max: "100", value: "0", "aria-label": "Upload" });
    const text = make("span", { role: "status" }, ["Uploading …"]);
    const cancel = make("button", { type: "button", class: "btn btn-secondary btn-sm" }, ["Cancel"]);
    const box = make("div", { class: "upload-progress mt-3" }, [make("p", { class: "progress-line" }, [text, cancel]), bar]);
    const data = new FormData(form, submitter);
    const buttons = form.querySelectorAll("[type=submit]");
    const stop = (message) => {
      buttons.forEach((button) => { button.disabled = false; });
      bar.remove();
      cancel.remove();
      text.textContent = message;
    };
    each(form, ".upload-progress", (old) => old.remove());
    form.append(box);
    buttons.forEach((button) => { button.disabled = true; });
    cancel.addEventListener("click", () => request.abort());
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) bar.value = (100 * event.loaded) / event.total;
    });
    request.upload.addEventListener("load", () => {
      text.textContent = "Sent. Waiting for the server …";
      bar.removeAttribute("value");
    });
    request.addEventListener("load", () => {
      const html = (request.getResponseHeader("Content-Type") || "").startsWith("text/html");
      if (html) showPage(request);
      else stop(request.status === 413 ? "The server refuses a file of this size." : "The server answered " + request.status + ". Try again.");
    });
    request.addEventListener("error", () => stop("The connection broke. Nothing was submitted; try again."));
    request.addEventListener("abort", () => stop("Cancelled. Nothing was submitted."));
    request.open("POST", form.getAttribute("action") || window.location.href);
    request.send(data);
  }

  // Fills in several fields of the button's form at a time.
  function fillIn(button) {
    for (const [name, value] of Object.entries(JSON.parse(button.dataset.fillIn))) {
      const field = button.form.elements[button.dataset.prefix + name];
      if (field.type === "checkbox") field.checked = value === "True";
      else field.value = value;
    }
  }

  // ---- Wiring ------------------------------------------------------------------------------------------------
  const states = new Map();

  function enhance(root) {
    each(root, "time[datetime]", showTime);
    each(root, "[data-countdown]", showCountdown);
    each(root, "input[data-utc]", useLocalZone);
    each(root, "[data-theme-toggle]", labelTheme);
    each(root, "th[data-sort]", (header) => { if (!header.querySelector(".sort")) addSortButton(header); });
    each(root, "[data-live]", (block) => { if (!states.has(block.id)) states.set(block.id, block.dataset.live); });
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme-toggle], [data-copy], [data-fill], [data-fill-in]");
    if (!button) return;
    if (button.dataset.copy) copy(button);
    else if (button.dataset.fillIn) fillIn(button);
    else if (button.dataset.fill) document.getElementById(button.dataset.fill).value = button.dataset.value;
    else toggleTheme(button);
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("input[type=file][data-max-bytes]")) checkSize(event.target);
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.confirm && !form.dataset.confirmed) {
      event.preventDefault();
      ask(form, event.submitter);
      return;
    }
    delete form.dataset.confirmed;
    if (form.dataset.upload !== undefined) {
      event.preventDefault();
      send(form, event.submitter);
    }
  });

  // An upload that htmx sends.
  document.addEventListener("htmx:xhr:progress", (event) => {
    const bar = event.target.querySelector && event.target.querySelector(".upload-bar");
    if (!bar || !event.detail.lengthComputable) return;
    bar.hidden = false;
    bar.value = (100 * event.detail.loaded) / event.detail.total;
  });

  // A page that was shown after an upload is fetched anew when the reader goes back.
  window.addEventListener("popstate", (event) => {
    if (event.state && event.state.srs) window.location.reload();
  });

  // A live block that polls is announced only when its state changes, not every two seconds.
  document.addEventListener("htmx:afterSettle", (event) => {
    const block = event.target;
    if (block.dataset && block.dataset.live) {
      if (states.has(block.id) && states.get(block.id) !== block.dataset.live) announce(block.dataset.live);
      states.set(block.id, block.dataset.live);
    }
    enhance(block);
  });

  document.addEventListener("DOMContentLoaded", () => {
    enhance(document);
    window.setInterval(() => each(document, "[data-countdown]", showCountdown), 1000);
    window.setInterval(() => each(document, "time[datetime]", showTime), 60000);
  });
})();
