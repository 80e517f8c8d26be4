// @ts-check
/** Where prompts are typed: sending, stopping, and recalling those before. */
import { growing, ui } from "./elements.js";

export class Composer {
  #commands;
  #recalled = 0; // how far back; 0: none

  /**
   * @param {{submit: (prompt: string) => void, stop: () => void, prompts: () => string[]}} commands
   *   `prompts` are those that can be recalled, the oldest first
   */
  constructor(commands) {
    this.#commands = commands;
    growing(ui.prompt);
    ui.form.addEventListener("submit", (/** @type {Event} */ event) => this.#submitted(event));
    ui.prompt.addEventListener("keydown", (/** @type {KeyboardEvent} */ e) => this.#typed(e));
    ui.prompt.addEventListener("input", () => (this.#recalled = 0));
    ui.stop.addEventListener("click", () => commands.stop());
  }

  /** Gives a prompt back that could not be sent. @param {string} prompt */
  giveBack(prompt) {
    ui.prompt.value ||= prompt;
  }

  /** Clears a prompt that was given back, because it is sent again. @param {string} prompt */
  takeBack(prompt) {
    if (ui.prompt.value === prompt) this.clear();
  }

  clear() {
    ui.prompt.value = "";
    this.#recalled = 0;
  }

  get canStop() {
    return !ui.stop.hidden && !ui.stop.disabled;
  }

  /** @param {boolean} running */
  showRunning(running) {
    const { activeElement } = document;
    this.showStopping(false);
    ui.stop.hidden = !running;
    ui.send.hidden = running;
    // A person whose focused button disappears would lose their place.
    if (running && activeElement?.matches("button, input")) ui.stop.focus();
    if (!running && activeElement === ui.stop) ui.send.focus();
  }

  /** @param {boolean} stopping */
  showStopping(stopping) {
    ui.stop.disabled = stopping;
    ui.stop.textContent = stopping ? "Stopping" : "Stop";
  }

  /** @param {Event} event */
  #submitted(event) {
    event.preventDefault();
    const prompt = ui.prompt.value.trim();
    if (prompt) this.#commands.submit(prompt);
  }

  /** @param {KeyboardEvent} event */
  #typed(event) {
    // Enter may also pick a suggestion of an input method.
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      ui.form.requestSubmit();
    } else if (event.key === "ArrowUp" && this.#recall(1)) event.preventDefault();
    else if (event.key === "ArrowDown" && this.#recall(-1)) event.preventDefault();
  }

  /** @param {1 | -1} step @returns {boolean} false where the key has its usual meaning */
  #recall(step) {
    const prompts = this.#commands.prompts();
    const next = this.#recalled + step;
    if ((ui.prompt.value && !this.#recalled) || next < 0 || next > prompts.length) return false;
    this.#recalled = next;
    ui.prompt.value = next ? prompts[prompts.length - next] : "";
    return true;
  }
}
