// @ts-check
/**
 * The strip of the sandboxes on the chat page, which `make run` adds: it names the sandbox that
 * writes the answer, and kills or freezes it.
 *
 * It depends on two facts about the page: the address names the stream that the page shows, and
 * the prompt is in `<footer id="dock">`. It announces nothing to screen readers, because the page
 * announces the effects.
 */

/**
 * @typedef {object} Sandbox
 * @property {string} name
 * @property {"starting" | "idle" | "busy" | "frozen" | "dead"} state
 * @property {"writes" | "reads" | "wrote" | null} role its role in the stream
 */
/** @typedef {{writer_known: boolean, sandboxes: Sandbox[]}} Report */

const POLL_MS = 700;
const TIMEOUT_MS = 5_000;

const NO_WRITER = ["No sandbox", "writes this answer"];
const UNKNOWN = ["Writer unknown", "to another DynamoDB"];
const UNREACHABLE = ["No answer", "from the emulator"];

/**
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name @param {string} testId @param {string} [text]
 */
function made(name, testId, text = "") {
  const element = document.createElement(name);
  element.dataset.testid = testId;
  element.textContent = text;
  return element;
}

/** Changes a text only if it differs, so that a selection in it stays. @param {Element} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A button for one sandbox. */
class Command {
  element;
  #sandbox = "";
  #verb = "";

  /** @param {string} testId @param {(sandbox: string, verb: string) => void} run */
  constructor(testId, run) {
    this.element = made("button", testId);
    this.element.type = "button";
    this.element.addEventListener("click", () => {
      if (this.#sandbox) run(this.#sandbox, this.#verb.toLowerCase());
    });
  }

  /** @param {string} verb @param {string} sandbox "" for none, which disables the button */
  show(verb, sandbox) {
    this.#verb = verb;
    this.#sandbox = sandbox;
    setText(this.element, verb);
    this.element.ariaLabel = sandbox ? `${verb} ${sandbox}` : verb;
    // A button that is `disabled` would lose the keyboard's focus.
    this.element.ariaDisabled = String(!sandbox);
  }
}

/** A name and, below it, a few words. */
class Label {
  element;
  #name = document.createElement("b");
  #words = document.createElement("span");

  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
    element.append(this.#name, " ", this.#words);
  }

  /** @param {string} name @param {string} words @param {string} state */
  show(name, words, state) {
    this.element.dataset.state = state;
    setText(this.#name, name);
    setText(this.#words, words);
  }
}

/** A sandbox that does not write this answer. */
class Chip {
  element = document.createElement("li");
  #label = new Label(made("p", "sandbox"));
  #thaw;

  /** @param {(sandbox: string, verb: string) => void} run */
  constructor(run) {
    this.#thaw = new Command("thaw", run);
    this.element.append(this.#label.element, this.#thaw.element);
  }

  /** @param {Sandbox} sandbox */
  show({ name, state, role }) {
    this.#label.element.dataset.role = role ?? "";
    this.#label.show(name, words(state, role), state);
    this.#thaw.show("Thaw", name);
    this.#thaw.element.hidden = state !== "frozen";
  }
}

/** @param {Sandbox["state"]} state @param {Sandbox["role"]} role */
function words(state, role) {
  if (role === "writes") return state === "frozen" ? "frozen in mid-answer" : "writes this answer";
  if (role === "reads") return "reads along";
  return role === "wrote" ? `${state}, wrote before` : state;
}

/** The order of the chips: those that can be thawed, those of this stream, the others. */
/** @param {Sandbox} sandbox */
const rank = ({ state, role }) => (state === "frozen" ? 0 : role === "reads" ? 1 : role ? 2 : 3);

class Strip {
  element = made("section", "sandboxes");
  #writer = new Label(made("p", "writer"));
  #kill;
  #freeze;
  #others = made("ul", "others");
  /** @type {Map<string, Chip>} */
  #chips = new Map();
  #run;

  /** @param {(sandbox: string, verb: string) => void} run */
  constructor(run) {
    this.#run = run;
    this.#kill = new Command("kill", run);
    this.#freeze = new Command("freeze", run);
    this.#others.ariaLabel = "Other sandboxes";
    const all = made("a", "all-sandboxes", "All sandboxes");
    all.href = "/_local";
    this.element.id = "local-strip";
    this.element.ariaLabel = "Sandboxes";
    this.element.hidden = true;
    const buttons = [this.#kill.element, this.#freeze.element];
    this.element.append(this.#writer.element, ...buttons, this.#others, all);
  }

  /** @param {Report} report */
  show({ writer_known, sandboxes }) {
    const writer = sandboxes.find(({ role }) => role === "writes");
    const [name, text] = writer ? [writer.name, words(writer.state, writer.role)] : NO_WRITER;
    if (writer_known) this.#writer.show(name, text, writer?.state ?? "none");
    else this.#tell(UNKNOWN);
    this.#kill.show("Kill", writer?.name ?? "");
    this.#freeze.show(writer?.state === "frozen" ? "Thaw" : "Freeze", writer?.name ?? "");
    const others = sandboxes.filter((each) => each !== writer);
    this.#showOthers(others.filter(({ state, role }) => role || state !== "dead"));
  }

  /** Shows that nothing is known. */
  showUnreachable() {
    this.show({ writer_known: true, sandboxes: [] });
    this.#tell(UNREACHABLE);
  }

  /** @param {string[]} texts */
  #tell([name, text]) {
    this.#writer.show(name, text, "none");
  }

  /** Elements are kept, so that a button keeps the keyboard's focus. @param {Sandbox[]} sandboxes */
  #showOthers(sandboxes) {
    const sorted = [...sandboxes].sort((a, b) => rank(a) - rank(b));
    const gone = new Map(this.#chips);
    sorted.forEach((sandbox, index) => {
      gone.delete(sandbox.name);
      const chip = this.#chips.get(sandbox.name) ?? new Chip(this.#run);
      this.#chips.set(sandbox.name, chip);
      chip.show(sandbox);
      const present = this.#others.children[index];
      if (present !== chip.element) this.#others.insertBefore(chip.element, present ?? null);
    });
    for (const [name, { element }] of gone) {
      element.remove();
      this.#chips.delete(name);
    }
  }
}

const streamId = () => new URLSearchParams(location.search).get("stream");

/** @param {string} path @param {string} [method] */
async function call(path, method = "GET") {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  return await fetch(`/_local/${path}`, { method, signal, cache: "no-store" });
}

/** @param {string} sandbox @param {string} verb */
async function command(sandbox, verb) {
  // If it is refused or lost, the next report shows the state that the sandbox has.
  await call(`sandboxes/${sandbox}/${verb}`, "POST").catch(() => null);
  await refresh();
}

const strip = new Strip((sandbox, verb) => void command(sandbox, verb));

async function refresh() {
  const id = streamId();
  strip.element.hidden = !id;
  if (!id) return;
  const answer = await call(`streams/${encodeURIComponent(id)}`).catch(() => null);
  const report = answer?.ok ? await answer.json().catch(() => null) : null;
  if (id !== streamId()) return;
  if (report) strip.show(report);
  else strip.showUnreachable();
}

let proceed = () => {};

/** Waits until it is time to look again: in a hidden tab, until it is shown. */
function pause() {
  return new Promise((resolve) => {
    proceed = () => resolve(null);
    if (!document.hidden) setTimeout(proceed, POLL_MS);
  });
}

async function watch() {
  for (;;) {
    if (!document.hidden) await refresh();
    await pause();
  }
}

const dock = document.querySelector("footer#dock");
const form = dock?.querySelector(":scope > form#form");
if (dock) {
  dock.insertBefore(strip.element, form ?? null);
  strip.show({ writer_known: true, sandboxes: [] });
  document.addEventListener("visibilitychange", () => proceed());
  addEventListener("popstate", () => proceed());
  // The page changes the address by itself; where this is missing, the strip appears a bit later.
  /** @type {EventTarget | undefined} */ (Reflect.get(window, "navigation"))?.addEventListener(
    "currententrychange",
    () => proceed(),
  );
  void watch();
}

export {};
