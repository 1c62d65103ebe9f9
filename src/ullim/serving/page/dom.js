// Elements from plain calls. Text always goes in as text nodes: nothing here parses HTML, and
// styles go through the CSSOM, which a Content-Security-Policy without 'unsafe-inline' allows.

/**
 * Make an element.
 *
 * @param {string} tag Its name.
 * @param {Object} [props] Attributes; `class`, `dataset`, `style` (custom properties too) and
 *   `on` (listeners by event) are understood, null and false are left out, true is an empty value.
 * @param {...(Node|string|number|null|undefined|Array)} children What is inside.
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "style") {
      for (const [property, text] of Object.entries(value)) element.style.setProperty(property, text);
    } else if (name === "dataset") {
      Object.assign(element.dataset, value);
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Return the element of an id. */
export function id(name) {
  return document.getElementById(name);
}

/** Make a button with a listener. */
export function button(text, listener, props = {}) {
  return h("button", { type: "button", class: "quiet", ...props, on: { click: listener } }, text);
}

/** Say something to a screen reader, through the page's one status line. */
export function say(text) {
  const line = id("said");
  // The same words twice are a change too.
  line.textContent = "";
  requestAnimationFrame(() => {
    line.textContent = text;
  });
}

/** Fit a canvas to its box at the screen's resolution; return its context in CSS pixels. */
export function fit(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  const [pixels, rows] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== pixels || canvas.height !== rows) {
    canvas.width = pixels;
    canvas.height = rows;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** Return the value of a custom property of the style sheet, for a canvas to paint with. */
export function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Return the colour of an emotion; grey where nobody speaks. */
export function colourOf(label) {
  return token(label ? `--${label}` : "--silent") || token("--neutral");
}
