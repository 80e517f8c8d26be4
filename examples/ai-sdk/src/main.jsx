import { createRoot } from "react-dom/client";
import { Chat } from "./chat.jsx";

// The chat's id is in the address, so that a reload finds the chat. Where the backend is open to
// everybody, who knows the id can read the chat.
const id = location.hash.slice(1) || crypto.randomUUID();
history.replaceState(null, "", `#${id}`);
addEventListener("hashchange", () => location.reload());

createRoot(document.getElementById("root")).render(<Chat id={id} />);
