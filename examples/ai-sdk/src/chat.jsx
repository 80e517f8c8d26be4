import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";
import { useState } from "react";
import { Message } from "./message.jsx";
import { useResuming } from "./resuming.js";
import { stored, useStoring } from "./storage.js";

const API = "/ai-sdk/chat";
const transport = new DefaultChatTransport({ api: API });

export function Chat({ id }) {
  const [messages] = useState(() => stored(id));
  const chat = useChat({ id, messages, transport, resume: messages.length > 0 });
  useStoring({ id, ...chat });
  useResuming(chat);

  const isBusy = chat.status === "submitted" || chat.status === "streaming";
  const isUnanswered = chat.status === "ready" && chat.messages.at(-1)?.role === "user";
  return (
    <main data-status={chat.status}>
      <h1>Chat</h1>
      {chat.messages.map((message) => (
        <Message key={message.id} message={message} />
      ))}
      {chat.error && <p role="alert">{chat.error.message}</p>}
      {isUnanswered && <button onClick={() => chat.regenerate()}>Send again</button>}
      <Composer isBusy={isBusy} send={chat.sendMessage} stop={() => stop(id, chat.messages)} />
    </main>
  );
}

function Composer({ isBusy, send, stop }) {
  const [text, setText] = useState("");

  function submit(event) {
    event.preventDefault();
    if (isBusy || !text.trim()) return;
    send({ text });
    setText("");
  }

  return (
    <form onSubmit={submit}>
      <input
        aria-label="Message"
        autoFocus
        placeholder="Ask something"
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      {isBusy ? (
        <button type="button" onClick={stop}>
          Stop
        </button>
      ) : (
        <button>Send</button>
      )}
    </form>
  );
}

/**
 * Ends the answer for all who read it. `chat.stop()` would only leave; like this the page is sent
 * the end, and shows the text of the log.
 */
function stop(id, messages) {
  const last = messages.at(-1);
  const activeStreamId = last?.role === "assistant" ? last.metadata?.streamId : undefined;
  return fetch(`${API}/${encodeURIComponent(id)}/stop`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ activeStreamId }),
  });
}
