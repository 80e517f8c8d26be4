import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The function URL: `make run` prints its address.
const target = process.env.BACKEND ?? "http://127.0.0.1:3000";

// Vite's proxy leaves an answer open for ever whose connection to the backend breaks.
function breakWithBackend(proxy) {
  proxy.on("proxyRes", (answer, _request, response) => {
    answer.on("close", () => answer.complete || response.destroy());
  });
}

const server = { proxy: { "/ai-sdk": { target, configure: breakWithBackend } } };

export default defineConfig({ plugins: [react()], server, preview: server });
