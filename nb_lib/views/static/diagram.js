// @ts-check
// One diagram in three hosts: a static page, a page opened from a disk, a live notebook.
// This file is a classic script; nb_lib/widget.py appends two lines to make a module of it.
// It upgrades every `figure.nf-figure` that Python wrote: steps, keyboard, search, zoom, "why?".
(() => {
  "use strict";

  /**
   * @typedef {{p?: [number, number], x?: number, f?: Record<string, string>, o?: Record<string, string>}} StepData
   * @typedef {{title: string, steps: (StepData | null)[]}} FigureData
   * @typedef {{show: (step: number, user?: boolean) => void, stepping: () => boolean, close: () => void, steps: number}} Api
   * @typedef {{onStep?: (step: number) => void}} Options
   */

  const SVG = "http://www.w3.org/2000/svg";
  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
  const clamp = (low, value, high) => Math.max(low, Math.min(high, value));
  const ICONS = {
    first: "M3 3h2v10H3zM13 3v10L6 8z", back: "M11 3v10L4 8z", next: "M5 3v10l7-5z",
    last: "M11 3h2v10h-2zM3 3v10l7-5z", play: "M4 2.5v11L13.5 8z", pause: "M4 3h3v10H4zM9 3h3v10H9z",
    rewrite: "M2 14l1-4 7.5-7.5 3 3L6 13zM9 4l3 3", out: "M3 7h10v2H3z", in: "M7 3h2v4h4v2H9v4H7V9H3V7h4z",
    fit: "M1 3h1.6v10H1zM13.4 3H15v10h-1.6zM4 8l3-3v2.2h2V5l3 3-3 3V8.8H7V11z",
  };

  /** Make an element. @param {string} name @param {Record<string, any>} [attrs] @param {...any} inside */
  function make(name, attrs = {}, ...inside) {
    const el = document.createElement(name);
    for (const [key, value] of Object.entries(attrs)) if (value != null) el.setAttribute(key, value);
    el.append(...inside);
    return el;
  }

  function icon(name) {
    const svg = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
    svg.setAttribute("viewBox", "0 0 16 16");
    svg.setAttribute("aria-hidden", "true");
    path.setAttribute("d", ICONS[name]);
    svg.append(path);
    return svg;
  }

  function button(act, label, text) {
    const el = make("button", { type: "button", "data-act": act, "aria-label": label, title: label });
    if (ICONS[act]) el.append(icon(act));
    if (text) el.append(text);
    return el;
  }

  /** Bring a figure to life. @param {HTMLElement} fig @param {Options} [options] @returns {Api} */
  function upgrade(fig, options = {}) {
    if (fig["nfApi"]) return fig["nfApi"];
    const stop = new AbortController(), on = { signal: stop.signal };
    const data = /** @type {FigureData} */ (JSON.parse(fig.querySelector("script[type='application/json']").textContent));
    const frame = /** @type {HTMLElement} */ (fig.querySelector(".nf-frame"));
    const svg = frame.querySelector("svg");
    unique(fig);
    fig.classList.add("nf-live");
    svg.setAttribute("role", "group");
    svg.setAttribute("aria-label", data.title);

    const bar = make("div", { class: "nf-controls", role: "group", "aria-label": `Controls: ${data.title}` });
    const said = make("p", { class: "nf-now-said", "aria-live": "polite" });
    const answer = make("p", { class: "nf-answer", role: "status" });
    answer.hidden = true;
    frame.after(bar, said, answer);

    const walk = data.steps.length > 1 ? stepper(fig, svg, frame, data, { bar, said, on, options }) : null;
    const cards = svg.querySelector("g.nf-chain[data-l]") ? cardTable(svg) : null;
    if (cards && cards.many) search(bar, cards, said, on);
    zoom(frame, svg, bar, on);
    if (!walk && !cards) bar.remove();
    asking(fig, svg, answer, cards, walk, on);

    const api = {
      steps: data.steps.length,
      show: (step, user = true) => walk && walk.show(step, user),
      stepping: () => fig.classList.contains("nf-stepping"),
      close: () => { stop.abort(); if (walk) walk.pause(); [bar, said, answer].forEach(el => el.remove()); delete fig["nfApi"]; fig.classList.remove("nf-live", "nf-stepping"); },
    };
    fig["nfApi"] = api;
    if (walk) fromAddress(fig, walk, on);
    return api;
  }

  /** The same figure twice on a page: the second needs an address of its own. */
  function unique(fig) {
    if (!fig.id || document.getElementById(fig.id) === fig) return;
    const old = fig.id;
    let n = 2;
    while (document.getElementById(`${old}-${n}`)) n += 1;
    fig.id = `${old}-${n}`;
  }

  // ── Steps ──────────────────────────────────────────────────────────────────────────

  function stepper(fig, svg, frame, data, { bar, said, on, options }) {
    const count = data.steps.length, last = count - 1;
    const items = [...fig.querySelectorAll(".nf-story > li")];
    const list = /** @type {HTMLElement} */ (fig.querySelector(".nf-story"));
    const marked = [...fig.querySelectorAll("[data-s]")].map(el => ({ el, at: el.getAttribute("data-s").split(" ").map(Number) }));
    const card = packetCard(svg, data);
    const rewrites = data.steps.flatMap((step, n) => (step && step.o && Object.keys(step.o).some(name => name !== "ttl") ? [n] : [])); // a hop always costs one ttl
    let now = last, timer = 0;

    const buttons = {
      first: button("first", "First step (Home)"), back: button("back", "One step back (←)"),
      play: button("play", "Play"), next: button("next", "One step forward (→)"), last: button("last", "Last step (End)"),
      rewrite: button("rewrite", "To the next rewrite", "rewrite"),
    };
    buttons.play.classList.add("nf-play");
    const place = make("a", { class: "nf-count", title: "Address of this step" });
    bar.append(buttons.first, buttons.back, buttons.play, buttons.next, buttons.last);
    if (rewrites.length) bar.append(buttons.rewrite);
    bar.append(place);
    if (list) { list.tabIndex = 0; list.setAttribute("aria-label", `Story: ${data.title}`); }
    fig.tabIndex = 0;

    function show(step, user = true) {
      now = clamp(0, Math.round(Number(step)) || 0, last);
      fig.dataset.step = String(now);
      fig.classList.add("nf-stepping");
      for (const { el, at } of marked) {
        el.classList.toggle("nf-now", at.includes(now));
        el.classList.toggle("nf-later", Math.min(...at) > now);
      }
      items.forEach((item, n) => (n === now ? item.setAttribute("aria-current", "step") : item.removeAttribute("aria-current")));
      const sentence = items[now] && (items[now].querySelector(".nf-say") || items[now]).textContent.trim();
      said.textContent = sentence || "";
      place.textContent = `${now} / ${last}`;
      place.setAttribute("href", `#${fig.id}-step-${now}`);
      if (card) card.show(now);
      follow();
      if (user && options.onStep) options.onStep(now);
    }

    /** Keep what happens in view, inside the figure only: the page stays where it is. */
    function follow() {
      const item = items[now];
      if (list && item && list.scrollHeight > list.clientHeight + 4)
        list.scrollTop = clamp(0, item.offsetTop - list.offsetTop - list.clientHeight / 3, list.scrollHeight);
      const target = marked.find(m => m.at.includes(now) && m.el !== item && m.el instanceof SVGElement && m.el.matches(".nf-cell, .nf-row, .nf-node")) ;
      const el = target ? target.el : svg.querySelector(".nf-dot");
      if (!el) return;
      const box = el.getBoundingClientRect(), view = frame.getBoundingClientRect();
      const aside = box.left < view.left + 8 ? box.left - view.left - 24 : box.right > view.right - 8 ? box.right - view.right + 24 : 0;
      const down = box.top < view.top + 8 ? box.top - view.top - 24 : box.bottom > view.bottom - 8 ? box.bottom - view.bottom + 24 : 0;
      if (aside || down) frame.scrollBy({ left: aside, top: down, behavior: calm() ? "auto" : "smooth" });
    }

    /** A way that begins beyond the frame's edge, as OUTPUT's on a phone: show its beginning. */
    function begin() {
      const start = data.steps[0] && data.steps[0].p;
      const x = start ? start[0] * svg.clientWidth / svg.viewBox.baseVal.width : 0;
      if (x > frame.clientWidth - 48) frame.scrollLeft = x - frame.clientWidth / 4;
    }

    function pause() {
      clearInterval(timer);
      timer = 0;
      buttons.play.replaceChildren(icon("play"));
      buttons.play.setAttribute("aria-label", "Play");
      buttons.play.title = "Play";
      said.setAttribute("aria-live", "polite");
    }

    function play(unasked = false) {
      if (timer) return pause();
      if (unasked) said.setAttribute("aria-live", "off"); // nobody asked to hear it
      show(now === last ? 0 : now + 1);
      buttons.play.replaceChildren(icon("pause"));
      buttons.play.setAttribute("aria-label", "Pause");
      buttons.play.title = "Pause";
      timer = setInterval(() => (now === last || !fig.isConnected ? pause() : show(now + 1)), 1100);
    }

    const acts = {
      first: () => show(0), back: () => show(now - 1), last: () => show(last),
      next: () => show(now === last ? 0 : now + 1),
      rewrite: () => show(rewrites.find(n => n > now) ?? rewrites[0]),
    };
    const act = name => { if (name === "play") return play(); if (acts[name]) { pause(); acts[name](); } };
    bar.addEventListener("click", event => {
      const pressed = /** @type {Element} */ (event.target).closest("[data-act]");
      if (pressed) act(pressed.getAttribute("data-act"));
    }, on);
    const keys = { ArrowRight: "next", ArrowLeft: "back", Home: "first", End: "last" };
    fig.addEventListener("keydown", event => {
      const target = /** @type {HTMLElement} */ (event.target);
      if (event.altKey || event.ctrlKey || event.metaKey || target.matches("input, textarea, select, [contenteditable]")) return;
      if (!keys[event.key]) return;
      event.preventDefault();
      act(keys[event.key]);
    }, on);
    items.forEach((item, n) => item.addEventListener("click", event => {
      if (/** @type {Element} */ (event.target).closest("details, a") || String(getSelection())) return;
      pause();
      show(n);
    }, on));
    let before = -1; // on paper stands how it ended
    addEventListener("beforeprint", () => { before = fig.classList.contains("nf-stepping") ? now : -1; if (before >= 0) show(last, false); }, on);
    addEventListener("afterprint", () => { if (before >= 0) show(before, false); }, on);
    fig.dataset.step = String(last);
    place.textContent = `${count} steps`;
    place.setAttribute("href", `#${fig.id}-step-0`);
    begin();
    return { show, pause, play, last, get now() { return now; } };
  }

  /** The card below the map: it moves, and shows old → new where a field changes. */
  function packetCard(svg, data) {
    const card = /** @type {SVGGElement} */ (svg.querySelector(".nf-moving"));
    if (!card || !data.steps[0]) return null;
    const dot = /** @type {SVGElement} */ (svg.querySelector(".nf-dot"));
    const rect = card.querySelector("rect"), when = card.querySelector(".nf-when");
    const width = Number(rect.getAttribute("width")), end = when && when.textContent;
    const sheet = svg.viewBox.baseVal.width;
    const texts = [...card.querySelectorAll("[data-f]")];
    const origin = /translate\(([-\d.]+) ([-\d.]+)\)/.exec(card.getAttribute("transform") || "");
    const shown = [];
    data.steps.forEach((step, n) => shown.push({ ...(shown[n - 1] || {}), ...((step && step.f) || {}) }));
    const [dx, dy] = ["cx", "cy"].map(name => Number(dot.getAttribute(name)));
    function show(n) {
      const step = data.steps[n] || {}, old = step.o || {};
      let longest = 0;
      for (const text of texts) {
        const name = text.getAttribute("data-f");
        const value = shown[n][name] ?? "";
        text.textContent = name in old ? `${old[name]} → ${value}` : value;
        text.setAttribute("font-weight", name in old || name === "" || value !== shown[0][name] ? "700" : "400");
        const pen = card.querySelector(`[data-pen="${name}"]`);
        if (pen) pen.setAttribute("display", name in old || value !== shown[0][name] ? "inline" : "none");
        if (name) longest = Math.max(longest, text.textContent.length);
      }
      const wide = Math.max(width, 64 + longest * 6.03);
      rect.setAttribute("width", String(wide));
      const x = clamp(4, step.x ?? 0, sheet - wide - 4);
      card.style.transform = `translate(${x}px, ${origin ? origin[2] : 0}px)`;
      if (step.p) dot.style.transform = `translate(${step.p[0] - dx}px, ${step.p[1] - dy}px)`;
      if (when) when.textContent = n === data.steps.length - 1 ? end : "  now";
    }
    return { show };
  }

  /** Honour #nf-HASH-step-7, now and when the address changes. */
  function fromAddress(fig, walk, on) {
    const look = () => {
      const found = /^#(.+)-step-(\d+)$/.exec(decodeURIComponent(location.hash));
      if (!found || found[1] !== fig.id) return;
      walk.show(Number(found[2]), false);
      fig.scrollIntoView({ block: "start", behavior: "auto" });
    };
    addEventListener("hashchange", look, on);
    look();
    if ("autoplayOnce" in fig.dataset && !calm() && !location.hash) {
      delete fig.dataset.autoplayOnce;
      setTimeout(() => fig.isConnected && !fig.classList.contains("nf-stepping") && walk.play(true), 900);
    }
  }

  // ── Cards: close, search, lay out again ────────────────────────────────────────────

  const HEAD = 22, GAP = 12, MARGIN = 12, BOW = 34; // nb_lib/views/layout.py, cards.py

  function cardTable(svg) {
    const at = el => /translate\(([-\d.]+) ([-\d.]+)\)/.exec(el.getAttribute("transform")).slice(1).map(Number);
    const cards = [...svg.querySelectorAll("g.nf-chain")].map((el, index) => {
      const [x, y] = at(el), body = el.querySelector(".nf-body");
      const rows = [...el.querySelectorAll(".nf-row")].map(row => ({ el: row, h: Number(row.getAttribute("data-h")), text: row.querySelector("title").textContent.toLowerCase(), hidden: false }));
      return { el, index, x, y, w: Number(body.getAttribute("width")), body, band: el.querySelector(".nf-band"), inside: el.querySelector(".nf-rows"), head: el.querySelector(".nf-head"), rows, aside: el.getAttribute("data-l") === "-1", closed: el.classList.contains("nf-closed"), hidden: false, name: el.querySelector(".nf-head > title").textContent.toLowerCase() };
    });
    const edges = [...svg.querySelectorAll("path[data-e]")].map(el => {
      const [from, to] = el.getAttribute("data-e").split(" ").map(end => end.split(".").map(Number));
      return { el, label: el.parentElement.matches(".nf-edges") ? null : el.nextElementSibling, width: el.getAttribute("data-w"), from, to };
    });
    const left = svg.querySelector(":scope > text");

    const middle = (card, n) => {
      if (card.closed || n < 0) return card.y + HEAD / 2;
      let y = card.y + HEAD;
      for (let i = 0; i < n; i += 1) if (!card.rows[i].hidden) y += card.rows[i].h;
      return y + card.rows[n].h / 2;
    };
    const tall = card => (card.closed || !card.rows.length ? HEAD : HEAD + 3 + card.rows.reduce((sum, row) => sum + (row.hidden ? 0 : row.h), 0));

    function layout() {
      const columns = [...new Set(cards.map(card => card.x))].sort((a, b) => a - b);
      const placed = new Set();
      let bottom = 0;
      for (const x of columns) {
        const here = cards.filter(card => card.x === x && !card.hidden);
        const wanted = new Map(here.filter(card => !card.aside).map(card => {
          const levels = edges.filter(e => e.to[0] === card.index && placed.has(e.from[0]) && !cards[e.from[0]].rows[e.from[1]].hidden).map(e => middle(cards[e.from[0]], e.from[1]));
          return [card, Math.min(...(levels.length ? levels : [0])) - HEAD / 2];
        }));
        let down = MARGIN;
        for (const card of [...wanted.keys()].sort((a, b) => wanted.get(a) - wanted.get(b))) {
          card.y = Math.max(down, wanted.get(card));
          placed.add(card.index);
          down = card.y + tall(card) + GAP;
        }
        for (const card of here.filter(c => c.aside)) { card.y = down; down += tall(card) + GAP; }
        bottom = Math.max(bottom, down - GAP);
      }
      cards.forEach(drawCard);
      edges.forEach(drawEdge);
      const box = svg.viewBox.baseVal, height = Math.max(bottom + MARGIN, 60) + (left ? 16 : 0);
      svg.setAttribute("viewBox", `0 0 ${box.width} ${height}`);
      svg.setAttribute("height", String(height));
      if (left) left.setAttribute("y", String(height - 8));
    }

    function drawCard(card) {
      card.el.style.display = card.hidden ? "none" : "";
      card.el.setAttribute("transform", `translate(${card.x} ${card.y})`);
      card.el.classList.toggle("nf-closed", card.closed);
      const h = tall(card), w = card.w;
      card.body.setAttribute("height", String(h));
      card.band.setAttribute("d", h === HEAD ? `M6 0H${w - 6}a6 6 0 0 1 6 6V${HEAD - 6}a6 6 0 0 1-6 6H6a6 6 0 0 1-6-6V6a6 6 0 0 1 6-6z` : `M0 ${HEAD}V6a6 6 0 0 1 6-6H${w - 6}a6 6 0 0 1 6 6V${HEAD}z`);
      if (!card.inside) return;
      card.inside.setAttribute("display", card.closed ? "none" : "inline");
      card.head.setAttribute("aria-expanded", String(!card.closed));
      let y = HEAD;
      for (const row of card.rows) {
        row.el.style.display = row.hidden ? "none" : "";
        row.el.setAttribute("transform", `translate(0 ${y})`);
        if (!row.hidden) y += row.h;
      }
    }

    function drawEdge(edge) {
      const from = cards[edge.from[0]], to = cards[edge.to[0]];
      const row = from.rows[edge.from[1]], goal = to.rows[edge.to[1]];
      const off = from.hidden || to.hidden || row.hidden || (goal && goal.hidden);
      const x = to.x < from.x ? from.x : from.x + from.w, u = to.x > from.x ? to.x : to.x + to.w;
      const y = middle(from, edge.from[1]), v = middle(to, goal ? edge.to[1] : -1), bend = Math.abs(u - x) > 1 ? (x + u) / 2 : x + BOW;
      edge.el.style.display = off ? "none" : "";
      if (edge.width) {
        edge.el.setAttribute("stroke-width", from.closed ? "1.3" : edge.width);
        edge.el.setAttribute("stroke-opacity", from.closed || edge.el.matches(".nf-taken") ? "1" : "0.35");
      }
      if (edge.label) { edge.label.setAttribute("display", off || from.closed ? "none" : "inline"); edge.label.setAttribute("y", String(y + 3.4)); }
      edge.el.setAttribute("d", `M${x} ${y}C${bend} ${y} ${bend} ${v} ${u} ${v}`);
    }

    /** Show what fits a search, what leads there and where that leads; everything for an empty one. */
    function narrow(query) {
      const q = query.trim().toLowerCase();
      if (!q) {
        cards.forEach(card => { card.hidden = false; card.closed = card.was ?? card.closed; card.rows.forEach(row => { row.hidden = false; }); });
        layout();
        return -1;
      }
      const named = new Set(cards.filter(card => card.name.includes(q)).map(card => card.index));
      const rows = new Set(cards.flatMap(card => card.rows.map((row, n) => (row.text.includes(q) ? `${card.index}.${n}` : "")).filter(Boolean)));
      const seen = new Set([...named, ...[...rows].map(key => Number(key.split(".")[0]))]);
      const found = seen.size;
      const whole = new Set(named);
      const reach = (start, forward) => {
        for (const waiting = [...start]; waiting.length;) {
          const one = waiting.pop();
          for (const e of edges) {
            const [here, there] = forward ? [e.from[0], e.to[0]] : [e.to[0], e.from[0]];
            if (here === one && !seen.has(there)) { seen.add(there); if (forward) whole.add(there); waiting.push(there); }
          }
        }
      };
      const goals = edges.filter(e => rows.has(e.from.join("."))).map(e => e.to[0]);
      goals.forEach(goal => { seen.add(goal); whole.add(goal); });
      reach([...named, ...goals], true);
      reach([...seen], false);
      cards.forEach(card => {
        if (card.was === undefined) card.was = card.closed;
        card.hidden = !seen.has(card.index);
        card.closed = card.was && seen.size > 16;
        card.rows.forEach((row, n) => {
          row.hidden = !whole.has(card.index) && !rows.has(`${card.index}.${n}`) && !edges.some(e => e.from[0] === card.index && e.from[1] === n && seen.has(e.to[0]) && (whole.has(e.to[0]) || !named.size));
        });
      });
      layout();
      return found;
    }

    const toggle = index => { const card = cards[index]; if (!card.rows.length) return; card.closed = !card.closed; card.was = card.closed; layout(); };
    const light = (index, lit) => edges.forEach(e => { if (e.from[0] === index || e.to[0] === index) e.el.classList.toggle("nf-lit", lit); });
    cards.forEach(card => { if (card.rows.length) card.head.setAttribute("aria-expanded", String(!card.closed)); });
    return { cards, toggle, light, narrow, many: cards.length > 4 };
  }

  function search(bar, table, said, on) {
    const field = make("input", { type: "search", class: "nf-search", placeholder: "Service, chain or address", "aria-label": "Show only what belongs to a Service, a chain or an address", autocomplete: "off", spellcheck: "false" });
    bar.append(field);
    field.addEventListener("input", () => {
      const found = table.narrow(/** @type {HTMLInputElement} */ (field).value);
      said.textContent = found < 0 ? "" : found ? `${found} of ${table.cards.length} cards fit.` : "Nothing fits.";
    }, on);
  }

  // ── Why? ───────────────────────────────────────────────────────────────────────────

  function asking(fig, svg, answer, cards, walk, on) {
    const things = /** @type {SVGElement[]} */ ([...svg.querySelectorAll(".nf-head, .nf-row, .nf-cell[data-s], .nf-node[data-s]")]);
    things.forEach((el, n) => {
      el.setAttribute("tabindex", n ? "-1" : "0");
      el.setAttribute("role", "button");
    });
    const cardOf = el => { const card = el.closest(".nf-chain"); return card ? Number(card.getAttribute("data-c")) : -1; };

    function ask(el) {
      svg.querySelectorAll(".nf-asked").forEach(one => one.classList.remove("nf-asked"));
      if (el.matches(".nf-head")) return cards && cards.toggle(cardOf(el));
      const steps = (el.getAttribute("data-s") || "").split(" ").filter(Boolean).map(Number);
      if (walk && steps.length) { walk.pause(); walk.show(steps.find(n => n > walk.now) ?? steps[0]); }
      if (!el.matches(".nf-row")) return undefined;
      el.classList.add("nf-asked");
      answer.replaceChildren(...why(el, steps));
      answer.hidden = false;
      return undefined;
    }

    function why(el, steps) {
      const label = el.querySelector("text"), number = label && /^\d/.test(label.textContent) ? `Rule ${label.textContent}` : "";
      const chain = (el.closest(".nf-chain").querySelector(".nf-head > title").textContent || "").split(" · ")[0];
      const lines = el.querySelector(":scope > title").textContent.split("\n");
      const has = name => el.classList.contains(name);
      const reason = has("nf-missed") || has("nf-unsure") ? lines.pop() : "";
      const said = has("nf-matched") ? `matched, at step ${steps.join(" and ")}.` : has("nf-missed") ? `was tried and did not match: ${reason}.`
        : has("nf-unsure") ? `cannot be decided: ${reason}.` : has("nf-unreached") ? "was not reached: the packet's fate was decided elsewhere before." : "";
      return [`${number} of ${chain} ${said}`.trim().replace(/^of /, "In "), make("code", {}, `\n${lines.join("\n")}`)];
    }

    const visible = () => things.filter(el => el.getClientRects().length);
    function rove(el, by) {
      const order = visible(), next = order[clamp(0, order.indexOf(el) + by, order.length - 1)];
      if (!next) return;
      things.forEach(one => one.setAttribute("tabindex", one === next ? "0" : "-1"));
      next.focus({ preventScroll: false });
    }
    svg.addEventListener("click", event => {
      const el = /** @type {Element} */ (event.target).closest(".nf-head, .nf-row, .nf-cell[data-s], .nf-node[data-s]");
      if (el && svg.contains(el) && !svg.classList.contains("nf-dragged")) ask(el);
    }, on);
    svg.addEventListener("keydown", event => {
      const el = /** @type {SVGElement} */ (event.target);
      if (!things.includes(el)) return;
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); ask(el); }
      else if (event.key === "ArrowDown") { event.preventDefault(); rove(el, 1); }
      else if (event.key === "ArrowUp") { event.preventDefault(); rove(el, -1); }
    }, on);
    if (!cards) return;
    for (const [type, lit] of /** @type {[string, boolean][]} */ ([["pointerover", true], ["pointerout", false], ["focusin", true], ["focusout", false]]))
      svg.addEventListener(type, event => { const index = cardOf(/** @type {Element} */ (event.target)); if (index >= 0) cards.light(index, lit); }, on);
  }

  // ── Zoom and pan, inside the frame ─────────────────────────────────────────────────

  function zoom(frame, svg, bar, on) {
    const natural = svg.viewBox.baseVal.width;
    let scale = 0; // 0: as wide as the frame allows
    const set = (value, x = frame.clientWidth / 2, y = frame.clientHeight / 2) => {
      const before = svg.getBoundingClientRect().width / natural;
      scale = clamp(0.3, value, 3);
      svg.style.width = svg.style.minWidth = svg.style.maxWidth = `${natural * scale}px`;
      const grow = scale / before;
      frame.scrollLeft = (frame.scrollLeft + x) * grow - x;
      frame.scrollTop = (frame.scrollTop + y) * grow - y;
    };
    const current = () => scale || svg.getBoundingClientRect().width / natural;
    const group = make("span", { class: "nf-zoom" }, button("out", "Smaller"), " ", button("in", "Larger"), " ", button("fit", "The whole width"));
    bar.append(make("span", { class: "nf-gap" }), group);
    group.addEventListener("click", event => {
      const pressed = /** @type {Element} */ (event.target).closest("[data-act]");
      const act = pressed && pressed.getAttribute("data-act");
      if (act === "fit") { svg.style.width = svg.style.maxWidth = "100%"; svg.style.minWidth = "0"; scale = 0; }
      else if (act) set(current() * (act === "in" ? 1.25 : 0.8));
    }, on);
    frame.addEventListener("wheel", event => {
      if (!event.ctrlKey && !event.metaKey) return; // a plain wheel scrolls
      event.preventDefault();
      const box = frame.getBoundingClientRect();
      set(current() * Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
    }, { ...on, passive: false });

    /** @type {{x: number, y: number, left: number, top: number} | null} */
    let drag = null;
    frame.addEventListener("pointerdown", event => {
      if (event.pointerType !== "mouse" || event.button || (frame.scrollWidth <= frame.clientWidth && frame.scrollHeight <= frame.clientHeight)) return;
      drag = { x: event.clientX, y: event.clientY, left: frame.scrollLeft, top: frame.scrollTop };
      svg.classList.remove("nf-dragged");
    }, on);
    addEventListener("pointermove", event => {
      if (!drag) return;
      const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
      if (Math.abs(dx) + Math.abs(dy) > 5) svg.classList.add("nf-dragged");
      frame.scrollLeft = drag.left - dx;
      frame.scrollTop = drag.top - dy;
    }, on);
    addEventListener("pointerup", () => { drag = null; setTimeout(() => svg.classList.remove("nf-dragged")); }, on);
  }

  /** Upgrade every figure below `root`. @param {ParentNode} [root] */
  function upgradeAll(root = document) {
    root.querySelectorAll("figure.nf-figure").forEach(fig => upgrade(/** @type {HTMLElement} */ (fig)));
  }

  globalThis["nfDiagram"] = { upgrade, upgradeAll };
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", () => upgradeAll());
  else upgradeAll();
})();
