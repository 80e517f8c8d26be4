// @ts-check
/**
 * The chat page: one prompt, its answer as it streams, and the state of the connection.
 *
 * The address names the stream, so a reload, another tab and the Back button show the same answer.
 * Where the server requires an access token, the page asks for it, and all tabs of this browser
 * share it. The page never stores the token of a stream, because the access token yields it again.
 */
import { AccessToken } from "./access.js";
import { createKey, createStream, readStream, StreamError } from "./client.js";
import { api, showError, showRunning, showStopping, ui } from "./elements.js";
import { answerText } from "./parts.js";
import { Reading, seqOf } from "./reading.js";
import { announcer, Follower, Frames, RATE_EVERY_MS } from "./views.js";

const TITLE = document.title;

/** @param {boolean} reading */
function showPage(reading) {
  ui.access.hidden = true;
  ui.welcome.hidden = reading;
  ui.reading.hidden = ui.connection.hidden = ui.new.hidden = !reading;
}

/** @type {Reading | undefined} */
let current;

const accessToken = new AccessToken(() => void askFirst());
const follower = new Follower(() => current?.running ?? false);
const frames = new Frames(() => current?.flush());
const page = { accessToken, follower, frames, submit, route };

/** @param {Reading} reading */
function begin(reading) {
  current?.close();
  current = reading;
  showPage(true);
  follower.follow();
  return reading;
}

/** A new stream, and a new entry in the tab's history. @param {string} prompt */
function submit(prompt) {
  const key = createKey();
  // Before the request: a reload during the request repeats it, and the key finds its stream.
  history.pushState({ prompt, key }, "", location.pathname);
  ui.prompt.value = "";
  void ask(prompt, key);
}

/** @param {string} prompt @param {string} key */
async function ask(prompt, key) {
  const reading = begin(new Reading(page, prompt, true));
  try {
    const options = { ...api, ...accessToken.credentials, idempotencyKey: key };
    const { id, token } = await createStream({ prompt }, options);
    if (reading !== current) return;
    history.replaceState(history.state, "", `?stream=${encodeURIComponent(id)}`);
    reading.follow(id, token);
    if (reading.stopRequested) await stop();
  } catch (error) {
    if (reading !== current) return;
    if (!(error instanceof StreamError)) throw error;
    reading.fail(error, () => void ask(prompt, key));
  }
}

/** @param {string} id @param {string} prompt "" in a tab that did not send it */
async function resume(id, prompt) {
  const reading = begin(new Reading(page, prompt, false));
  try {
    const options = { ...api, ...accessToken.credentials, attempts: 1 };
    const { status, last_event_id, token } = await readStream(id, options);
    if (reading !== current) return;
    follower.follow(status === "streaming" || status === "waiting");
    reading.follow(id, token, seqOf(last_event_id));
  } catch (error) {
    if (reading !== current) return;
    if (!(error instanceof StreamError)) throw error;
    if (error.retryable) reading.follow(id, null, Infinity);
    else reading.lose(error);
  }
}

async function stop() {
  const reading = current;
  if (!reading) return;
  reading.stopRequested = true;
  showStopping(true);
  try {
    await reading.stream?.cancel();
  } catch (error) {
    if (reading !== current || !reading.running) return;
    showStopping(false);
    showError(`Not stopped. ${/** @type {Error} */ (error).message}`, stop);
  }
}

function reset() {
  current?.close();
  current = undefined;
  document.title = TITLE;
  showRunning(false);
  showPage(false);
  follower.follow(false);
  scrollTo(0, 0);
  ui.prompt.focus();
  void askFirst();
}

/**
 * Asks for an access token before a prompt is typed, if the server requires one. If it requires
 * none, the browser remembers that, so that the next visit needs no request for it.
 */
async function askFirst() {
  if (accessToken.isSettled) return;
  const answer = await fetch(`${api.baseUrl}/healthz`).catch(() => null);
  const health = answer?.ok ? await answer.json().catch(() => null) : null;
  if (health?.access === "open") accessToken.rememberOpen();
  else if (health?.access && !current && !accessToken.isSettled) accessToken.ask(reset);
}

/** Shows the stream that the address and this tab's history entry name. */
function route() {
  const id = new URLSearchParams(location.search).get("stream");
  const { prompt = "", key } = history.state ?? {};
  if (id) void resume(id, prompt);
  else if (key) void ask(prompt, key);
  else reset();
}

async function copy() {
  await navigator.clipboard.writeText(answerText());
  ui.copy.textContent = "Copied";
  announcer.say("Answer copied.");
  setTimeout(() => (ui.copy.textContent = "Copy"), 2_000);
}

/** @param {SubmitEvent} event */
function send(event) {
  event.preventDefault();
  const prompt = ui.prompt.value.trim();
  if (prompt && ui.send.hidden) current?.refuse();
  else if (prompt) submit(prompt);
}

/** @param {KeyboardEvent} event */
function typed(event) {
  // Enter may also pick a suggestion of an input method.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  ui.form.requestSubmit();
}

/** Leaves a person who opens something where they are. @param {Event} event */
function opened({ target }) {
  if (target instanceof HTMLDetailsElement && target.open) follower.follow(false);
}

/** @param {KeyboardEvent} event */
function escaped({ key, isComposing }) {
  if (key === "Escape" && !isComposing && !ui.stop.hidden && !ui.stop.disabled) void stop();
}

ui.form.addEventListener("submit", send);
ui.prompt.addEventListener("keydown", typed);
ui.stop.addEventListener("click", stop);
ui.copy.addEventListener("click", copy);
ui.copy.hidden = !navigator.clipboard; // It exists only in secure contexts.
ui.more.addEventListener("click", () => {
  ui.journal.hidden = !ui.journal.hidden;
  ui.more.ariaExpanded = String(!ui.journal.hidden);
  ui.journal.scrollTop = ui.journal.scrollHeight;
});
// The event does not bubble.
ui.reading.addEventListener("toggle", opened, true);
ui.new.addEventListener("click", () => {
  history.pushState(null, "", location.pathname);
  reset();
});
for (const example of ui.examples.querySelectorAll("button")) {
  example.addEventListener("click", () => submit(example.textContent));
}
addEventListener("keydown", escaped);
addEventListener("popstate", route);
setInterval(() => current?.tick(), RATE_EVERY_MS);
route();
