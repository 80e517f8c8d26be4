import { useEffect } from "react";

/** The messages that this browser has of a chat. An answer that is not whole comes again. */
export function stored(id) {
  return JSON.parse(localStorage.getItem(id) ?? "[]");
}

/** Keeps the messages of a chat whenever nothing is under way, and the question at once. */
export function useStoring({ id, messages, status }) {
  useEffect(() => {
    if (status !== "streaming") localStorage.setItem(id, JSON.stringify(messages));
  }, [id, messages, status]);
}
