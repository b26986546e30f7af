// Small repairs of the theme, on every page.
document.addEventListener("DOMContentLoaded", () => {
  const all = selector => document.querySelectorAll(selector);
  // The search field names itself by the word on it; its keyboard hint is no part of that.
  all(".search-button-field").forEach(field => field.removeAttribute("aria-label"));
  // The colour switch says what it does; its icons are decoration.
  all(".search-button__kbd-shortcut, .theme-switch-button i").forEach(hint => {
    hint.setAttribute("aria-hidden", "true");
    hint.removeAttribute("title");
  });
  // A folded cell is named by the words on it ("Show code cell content").
  all("details.hide > summary").forEach(summary => summary.removeAttribute("aria-label"));
});
