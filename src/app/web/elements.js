// @ts-check
/** The elements of the page by their ids, and how others are made. */

/** The API is below the path of the page, which may be a stage such as /Prod/. */
export const api = { baseUrl: new URL(".", location.href).pathname.slice(0, -1) };

/** @type {Record<string, any>} */
export const ui = Object.fromEntries(
  Array.from(document.querySelectorAll("[id]"), (e) => [e.id, e]),
);

/** @param {string} name @param {string} className @returns {HTMLElement} */
export function made(name, className = "", text = "") {
  const element = document.createElement(name);
  element.className = className;
  element.textContent = text;
  return element;
}

/** @param {string} text @param {() => void} action @returns {HTMLButtonElement} */
export function button(text, action, className = "") {
  const element = document.createElement("button");
  element.type = "button";
  element.className = className;
  element.textContent = text;
  element.addEventListener("click", action);
  return element;
}

/**
 * Makes a field as high as its text, in browsers that cannot.
 * @param {HTMLTextAreaElement} field
 */
export function growing(field) {
  if (CSS.supports("field-sizing", "content")) return;
  const grow = () => {
    field.rows = Math.min(12, field.value.split("\n").length);
  };
  field.addEventListener("input", grow);
  grow();
}
