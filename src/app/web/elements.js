// @ts-check
/** The elements of the page by their ids, and what several parts of the page show together. */

/** The API is below the path of the page, which may be a stage such as /Prod/. */
export const api = { baseUrl: new URL(".", location.href).pathname.slice(0, -1) };

/** @type {Record<string, any>} */
export const ui = Object.fromEntries(
  Array.from(document.querySelectorAll("[id]"), (e) => [e.id, e]),
);

/** @param {boolean} running */
export function showRunning(running) {
  const { activeElement } = document;
  ui.answer.ariaBusy = String(running);
  showStopping(false);
  ui.stop.hidden = !running;
  ui.send.hidden = running;
  // A person whose focused button disappears would lose their place.
  if (running && activeElement?.matches("button, input")) ui.stop.focus();
  if (!running && activeElement === ui.stop) ui.send.focus();
}

/** @param {boolean} stopping */
export function showStopping(stopping) {
  ui.stop.disabled = stopping;
  ui.stop.textContent = stopping ? "Stopping" : "Stop";
}

/** @param {string} message @param {(() => void) | null} again */
export function showError(message, again) {
  ui["error-message"].textContent = message;
  ui.again.onclick = again;
  ui.again.hidden = !again;
  ui.error.hidden = false;
}
