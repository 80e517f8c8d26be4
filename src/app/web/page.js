// @ts-check
/**
 * The chat page: it makes its parts, connects them, and listens to the keyboard and the buttons.
 *
 * Where the server requires an access token, the page asks for it, and all tabs of this browser
 * share it. The page never stores the token of a stream, because the access token yields it again.
 */
import { useTheme } from "./theme.js";
import { AccessToken } from "./access.js";
import { announcer } from "./announcer.js";
import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { ui } from "./elements.js";
import { Follower } from "./follower.js";
import { Frames } from "./frames.js";
import { List } from "./list.js";
import { RATE_EVERY_MS } from "./meter.js";
import { Served } from "./served.js";
import { Settings } from "./settings.js";
import { Conversations } from "./storage.js";

const TITLE = document.title;
const COPIED_MS = 2_000;

useTheme();
const served = new Served();
const settings = new Settings(served);
const conversations = new Conversations();
const accessToken = new AccessToken(() => void learnServed());
/** @type {Frames} */
const frames = new Frames(() => chat.reading?.flush());
/** @type {Follower} */
const follower = new Follower(() => chat.reading?.running ?? false);
/** @type {Chat} */
const chat = new Chat({
  ...{ accessToken, settings, served, conversations, follower, frames },
  composer: () => composer,
  list: () => list,
  changed: showPage,
});
const composer = new Composer({
  submit: (prompt) => chat.submit(prompt),
  stop: () => void chat.stop(),
  prompts: () => chat.prompts,
});
const list = new List(conversations, {
  open: visit,
  forgotten: (it) => it.id === chat.conversation.id && visit(""),
});

function showPage() {
  const isShown = chat.isShown;
  const title = isShown ? ui.title.textContent : "";
  document.title = title ? `${title.slice(0, 60)} – ${TITLE}` : TITLE;
  ui.access.hidden = true;
  ui.welcome.hidden = isShown;
  ui.conversation.hidden = !isShown;
  ui.link.hidden = !chat.link || !navigator.clipboard;
  list.show(chat.conversation);
}

/** @param {string} id of the last stream of a conversation; "" for a new one */
function visit(id) {
  if (ui.sidebar.matches(":popover-open")) ui.sidebar.hidePopover();
  chat.visit(id);
  if (id) return announcer.say(`${ui.title.textContent}: opened.`);
  ui.prompt.focus();
  void learnServed();
}

/**
 * Asks for the server's models and agents, unless they are known, and for a token before a prompt is
 * typed, if the server requires one.
 */
async function learnServed() {
  if (served.isFresh) return;
  const needsToken = await served.ask(accessToken.value);
  if (!needsToken || chat.isShown || accessToken.value !== null) return;
  accessToken.ask(() => ui.prompt.focus());
}

async function copyLink() {
  await navigator.clipboard.writeText(chat.link);
  ui.link.textContent = "Link copied";
  announcer.say("Link copied.");
  setTimeout(() => (ui.link.textContent = "Copy link"), COPIED_MS);
}

/** @param {KeyboardEvent} event */
function pressed(event) {
  const { key, ctrlKey, metaKey, shiftKey, isComposing } = event;
  if (isComposing) return;
  const isOpen = document.querySelector(":popover-open, dialog[open]") !== null;
  if (key === "Escape" && composer.canStop && !isOpen) void chat.stop();
  if (key.toLowerCase() === "o" && shiftKey && (ctrlKey || metaKey)) {
    event.preventDefault();
    visit("");
  }
}

/** Stops following the end of the page when a reader opens a details element. @param {Event} event */
function opened({ target }) {
  if (target instanceof HTMLDetailsElement && target.open) follower.follow(false);
}

ui.new.addEventListener("click", () => visit(""));
ui.link.addEventListener("click", copyLink);
ui.more.addEventListener("click", () => {
  ui.journal.hidden = !ui.journal.hidden;
  ui.more.ariaExpanded = String(!ui.journal.hidden);
  ui.journal.scrollTop = ui.journal.scrollHeight;
});
// The event does not bubble.
ui.turns.addEventListener("toggle", opened, true);
for (const example of ui.examples.querySelectorAll("button")) {
  example.addEventListener("click", () => chat.submit(example.textContent));
}
addEventListener("keydown", pressed);
addEventListener("popstate", () => chat.route());
setInterval(() => chat.reading?.tick(), RATE_EVERY_MS);
chat.route();
// The page is hidden while the browser looks for `autofocus`.
if (!chat.isShown) ui.prompt.focus();
void learnServed();
