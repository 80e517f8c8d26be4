import { useEffect } from "react";

const PAUSE_MS = 500;

/**
 * Asks again for an answer that has not come whole, until it has. The server sends it from its
 * beginning, and the page shows it once.
 */
export function useResuming({ messages, status, error, resumeStream }) {
  const last = messages.at(-1);
  const isWhole = last?.role === "assistant" && last.metadata?.status;
  const isLost = error instanceof TypeError; // of the network
  const isRefused = error?.statusCode < 500; // for good
  const isIdle = status === "ready" || status === "error";
  const isCut = isIdle && last && (isLost || !(isWhole || isRefused));

  useEffect(() => {
    if (!isCut) return;
    const timer = setTimeout(resumeStream, PAUSE_MS);
    return () => clearTimeout(timer);
  }, [isCut, status, error, messages, resumeStream]);
}
