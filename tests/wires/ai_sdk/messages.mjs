// The messages that `Chat` makes of answers. The argument is a file with a list of answers, each a
// list of frames; the option behind it is "default" or "workflow", whose connection ends behind
// every third frame.
import { Chat } from "@ai-sdk/react";
import { WorkflowChatTransport } from "@ai-sdk/workflow/client";
import { DefaultChatTransport } from "ai";
import { readFileSync } from "node:fs";

const [file, transport] = process.argv.slice(2);
const MOST = 3;

function transportOf(frames) {
  const respond = (some) =>
    new Response(some.join(""), { headers: { "x-workflow-run-id": "stream" } });
  if (transport === "default") {
    return new DefaultChatTransport({ fetch: async () => respond(frames) });
  }
  return new WorkflowChatTransport({
    fetch: async (url) => {
      const start = Number(new URL(url, "http://host").searchParams.get("startIndex"));
      return respond(frames.slice(start, start + MOST));
    },
  });
}

for (const frames of JSON.parse(readFileSync(file))) {
  const chat = new Chat({ transport: transportOf(frames) });
  await chat.sendMessage({ text: "?" });
  const { lastMessage: message, messages, error } = chat;
  console.log(JSON.stringify({ message, count: messages.length, error: error?.message ?? null }));
}
