"""How well each text of a page stands out, by WCAG 2.2 (https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio)."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

LEAST, LEAST_OF_LARGE = 4.5, 3.0
"""For AA; large is 24 px, or 18.66 px in bold."""

MEASURE = """
() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const [r, g, b, alpha = 1] = channels(getComputedStyle(node).backgroundColor);
      if (alpha === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = walk.nextNode());) {
    const node = text.parentElement, style = getComputedStyle(node);
    if (!text.data.trim() || !node.checkVisibility() || ["SCRIPT", "STYLE"].includes(node.tagName)) continue;
    const [light, dark] = [luminance(channels(style.color)), luminance(behind(node))].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 600;
    found.push({
      text: text.data.trim().slice(0, 40), ratio: (light + 0.05) / (dark + 0.05),
      large: size >= 24 || (bold && size >= 18.66),
    });
  }
  return found;
}
"""


def measured(page: Page) -> list[dict[str, Any]]:
    """Every visible text with its ratio, and whether it is large."""
    found: list[dict[str, Any]] = page.evaluate(MEASURE)
    return found


def faint(page: Page) -> list[dict[str, Any]]:
    """Those below AA."""
    return [one for one in measured(page) if one["ratio"] < (LEAST_OF_LARGE if one["large"] else LEAST)]
