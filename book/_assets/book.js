// Small repairs of the theme, on every page.
document.addEventListener("DOMContentLoaded", () => {
  const all = selector => document.querySelectorAll(selector);
  // A name that differs from the words on the thing cannot be spoken to a computer: the
  // search field and a folded cell are called what stands on them.
  all(".search-button-field, summary[aria-label]").forEach(each => {
    if (each.textContent.trim()) each.removeAttribute("aria-label");
  });
  // The arrow beside a chapter unfolds the list of its pages; it has no words of its own.
  all(".has-children > details > summary").forEach(each => {
    const chapter = each.closest("li").querySelector("a").textContent.trim();
    each.setAttribute("aria-label", `Pages of ${chapter}`);
  });
  // A keyboard hint and the colour switch's icons are decoration.
  all(".search-button__kbd-shortcut, .theme-switch-button i").forEach(hint => {
    hint.setAttribute("aria-hidden", "true");
    hint.removeAttribute("title");
  });
});
