// Drives `Chat`, the class behind `useChat`, as pages would, some at once. The argument is a list
// of chats as JSON, each with
//
// url, transport   where it is, and "default", "workflow" or "bare"
// id               the chat's
// turns            the actions in turn: the methods of `Page`
// again            true: ask again while a message is not whole, as a page with the default
//                  transport does; "line": by the line of the documentation
// startIndex       where a workflow transport begins to read again
//
// After each turn, the messages are told.
import { Chat } from "@ai-sdk/react";
import { WorkflowChatTransport } from "@ai-sdk/workflow/client";
import { DefaultChatTransport } from "ai";
import { setTimeout as sleep } from "node:timers/promises";

const AT_ONCE = 4;

const tell = (value) => console.log(JSON.stringify(value));

class Page {
  #chat;
  #offline = new AbortController();
  #finishes = [];

  constructor(options) {
    this.options = options;
    this.api = `${options.url}/ai-sdk/chat`;
    this.load([]);
  }

  load(messages) {
    this.#chat = new Chat({
      id: this.options.id,
      messages,
      transport: this.#transport(),
      onFinish: ({ finishReason, isAbort, isError, isDisconnect }) => {
        this.#finishes.push({ finishReason, isAbort, isError, isDisconnect });
        if (this.options.again !== "line") return;
        const isCut = !(finishReason || isAbort || isError);
        if (isDisconnect || isCut) setTimeout(this.#chat.resumeStream, 50);
      },
    });
  }

  async run() {
    for (const [act, options] of this.options.turns) {
      await this[act](options ?? {});
      const { messages, status, error } = this.#chat;
      const told = { id: this.options.id, messages, status, error: error?.message ?? null };
      tell({ ...told, finishes: this.#finishes.splice(0) });
    }
  }

  // Ask, and read to the end.
  async ask({ text, body }) {
    await this.#chat.sendMessage({ text }, { body });
    await this.#whole();
  }

  // Ask, and say so when so many characters are there, for the test to act meanwhile.
  async hear({ text, after, body }) {
    const sent = this.#chat.sendMessage({ text }, { body });
    await this.#read(after);
    tell(this.#chat.lastMessage.id);
    await sent;
    await this.#whole();
  }

  // Ask, and leave when so many characters are there.
  async leave({ text, after }) {
    const sent = this.#chat.sendMessage({ text });
    await this.#read(after);
    await this.#chat.stop();
    await sent;
  }

  // Ask, lose the network when so many characters are there, and ask again with it.
  async lose({ text, after, body }) {
    const sent = this.#chat.sendMessage({ text }, { body });
    await this.#read(after);
    this.#offline.abort();
    await sent;
    this.#offline = new AbortController();
    await this.resume();
  }

  // Ask, and stop when so many characters are there.
  async stop({ text, after }) {
    const sent = this.#chat.sendMessage({ text });
    await this.#read(after);
    await fetch(`${this.api}/${this.options.id}/stop`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ activeStreamId: this.#chat.lastMessage.id }),
    });
    await sent;
    await this.#whole();
  }

  async regenerate() {
    await this.#chat.regenerate();
    await this.#whole();
  }

  // Load the page again, with so many of the messages.
  async reload({ keep }) {
    this.load(this.#chat.messages.slice(0, keep));
    await this.resume();
  }

  async resume() {
    await this.#chat.resumeStream();
    await this.#whole();
  }

  async #whole() {
    while (this.options.again && this.#isCut()) {
      await sleep(100);
      if (this.options.again !== "line") await this.#chat.resumeStream();
    }
  }

  // As examples/ai-sdk/src/resuming.js has it.
  #isCut() {
    const { lastMessage, error } = this.#chat;
    const isLost = error instanceof TypeError;
    const isWhole = lastMessage?.role === "assistant" && lastMessage.metadata?.status;
    const isRefused = error?.statusCode < 500;
    return isLost || !(isWhole || isRefused);
  }

  async #read(most) {
    const text = () => {
      const { role, parts } = this.#chat.lastMessage ?? {};
      return role === "assistant" ? parts.map((part) => part.text ?? "").join("") : "";
    };
    while (text().length < most) await sleep(5);
  }

  #transport() {
    const common = { api: this.api, fetch: (...request) => this.#fetch(...request) };
    switch (this.options.transport) {
      case "default":
        return new DefaultChatTransport(common);
      case "workflow":
        return new WorkflowChatTransport({
          ...common,
          initialStartIndex: this.options.startIndex ?? 0,
          maxConsecutiveErrors: Infinity,
          prepareSendMessagesRequest: ({ id, messages, trigger, messageId, body }) => ({
            body: { id, messages, trigger, messageId, ...body },
          }),
        });
      case "bare":
        return new WorkflowChatTransport(common);
    }
  }

  // As a browser's: it says "network error" where Node says "terminated". And it can be offline.
  async #fetch(...request) {
    const offline = this.#offline.signal;
    if (offline.aborted) throw new TypeError("Failed to fetch");
    const response = await fetch(...request);
    if (!response.body) return response;
    const reader = response.body.getReader();
    const lost = new Promise((_, reject) => {
      offline.addEventListener("abort", () => reject(new Error("offline")));
    });
    lost.catch(() => {});
    const body = new ReadableStream({
      async pull(controller) {
        try {
          const { done, value } = await Promise.race([reader.read(), lost]);
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          const left = error.name === "AbortError";
          controller.error(left ? error : new TypeError("network error"));
        }
      },
      cancel: (reason) => reader.cancel(reason),
    });
    const { status, headers } = response;
    return new Response(body, { status, headers });
  }
}

const waiting = JSON.parse(process.argv[2]).values();

async function runSome() {
  for (const options of waiting) await new Page(options).run();
}

await Promise.all(Array.from({ length: AT_ONCE }, runSome));
