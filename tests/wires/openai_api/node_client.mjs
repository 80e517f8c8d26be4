// OpenAI's client in Node, as it comes: asks, and prints what it has in the end.
// Arguments: the address, the way to ask, and the members of the request as JSON.
import { readFile } from "node:fs/promises";
import OpenAI from "openai";

const [address, way, json] = process.argv.slice(2);
const { key, ...members } = JSON.parse(json);
const openai = new OpenAI({ baseURL: `${address}/v1`, apiKey: "unused" });
const print = (value) => console.log(JSON.stringify(value));
const ends = ["response.completed", "response.incomplete", "response.failed"];
const isOver = (error) => error instanceof OpenAI.APIError && error.code !== "interrupted";

// The loop of docs/clients.md, and notes for the test.
async function respond() {
  let response, id, last;
  const numbers = [];
  const texts = {};
  const errors = [];
  while (!response) {
    try {
      const stream = id
        ? await openai.responses.retrieve(id, { stream: true, starting_after: last })
        : await openai.responses.create({ ...members, stream: true });
      for await (const event of stream) {
        last = event.sequence_number;
        numbers.push(last);
        if (event.type === "response.created") {
          id = event.response.id;
          print({ id });
        }
        if (event.type === "response.output_text.delta")
          texts[event.item_id] = (texts[event.item_id] ?? "") + event.delta;
        if (event.type === "response.output_item.done" && event.item.type === "message")
          texts[event.item.id] = event.item.content.map((part) => part.text).join("");
        if (ends.includes(event.type)) response = event.response;
      }
    } catch (error) {
      if (isOver(error) && !(error instanceof OpenAI.APIConnectionError)) throw error;
      errors.push(error.code ?? error.name);
    }
  }
  print({ numbers, text: Object.values(texts).join(""), response, errors });
}

async function complete() {
  for (let tries = 1; ; tries++) {
    try {
      let id, finished;
      let text = "";
      const headers = key ? { "Idempotency-Key": key } : {};
      const stream = await openai.chat.completions.create(
        { ...members, stream: true },
        { headers },
      );
      for await (const chunk of stream) {
        id = chunk.id;
        text += chunk.choices[0]?.delta.content ?? "";
        finished = chunk.choices[0]?.finish_reason ?? finished;
      }
      if (finished) return print({ id, text, tries, finished });
    } catch (error) {
      if (error instanceof OpenAI.APIError && !(error instanceof OpenAI.APIConnectionError))
        if (!["interrupted", "started_over"].includes(error.code)) throw error;
    }
  }
}

async function helpers() {
  const { input, ...others } = members;
  const responses = openai.responses.stream({ ...others, input });
  for await (const _ of responses);
  print(await responses.finalResponse());
  const messages = [{ role: "user", content: input }];
  const chat = openai.chat.completions.stream({ ...others, messages });
  for await (const _ of chat);
  print(await chat.finalChatCompletion());
}

async function raised() {
  try {
    print(await openai.responses.create(members));
  } catch (error) {
    const { status, code, param, type, requestID } = error;
    print({ name: error.constructor.name, status, code, param, type, requestID });
  }
}

async function create() {
  print(await openai.responses.create(members));
}

// Accumulates events that were rendered elsewhere, as the helper does; prints the final response.
async function accumulate() {
  const { ResponseStream } = await import("openai/lib/responses/ResponseStream");
  for (const events of JSON.parse(await readFile(members.kept, "utf8"))) {
    const lines = events.map((event) => JSON.stringify(event) + "\n");
    const body = new ReadableStream({
      start(controller) {
        const encoder = new TextEncoder();
        for (const line of lines) controller.enqueue(encoder.encode(line));
        controller.close();
      },
    });
    print(await ResponseStream.fromReadableStream(body).finalResponse());
  }
}

await { respond, complete, helpers, raised, create, accumulate }[way]();
