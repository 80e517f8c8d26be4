// @ts-check
/** The choices for the answers to come: agent, model, and those in the dialog *Options*. */
import { ui } from "./elements.js";
import { keep, recallJson } from "./storage.js";

const NAME = "choices";
/** The members of a request, each with the field of its choice. */
const FIELDS = Object.entries({
  agent: ui.agent,
  model: ui.model,
  system: ui.system,
  temperature: ui.temperature,
  max_tokens: ui["max-tokens"],
});
const NUMBERS = new Set(["temperature", "max_tokens"]);

export class Settings {
  #served;
  /** @type {Record<string, string>} */
  #chosen = { ...recallJson(NAME) };

  /** @param {import("./served.js").Served} served */
  constructor(served) {
    this.#served = served;
    for (const [name, field] of FIELDS) {
      field.addEventListener("change", () => this.#choose(name, field));
    }
    ui["options-open"].addEventListener("click", () => ui.options.showModal());
    ui["options-reset"].addEventListener("click", () => this.#reset());
    served.addEventListener("change", () => this.#show());
    this.#show();
  }

  /** The members of a request that are chosen, apart from its prompt. */
  get request() {
    const chosen = FIELDS.filter(([name]) => this.#isServed(name) && this.#chosen[name]);
    return Object.fromEntries(
      chosen.map(([name]) => [name, NUMBERS.has(name) ? +this.#chosen[name] : this.#chosen[name]]),
    );
  }

  /** @param {string} name @param {any} field */
  #choose(name, field) {
    if (!field.reportValidity()) return;
    this.#chosen[name] = field.value.trim();
    this.#keep();
  }

  #reset() {
    for (const name of ["system", "temperature", "max_tokens"]) delete this.#chosen[name];
    this.#keep();
    this.#show();
  }

  #keep() {
    const chosen = Object.entries(this.#chosen).filter(([, value]) => value);
    keep(NAME, chosen.length ? JSON.stringify(Object.fromEntries(chosen)) : null);
    this.#count();
  }

  #show() {
    fill(ui.model, this.#served.models);
    fill(ui.agent, this.#served.agents);
    ui["model-choice"].hidden = this.#served.models.length < 2;
    ui["agent-choice"].hidden = this.#served.agents.length < 2;
    for (const [name, field] of FIELDS) {
      if (this.#isServed(name)) field.value = this.#chosen[name] ?? field.options?.[0]?.value ?? "";
    }
    this.#count();
  }

  #count() {
    const set = ["system", "temperature", "max_tokens"].filter((name) => this.#chosen[name]);
    ui["options-open"].textContent = set.length ? `Options (${set.length})` : "Options";
  }

  /** False for a model or an agent that the server does not offer. @param {string} name */
  #isServed(name) {
    const { models, agents } = this.#served;
    if (name === "model") return models.length > 1 && isAmong(this.#chosen.model, models);
    const names = agents.map((agent) => agent.name);
    return name !== "agent" || (names.length > 1 && isAmong(this.#chosen.agent, names));
  }
}

/** @param {string | undefined} chosen @param {string[]} names */
const isAmong = (chosen, names) => chosen !== undefined && names.includes(chosen);

/** @param {HTMLSelectElement} field @param {(string | import("./served.js").Agent)[]} choices */
function fill(field, choices) {
  field.replaceChildren(
    ...choices.map((choice) => {
      const { name, description } = typeof choice === "string" ? { name: choice } : choice;
      const option = new Option(name, name);
      if (description) option.title = description;
      return option;
    }),
  );
}
