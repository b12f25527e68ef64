// Charts as PNG files, drawn in the browser: <button data-png="id of the figure" data-name="name of the file">.
(function () {
  "use strict";

  // A picture outside of the page has no style sheet, so every mark gets the look that it has here.
  const LOOKS = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "paint-order", "opacity", "font-family", "font-size", "font-weight", "image-rendering"];
  const INK = 4;

  function draw(tag, attributes, children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
    element.append(...(children || []));
    return element;
  }

  function dressed(original) {
    const copied = original.cloneNode(true);
    const pairs = [original, ...original.querySelectorAll("*")];
    [copied, ...copied.querySelectorAll("*")].forEach((element, place) => {
      const style = window.getComputedStyle(pairs[place]);
      LOOKS.forEach((name) => element.setAttribute(name, style.getPropertyValue(name)));
      element.removeAttribute("class");
    });
    return copied;
  }

  // Title, panel or images, and legend of a figure, one below the other.
  function poster(figure) {
    const style = window.getComputedStyle(figure);
    const paint = { fill: style.color, "font-family": style.fontFamily };
    const panel = figure.querySelector("svg.wide") || figure.querySelector("svg.panel-svg");
    const text = (x, y, words, more) => draw("text", { x, y, ...paint, "font-size": 13, ...more }, [words]);
    const width = 792;
    const parts = [text(16, 28, figure.querySelector(".chart-title").textContent, { "font-size": 17, "font-weight": 600 })];
    let bottom = 44;
    if (panel) {
      const [, , across, down] = panel.getAttribute("viewBox").split(" ").map(Number);
      const inner = dressed(panel);
      Object.entries({ x: 16, y: bottom, width: across, height: down, display: "inline" }).forEach(([name, value]) => inner.setAttribute(name, value));
      parts.push(inner);
      bottom += down + 8;
    }
    const items = figure.querySelectorAll(".image-grid > li");
    const row = items.length % 3 ? 4 : 3;
    items.forEach((item, place) => {
      const [x, y] = [16 + 192 * (place % row), 44 + 224 * Math.floor(place / row)];
      const words = item.querySelector("figcaption").textContent;
      const size = { x, y, width: 176, height: 176, "image-rendering": "pixelated", href: item.querySelector("img").src };
      parts.push(draw("image", size), text(x, y + 196, words.length > 26 ? words.slice(0, 25) + "…" : words, { "font-size": 12 }));
      bottom = y + 216;
    });
    figure.querySelectorAll(".chart-legend > li").forEach((item) => {
      const swatch = dressed(item.querySelector("svg"));
      Object.entries({ x: 16, y: bottom, width: 32, height: 14 }).forEach(([name, value]) => swatch.setAttribute(name, value));
      parts.push(swatch, text(56, bottom + 12, item.textContent.trim(), {}));
      bottom += 22;
    });
    const size = { width, height: bottom + 12, viewBox: "0 0 " + width + " " + (bottom + 12) };
    const surface = style.getPropertyValue("--srs-surface").trim() || "#ffffff";
    return { width, height: bottom + 12, svg: draw("svg", size, [draw("rect", { width: "100%", height: "100%", fill: surface }), ...parts]) };
  }

  function savePng(button) {
    const { width, height, svg } = poster(document.getElementById(button.dataset.png));
    const picture = new Image();
    picture.addEventListener("error", () => {
      document.getElementById("announcer").textContent = "This browser cannot draw the picture.";
    });
    picture.addEventListener("load", () => {
      const canvas = Object.assign(document.createElement("canvas"), { width: width * INK, height: height * INK });
      canvas.getContext("2d").drawImage(picture, 0, 0, width * INK, height * INK);
      canvas.toBlob((blob) => {
        const address = URL.createObjectURL(blob);
        Object.assign(document.createElement("a"), { href: address, download: button.dataset.name + ".png" }).click();
        window.setTimeout(() => URL.revokeObjectURL(address), 10000);
      }, "image/png");
    });
    picture.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(new XMLSerializer().serializeToString(svg));
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-png]");
    if (button) savePng(button);
  });
})();
