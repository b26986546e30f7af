// @ts-check
// The page's part of a terminal; nb_lib/views/console.py is the other one. It does not know where Python
// runs: it is given one function that asks. A classic script, as diagram.js is, which it uses.
(() => {
  "use strict";

  /**
   * @typedef {{entries: string[], said: string, figure: string, place: string, places: [string, string][], undo: boolean,
   *   lines?: string[], dump?: string, words?: [string, string][]}} Answer
   * @typedef {(message: Record<string, any>) => Promise<Answer>} Ask
   */

  const KEPT = 400; // entries of the log
  const SLOW = 100; // ms without an answer until the page says that it is working
  let mounted = 0;

  /** Make an element. @param {string} name @param {Record<string, any>} [attrs] @param {...any} inside @returns {any} */
  function make(name, attrs = {}, ...inside) {
    const el = document.createElement(name);
    for (const [key, value] of Object.entries(attrs)) if (value != null) el.setAttribute(key, value);
    el.append(...inside);
    return el;
  }
  const button = (label, does, title) => {
    const el = make("button", { type: "button", title: title || null }, label);
    el.addEventListener("click", does);
    return el;
  };

  /** Put a terminal into `el`, which may hold its static form. @param {HTMLElement} el @param {Ask} ask */
  function mount(el, ask) {
    const id = `nf-terminal-${(mounted += 1)}`;
    const log = make("div", { class: "nf-session", role: "log", "aria-live": "polite", "aria-label": "Terminal", tabindex: "0" });
    const said = make("p", { class: "nf-term-said", role: "status" });
    const line = make("input", { type: "text", class: "nf-input", role: "combobox", "aria-label": "Command", "aria-autocomplete": "list",
      "aria-expanded": "false", "aria-controls": `${id}-words`, "aria-describedby": `${id}-keys`, autocomplete: "off", autocapitalize: "off", spellcheck: "false", enterkeyhint: "go" });
    const words = make("ul", { class: "nf-words", role: "listbox", id: `${id}-words`, "aria-label": "Completions" });
    const keys = make("p", { class: "nf-keys", id: `${id}-keys` }, "Enter runs · Tab completes · ↑ ↓ history · Esc, then Tab leaves");
    const form = make("form", { class: "nf-line" }, make("span", { class: "nf-prompt", "aria-hidden": "true" }, "$"), line, make("button", { type: "submit" }, "Run"));
    const undo = button("Undo", () => send({ do: "undo" }), "Take the last change back");
    const place = make("select", { "aria-label": "Table shown" });
    const bar = make("div", { class: "nf-controls", role: "group", "aria-label": "Terminal" }, undo,
      button("Import…", () => importing(pasted.hidden)), button("Export", () => send({ do: "dump" }), "Download what iptables-save -c prints"),
      button("Clear", () => { log.replaceChildren(); line.focus(); }, "Clear the log (Ctrl+L)"), make("span", { class: "nf-gap" }), make("label", {}, "table ", place));
    const dump = make("textarea", { rows: "6", "aria-label": "A dump of iptables-save", placeholder: "*filter\n:INPUT ACCEPT [0:0]\n…\nCOMMIT", spellcheck: "false" });
    const pasted = make("div", { class: "nf-import" }, dump, button("Restore", () => { importing(false); send({ do: "load", text: dump.value }); }), button("Cancel", () => importing(false)));
    const picture = make("div", { class: "nf-picture" });
    words.hidden = pasted.hidden = true;
    el.classList.add("nf-terminal");
    el.replaceChildren(make("div", { class: "nf-desk" }, make("div", { class: "nf-term" }, log, form, words, keys, said, bar, pasted), picture));

    /** @type {string[]} */
    let typed = [];
    let at = 0, draft = "", leaving = false, closed = false;
    /** @type {any} */
    let figure = null;
    let queue = Promise.resolve();

    // ── Asking and showing ───────────────────────────────────────────────────────────

    /** Ask, one message after the other, and show the answer. @param {Record<string, any>} message */
    function send(message) {
      queue = queue.then(async () => {
        const slow = setTimeout(() => { said.textContent = "Working…"; el.setAttribute("aria-busy", "true"); }, SLOW);
        try {
          const answer = await ask(message);
          if (!closed) show(answer, message.do);
        } catch (error) {
          said.textContent = `Python did not answer: ${error}`;
        } finally {
          clearTimeout(slow);
          el.removeAttribute("aria-busy");
        }
      });
      return queue;
    }

    /** @param {Answer} answer @param {string} what */
    function show(answer, what) {
      for (const entry of answer.entries) log.insertAdjacentHTML("beforeend", entry);
      while (log.children.length > KEPT) log.firstChild.remove();
      if (answer.entries.length) log.scrollTop = log.scrollHeight;
      said.textContent = answer.said;
      undo.disabled = !answer.undo;
      place.replaceChildren(...answer.places.map(([value, name]) => new Option(name, value, false, value === answer.place)));
      if (answer.lines) { typed = answer.lines; at = typed.length; }
      draw(answer.figure);
      if (what === "dump") download(answer.dump || "");
    }

    function draw(html) {
      if (figure) figure.close();
      picture.innerHTML = html;
      const fig = picture.querySelector("figure.nf-figure");
      figure = fig && globalThis["nfDiagram"].upgrade(fig);
      const lit = picture.querySelector(".nf-row.nf-changed") || picture.querySelector(".nf-chain.nf-changed"), frame = picture.querySelector(".nf-frame");
      if (!lit || !frame) return;
      const box = lit.getBoundingClientRect(), around = frame.getBoundingClientRect();
      if (box.bottom > around.bottom || box.top < around.top) frame.scrollTop += box.top - around.top - frame.clientHeight / 3;
      if (box.right > around.right || box.left < around.left) frame.scrollLeft += box.left - around.left - 8;
    }

    function download(text) {
      const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
      const link = make("a", { href: url, download: "iptables-save.txt" });
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 1000);
      said.textContent = `Downloaded: ${text.split("\n").length - 1} lines.`;
    }

    function importing(open) {
      pasted.hidden = !open;
      (open ? dump : line).focus();
    }

    /** @param {string} text */
    function run(text) {
      offer([]);
      if (text.trim()) typed.push(...text.split("\n").filter(one => one.trim()));
      at = typed.length;
      line.value = draft = "";
      if (text.trim()) send({ do: "type", text });
    }

    // ── History ──────────────────────────────────────────────────────────────────────

    function remember(by) {
      if (at === typed.length) draft = line.value;
      at = Math.max(0, Math.min(typed.length, at + by));
      line.value = at === typed.length ? draft : typed[at];
      line.setSelectionRange(line.value.length, line.value.length);
    }

    // ── Completion ───────────────────────────────────────────────────────────────────

    const options = () => /** @type {HTMLElement[]} */ ([...words.children]);
    const active = () => options().findIndex(one => one.getAttribute("aria-selected") === "true");

    /** Show what may be chosen; nothing closes the list. @param {[string, string][]} found */
    function offer(found) {
      words.replaceChildren(...found.map(([word, about], n) => make("li", { role: "option", id: `${id}-word-${n}`, "aria-selected": "false", "data-word": word },
        make("b", {}, word), about ? make("span", {}, ` ${about}`) : "")));
      words.hidden = !found.length;
      line.setAttribute("aria-expanded", String(Boolean(found.length)));
      line.removeAttribute("aria-activedescendant");
    }
    function select(n) {
      const all = options(), next = (n + all.length) % all.length;
      all.forEach((one, k) => one.setAttribute("aria-selected", String(k === next)));
      line.setAttribute("aria-activedescendant", all[next].id);
      all[next].scrollIntoView({ block: "nearest" });
    }
    /** Put a word in the place of the one before the cursor. */
    function put(word, more = " ") {
      const cursor = line.selectionStart ?? line.value.length;
      const begin = cursor - (/\S*$/.exec(line.value.slice(0, cursor)) || [""])[0].length;
      const rest = line.value.slice(cursor);
      line.value = line.value.slice(0, begin) + word + (more && rest.startsWith(" ") ? "" : more) + rest;
      const after = begin + word.length + more.length;
      line.setSelectionRange(after, after);
    }
    function choose(n) {
      put(options()[n].dataset.word);
      offer([]);
      line.focus();
    }
    async function complete() {
      const text = line.value, cursor = line.selectionStart ?? text.length;
      const { words: found = [] } = await ask({ do: "complete", text, cursor });
      if (closed || line.value !== text || document.activeElement !== line) return;
      leaving = !found.length;
      said.textContent = found.length > 1 ? `${found.length} completions` : found.length ? `Completed: ${found[0][0]}` : "Nothing completes this. Tab leaves the field.";
      if (found.length === 1) { put(found[0][0]); offer([]); return; }
      if (!found.length) return;
      const common = found.map(([word]) => word).reduce((a, b) => { let n = 0; while (n < a.length && a[n] === b[n]) n += 1; return a.slice(0, n); });
      put(common, "");
      offer(found);
    }

    // ── Keys ─────────────────────────────────────────────────────────────────────────

    /** @param {KeyboardEvent} event */
    function key(event) {
      const open = !words.hidden, down = event.key === "ArrowDown", up = event.key === "ArrowUp";
      if (event.key === "Tab" && !event.shiftKey && line.value.trim() && !leaving) {
        event.preventDefault();
        if (open) select(active() + 1);
        else complete();
      } else if (open && (down || up)) {
        event.preventDefault();
        select(active() + (down ? 1 : active() < 0 ? 0 : -1));
      } else if (open && event.key === "Enter" && active() >= 0) {
        event.preventDefault();
        choose(active());
      } else if (event.key === "Escape") {
        leaving = true;
        offer([]);
      } else if (up || down) {
        event.preventDefault();
        remember(up ? -1 : 1);
      } else if (event.key === "l" && event.ctrlKey) {
        event.preventDefault();
        log.replaceChildren();
      }
    }

    line.addEventListener("keydown", key);
    line.addEventListener("input", () => { leaving = false; offer([]); });
    line.addEventListener("blur", () => setTimeout(() => offer([])));
    line.addEventListener("paste", event => {
      const text = event.clipboardData ? event.clipboardData.getData("text") : "";
      if (!text.trim().includes("\n")) return;
      event.preventDefault();
      run(line.value + text);
    });
    words.addEventListener("pointerdown", event => {
      const chosen = /** @type {Element} */ (event.target).closest("li");
      event.preventDefault(); // the field keeps the focus
      if (chosen) choose(options().indexOf(chosen));
    });
    form.addEventListener("submit", event => { event.preventDefault(); run(line.value); });
    place.addEventListener("change", () => send({ do: "show", place: place.value }));
    for (const type of ["keydown", "keyup", "keypress"]) el.addEventListener(type, event => event.stopPropagation()); // a notebook has keys of its own
    send({ do: "start" });

    return () => { closed = true; if (figure) figure.close(); };
  }

  globalThis["nfTerminal"] = { mount };
})();
