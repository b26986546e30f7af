// The search page. Pagefind's index answers while one types; it is loaded in pieces, the first with this
// page. A page from the disk cannot load it, and there Sphinx's own search answers what the address asks.
(() => {
  const own = document.currentScript.dataset;
  const find = selector => document.querySelector(selector);
  const field = find(".book-search input"), status = find(".book-search-status"), found = find(".book-search-found");
  const SHOWN = 20, WAIT = 150; // results; milliseconds of rest before a word counts as typed
  const absolute = address => new URL(address, document.baseURI).href;

  const make = (tag, text, attributes = {}) =>
    Object.assign(document.createElement(tag), { textContent: text, ...attributes });

  // An excerpt is HTML of which only text and marks are taken over.
  const excerpt = html => {
    const line = make("p", "");
    for (const node of new DOMParser().parseFromString(html, "text/html").body.childNodes)
      line.append(node.nodeName === "MARK" ? make("mark", node.textContent) : node.textContent);
    return line;
  };

  const weight = part => part.weighted_locations.reduce((sum, one) => sum + one.balanced_score, 0);

  const link = (title, url) => make("a", title.replace(/#$/, ""), { href: url });

  const entry = page => {
    const item = make("li", "");
    item.append(link(page.meta.title, page.url));
    const parts = page.sub_results.filter(part => part.url !== page.url)
      .sort((one, other) => weight(other) - weight(one)).slice(0, 4);
    if (!parts.length) item.append(excerpt(page.excerpt));
    const list = make("ul", "");
    for (const part of parts) {
      const row = make("li", "");
      row.append(link(part.title, part.url), excerpt(part.excerpt));
      list.append(row);
    }
    if (parts.length) item.append(list);
    return item;
  };

  const counted = (number, pages) =>
    number === 0 ? "Nothing found. Fewer words, or a part of the word?" :
    `${number} ${number === 1 ? "page" : "pages"}${pages < number ? `, the first ${pages} are shown` : ""}`;

  const live = pagefind => {
    let asked = 0;
    const search = async () => {
      const mine = ++asked, words = field.value.trim();
      const { results } = words ? await pagefind.search(words) : { results: [] };
      const pages = await Promise.all(results.slice(0, SHOWN).map(one => one.data()));
      if (mine !== asked) return; // somebody has typed on
      status.textContent = words ? counted(results.length, pages.length) : "";
      found.replaceChildren(...pages.map(entry));
      history.replaceState(null, "", words ? `?q=${encodeURIComponent(words)}` : location.pathname);
    };
    let timer;
    field.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(search, WAIT);
    });
    field.form.addEventListener("submit", event => {
      event.preventDefault();
      search();
    });
    return search();
  };

  const sphinx = () => {
    const scripts = own.sphinx.trim().split(/\s+/);
    const next = () => scripts.length && document.body.append(
      Object.assign(document.createElement("script"), { src: scripts.shift(), onload: next }));
    next();
  };

  field.value = new URLSearchParams(location.search).get("q") ?? "";
  field.focus();
  if (!location.protocol.startsWith("http")) sphinx();
  else import(absolute(own.pagefind)).then(async pagefind => {
    const ranking = { pageLength: 0 }; // a long page is no worse: its sections are what is shown
    await pagefind.options({ baseUrl: new URL(".", location.href).pathname, ranking });
    return live(pagefind);
  }).catch(sphinx);
})();
