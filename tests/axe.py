"""axe-core in a page of Chromium, for tests that carry the `chromium` and the `axe` marker."""

from functools import cache
from pathlib import Path
from typing import Any

from playwright.async_api import Page

SCRIPT = Path(__file__).parents[1] / ".javascript/axe-core/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# The debugging protocol evaluates the script, so the page's policy neither stops nor changes it.
RUN = """async rules => {
  // Otherwise axe-core judges no colour in an element that has a decoration such as a gradient.
  const id = "color-contrast";
  const options = { ...axe._audit.checks[id].options, ignorePseudo: true };
  axe.configure({ checks: [{ id, options }] });
  const { violations } = await axe.run({ runOnly: rules, resultTypes: ["violations"] });
  return violations;
}"""


@cache
def _script() -> str:
    # Its last statement has a value that cannot leave the page.
    return f"{SCRIPT.read_text()};0"


async def findings(page: Page) -> list[str]:
    """The findings in the page as it is now: a rule, an element, and a way to repair it."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_script())
    violations: list[dict[str, Any]] = await page.evaluate(RUN, RULES)
    return [
        f"{each['id']}: {node['html']}: {node['failureSummary']}"
        for each in violations
        for node in each["nodes"]
    ]


async def findings_in_both_schemes(page: Page) -> list[str]:
    """The findings in light and in dark colours."""
    found = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        found += [f"{scheme}: {finding}" for finding in await findings(page)]
    return found
