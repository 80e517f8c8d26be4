// Reads the answer to a POST with @microsoft/fetch-event-source, and prints its events as JSON.
// Clean ends that are no end are answered as its documentation shows: onclose throws.
import { fetchEventSource } from "@microsoft/fetch-event-source";

globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };

const [url, key] = process.argv.slice(2);
const ENDS = ["done", "error", "cancelled"];
let ended = false;

await fetchEventSource(`${url}/streams?stream=true`, {
  method: "POST",
  headers: { "Content-Type": "application/json", "Idempotency-Key": key },
  body: JSON.stringify({ prompt: "hello" }),
  onmessage({ event, data, id }) {
    console.log(JSON.stringify({ event, data: JSON.parse(data), id }));
    ended ||= ENDS.includes(event);
  },
  onclose() {
    if (!ended) throw new Error("to be continued");
  },
});
