// Runs pages with an HttpAgent each, at once, and tells what each shows after each of its turns.
// Arguments: pages as JSON. A page: {url, threadId, headers?, turns: [{text, runId?, path?, hear?, leave?}]}.
// `hear` prints the stream's id when that many events have come; `leave` closes the connection then,
// once.

import { HttpAgent } from "@ag-ui/client";

const FINAL = new Set([400, 401, 403, 404, 413, 422, 429]);
// That of the server's, and that of `abortRun`.
const AGAIN = new Set(["unfinished", "abort"]);
const AT_ONCE = 8;
const leaked = [];
const caught = new Set();
const warnings = [];

// Where a connection breaks, @ag-ui/client 1.0.0 rejects `runAgent`, as it should, and leaks a
// second promise that rejects with the same error. This listener is for that one: any other
// rejection that nobody handles fails the script.
process.on("unhandledRejection", (error) => leaked.push(error));
console.warn = (...words) => warnings.push(words.join(" "));
console.error = () => {};

const print = (value) => console.log(JSON.stringify(value));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function take(agent, page, turn) {
  if (turn.text !== undefined) {
    agent.addMessage({ id: crypto.randomUUID(), role: "user", content: turn.text });
  }
  if (turn.path !== undefined) agent.url = page.url + "/ag-ui" + turn.path;
  const runId = turn.runId ?? crypto.randomUUID();
  const told = { threadId: agent.threadId, runId, posts: 0, interruptions: [], customs: [] };
  let heard = 0;
  while (!told.end && !told.refused) {
    told.posts += 1;
    try {
      await agent.runAgent(
        { runId },
        {
          onEvent() {
            heard += 1;
            if (heard === turn.hear) print({ ...told, heard });
            if (heard === turn.leave) agent.abortRun();
          },
          onRunStartedEvent: ({ event }) => {
            told.streamId = event.metadata.stream_id;
          },
          onMessagesSnapshotEvent: () => {
            told.customs = [];
          },
          onCustomEvent: ({ event }) => {
            told.customs.push([event.name, event.value]);
          },
          onRunFinishedEvent: ({ event }) => {
            told.end = event;
          },
          onRunErrorEvent: ({ event }) => {
            if (AGAIN.has(event.code)) told.interruptions.push(event.message);
            else told.end = event;
          },
        },
      );
    } catch (error) {
      caught.add(error);
      if (FINAL.has(error.status)) told.refused = { status: error.status, payload: error.payload };
      else {
        told.interruptions.push(String(error.message));
        await pause(50);
      }
    }
  }
  print({ ...told, messages: agent.messages, state: agent.state, page: page.number, warnings });
}

async function show(page, number) {
  const { url, threadId, headers } = page;
  const agent = new HttpAgent({ url: url + "/ag-ui", threadId, headers });
  for (const turn of page.turns) await take(agent, { ...page, number }, turn);
}

const pages = JSON.parse(process.argv[2]);
const places = pages.entries();
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (const [number, page] of places) await show(page, number);
  }),
);
await pause(0);
const strange = leaked.filter((error) => !caught.has(error));
if (strange.length) throw strange[0];
