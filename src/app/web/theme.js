// @ts-check
/**
 * The theme: light, dark, or as the system has it. The style sheet hides the page for a moment until
 * this script has set the theme, so that the page does not appear in the other one first.
 */
import { ui } from "./elements.js";
import { keep, recall, watch } from "./storage.js";

const NAME = "theme";
const THEMES = ["system", "light", "dark"];

/** @param {string | null} theme */
function show(theme) {
  const shown = THEMES.find((each) => each === theme) ?? "system";
  document.documentElement.dataset.theme = shown;
  for (const input of ui.theme.querySelectorAll("input")) input.checked = input.value === shown;
}

/** Shows the theme that this browser keeps, and any that is chosen. */
export function useTheme() {
  show(recall(NAME));
  watch((name, value) => name === NAME && show(value));
  ui.theme.addEventListener("change", (/** @type {any} */ { target }) => {
    show(target.value);
    keep(NAME, target.value === "system" ? null : target.value);
  });
}
