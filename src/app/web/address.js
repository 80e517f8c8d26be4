// @ts-check
/** The addresses of conversations: each names the last stream, and a link has its token behind "#". */

/** @param {string} id of the last stream; "" for a new conversation */
export const addressOf = (id) => (id ? `?stream=${encodeURIComponent(id)}` : location.pathname);

/** The last stream of the conversation that the address names; "" if it names none. */
export const addressed = () => new URLSearchParams(location.search).get("stream") ?? "";

/**
 * The token of a link, which opens one stream, or that of the person.
 * @param {string} id @param {import("./access.js").AccessToken} accessToken
 * @returns {{token: string} | {bearer: string | null}}
 */
export function credentialsOf(id, accessToken) {
  const token = decoded(secretOf(id).slice(1));
  return token ? { token } : { bearer: accessToken.value };
}

/** The fragment of the address if the address is that of this stream. @param {string} id */
export const secretOf = (id) => (id && addressed() === id ? location.hash : "");

/** A fragment that is not encoded is no token, and the server refuses it. @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
