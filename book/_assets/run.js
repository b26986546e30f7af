// @ts-check
// "Run" on code cells: Python in this very page (python/worker.mjs), loaded when a reader first asks for it.
// The cells of a page share their names, top to bottom: before a cell runs, those above it run
// that have not run yet or were edited since. What a run shows takes the place of the stored output.
(() => {
  "use strict";

  /**
   * @typedef {{output_type: string, name?: string, text?: string, data?: Record<string, any>, traceback?: string[]}} Output
   * @typedef {{end: string, answer?: any}} End
   */

  const HERE = /** @type {HTMLScriptElement} */ (document.currentScript).src;
  const ALIVE = "application/vnd.nb-lib.alive+json";
  const PROGRESS = 3000; // milliseconds between two words of how far it is
  const PATIENCE = 1000; // milliseconds that a cell has to end by itself after an interrupt

  function make(name, attributes = {}, ...inside) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...inside);
    return element;
  }

  // ── Python ─────────────────────────────────────────────────────────────────────────

  const python = (() => {
    let worker = null, asked = 0, started = 0, interrupt = null;
    const waiting = new Map();

    function start() {
      started += 1;
      worker = new Worker(new URL("python/worker.mjs", HERE), { type: "module" });
      worker.addEventListener("message", ({ data }) => {
        const one = waiting.get(data.id);
        if (!one) return;
        if (data.outputs) return one.hear(data.outputs);
        waiting.delete(data.id);
        if (data.failed === undefined) return one.done(data);
        forget();
        one.fail(new Error(data.failed));
      });
      worker.addEventListener("error", event => {
        event.preventDefault();
        const all = [...waiting.values()];
        forget();
        all.forEach(one => one.fail(new Error(event.message || "its files cannot be read")));
      });
      // Where a server isolates its pages, a loop can be interrupted and the names of the cells live on.
      interrupt = globalThis.crossOriginIsolated ? new Uint8Array(new SharedArrayBuffer(1)) : null;
    }

    function forget() {
      worker?.terminate();
      worker = null;
      waiting.clear();
    }

    return {
      hindrance,

      /** Which Python runs: 0 if none does. */
      get age() { return worker ? started : 0; },

      /** Ask the worker. @param {Record<string, any>} question @param {(outputs: Output[]) => void} [hear] @returns {Promise<End>} */
      ask(question, hear = () => {}) {
        if (!worker) start();
        asked += 1;
        const id = asked;
        return new Promise((done, fail) => {
          waiting.set(id, { done, fail, hear });
          worker.postMessage({ ...question, id, ...(interrupt ? { interrupt } : {}) });
        });
      },

      /** End what runs. Whoever waits hears the end "stopped" if Python had to be ended with it. */
      async stop() {
        if (interrupt) {
          interrupt[0] = 2; // SIGINT
          await new Promise(done => setTimeout(done, PATIENCE));
          if (!waiting.size) return;
        }
        const all = [...waiting.values()];
        forget();
        all.forEach(one => one.done({ end: "stopped" }));
      },
    };
  })();

  /** Why Python cannot run in this page, or "". */
  function hindrance() {
    if (location.protocol === "file:")
      return "This page was opened from a disk, from where browsers let no page load Python. Served by any web server it can run: make serve, or python -m http.server in the book’s folder.";
    if (!globalThis.Worker || !globalThis.WebAssembly) return "This browser lacks what Python needs (WebAssembly in a worker).";
    return "";
  }

  // ── Outputs ────────────────────────────────────────────────────────────────────────

  const CLASSES = {
    stream: "output stream highlight-myst-ansi notranslate",
    error: "output traceback highlight-ipythontb notranslate",
    plain: "output text_plain highlight-myst-ansi notranslate",
  };

  function textual(kind, text) {
    return make("div", { class: CLASSES[kind] }, make("div", { class: "highlight" }, make("pre", {}, text)));
  }

  /** Write an output as the built pages do. @param {Output} output */
  function written(output) {
    if (output.output_type === "stream") return textual("stream", output.text);
    if (output.output_type === "error") return textual("error", output.traceback.join("\n"));
    const html = output.data["text/html"];
    if (html === undefined) return textual("plain", output.data["text/plain"] || "");
    const place = make("div", { class: "output text_html" });
    place.innerHTML = html; // scripts in it do not run
    place.querySelectorAll("[data-autoplay-once]").forEach(figure => figure.removeAttribute("data-autoplay-once"));
    return place;
  }

  /** Add outputs below each other; neighbouring pieces of one stream become one. */
  function add(place, outputs) {
    for (const output of outputs) {
      const last = place.lastElementChild;
      if (output.output_type === "stream" && last && last["stream"] === output.name) {
        last.querySelector("pre").append(output.text);
        continue;
      }
      const element = written(output);
      element["stream"] = output.name;
      place.append(element);
      element.querySelectorAll("pre").forEach(pre => { if (pre.scrollWidth > pre.clientWidth) pre.tabIndex = 0; }); // the keyboard scrolls it
      globalThis["nfDiagram"]?.upgradeAll(element);
      if (output.data?.[ALIVE]) enliven(element, output.data[ALIVE]);
    }
  }

  // ── Terminals and live diagrams ────────────────────────────────────────────────────

  /** Let a terminal or a live diagram talk to the Python that made it. */
  async function enliven(element, alive) {
    const born = python.age;
    const ask = async message => {
      if (python.age !== born) throw new Error("it was stopped; run the cell again");
      const { answer } = await python.ask({ ask: JSON.stringify(message), number: alive.number });
      if (!answer || answer.problem) throw new Error(answer ? answer.problem : "it was stopped");
      return answer;
    };
    if (alive.kind === "Typed") {
      await script("terminal.js");
      element["close"] = globalThis["nfTerminal"].mount(element, ask);
    } else {
      const { default: live } = await import(new URL("live.js", HERE).href);
      const values = { html: element.innerHTML, error: "", answered: 0, step: -1, ...alive };
      element["close"] = live.render({ model: model(values, ask), el: element });
    }
  }

  function script(name) {
    const address = new URL(name, HERE).href;
    return new Promise((done, fail) => {
      if (globalThis["nfTerminal"]) return done();
      const element = /** @type {HTMLScriptElement} */ (make("script", { src: address }));
      element.onload = done;
      element.onerror = () => fail(new Error(`${name} cannot be read`));
      document.head.append(element);
    });
  }

  /** What live.js knows as an anywidget's model: an edit is asked, its answer is a change. */
  function model(values, ask) {
    const hears = new Map();
    const tell = name => hears.get(`change:${name}`)?.forEach(hear => hear());
    let edited = false;
    return {
      get: name => values[name],
      set(name, value) { values[name] = value; edited ||= name === "fields"; },
      on: (event, hear) => hears.set(event, [...(hears.get(event) || []), hear]),
      off: (event, hear) => hears.set(event, (hears.get(event) || []).filter(one => one !== hear)),
      async save_changes() {
        if (!edited) return;
        edited = false;
        const { asked, ...fields } = values.fields;
        const answer = await ask(fields).catch(problem => ({ error: `Python did not answer: ${problem.message}` }));
        Object.assign(values, answer, { answered: asked });
        ["html", "error", "answered"].forEach(tell);
      },
    };
  }

  // ── Cells ──────────────────────────────────────────────────────────────────────────

  /** @type {Cell[]} */
  let cells = [];
  /** @type {Cell | null} */
  let running = null;

  class Cell {
    /** @param {HTMLElement} root @param {number} number */
    constructor(root, number) {
      this.root = root;
      this.number = number;
      this.code = /** @type {HTMLElement} */ (root.querySelector(".cell_input"));
      this.pre = /** @type {HTMLElement} */ (this.code.querySelector("pre"));
      this.stored = /** @type {HTMLElement | null} */ (root.querySelector(".cell_output"));
      this.written = this.pre.textContent.replace(/\n$/, "");
      this.mayFail = root.classList.contains("tag_raises-exception");
      this.ran = null; // the text that ran, in the Python that runs now
      this.editor = null;
      this.shown = null;
      this.draw();
    }

    get text() { return this.editor ? this.editor.value : this.written; }

    draw() {
      const button = (act, text) => {
        const element = /** @type {HTMLButtonElement} */ (make("button", { type: "button", "data-act": act }));
        element.addEventListener("click", () => this[act]());
        this.label(element, text);
        return element;
      };
      this.runs = button("press", "Run");
      this.runs.title = "Runs this cell, after those above that have not run yet";
      this.edits = button("edit", "Edit");
      this.backs = button("restore", "Stored output");
      this.backs.hidden = true;
      this.status = make("span", { class: "run-status", role: "status" });
      this.bar = make("div", { class: "run-bar", role: "group", "aria-label": `Cell ${this.number}` }, this.runs, this.edits, this.backs, this.status);
      this.code.after(this.bar);
    }

    say(...what) { this.status.replaceChildren(...what); }

    press() { return running === this ? this.stop() : this.run(); }

    stop() {
      this.say("Stopping…");
      return python.stop();
    }

    async run() {
      const why = hindrance();
      if (why) return this.say(why);
      if (running) return this.say(`Python is busy with cell ${running.number}.`);
      running = this;
      this.label(this.runs, "Stop");
      this.root.setAttribute("aria-busy", "true");
      try {
        this.say(...await this.work());
      } catch (problem) {
        cells.forEach(cell => { cell.ran = null; });
        this.restore();
        this.say(`Python could not run: ${problem.message}`);
      }
      running = null;
      this.label(this.runs, "Run");
      this.root.removeAttribute("aria-busy");
    }

    /** Write on a button what it does; its name tells the cell, too. */
    label(button, text) {
      button.textContent = text;
      button.setAttribute("aria-label", `${text}: cell ${this.number}`);
    }

    /** Run what is above and has not run, then this cell; return what to say of it. */
    async work() {
      const above = cells.slice(0, this.number - 1).filter(cell => cell.ran !== cell.text);
      const many = above.length === 1 ? "the cell above" : `the ${above.length} cells above`;
      const first = above.length ? `, then ${many} that ${above.length === 1 ? "has" : "have"} not run yet` : "";
      if (!python.age) this.say(`Starting Python in this page: some 7 MB, once${first}…`);
      else this.say(above.length ? `Running ${many} first…` : "Running…");
      let told = performance.now();
      for (const cell of above) {
        if (performance.now() - told > PROGRESS) {
          this.say(`Running ${many} first, now cell ${cell.number}…`);
          told = performance.now();
        }
        const end = await cell.execute(false);
        if (end === "stopped") return [stopped()];
        if (end === "error" && !cell.mayFail)
          return [make("a", { href: `#${cell.address()}` }, `Cell ${cell.number}`), ", above, ended with an error; this one did not run."];
      }
      if (above.length) this.say("Running…");
      const start = performance.now();
      const end = await this.execute(true);
      const seconds = ((performance.now() - start) / 1000).toFixed(2);
      if (end === "stopped") return [stopped()];
      if (end === "error") return [this.mayFail ? `Ran in ${seconds} s; the error is meant.` : "It ended with an error."];
      if (end) return [this.without(end)];
      return [`Ran in ${seconds} s${above.length ? `, after ${many}` : ""}${this.shown ? "" : "; there is nothing to show"}.`];
    }

    /** Run this cell's text in Python; show what comes, or if not asked to, no more than an error. */
    async execute(show) {
      const text = this.text, kept = [];
      let cleared = false;
      const place = () => {
        if (!cleared) this.clear();
        cleared = true;
        return this.place();
      };
      const tell = detail => this.root.dispatchEvent(new CustomEvent("nb-cell", { bubbles: true, detail: { number: this.number, ...detail } }));
      const hear = outputs => {
        tell({ outputs });
        if (show) add(place(), outputs);
        else kept.push(...outputs);
      };
      const { end } = await python.ask({ run: text, number: this.number }, hear);
      tell({ end });
      this.ran = end === "stopped" || (end === "error" && !this.mayFail) ? null : text;
      if (!python.age) cells.forEach(cell => { cell.ran = null; });
      if (show && !cleared) this.clear();
      if (!show && end === "error" && !this.mayFail) add(place(), kept);
      return end;
    }

    /** Keep the stored output of a cell whose library there is not. */
    without(library) {
      this.restore();
      const what = this.stored && !this.editor ? "; the stored output stays" : "";
      return `This cell needs ${library}, which cannot be had for Python in a browser here${what}.`;
    }

    /** Where outputs of a run go: in the place of the stored ones. */
    place() {
      if (this.shown) return this.shown;
      this.shown = make("div", { class: "cell_output docutils container run-output" });
      if (this.stored) this.stored.replaceWith(this.shown);
      else this.bar.after(this.shown);
      this.backs.hidden = !this.stored;
      for (let up = this.shown.parentElement; up && up !== this.root; up = up.parentElement) if (up instanceof HTMLDetailsElement) up.open = true;
      return this.shown;
    }

    clear() {
      if (!this.shown) return;
      this.shown.querySelectorAll("figure.nf-figure").forEach(figure => figure["nfApi"]?.close());
      [...this.shown.children].forEach(output => output["close"]?.());
      this.shown.replaceChildren();
    }

    /** Show the stored output again. */
    restore() {
      this.clear();
      if (this.stored) this.shown?.replaceWith(this.stored);
      else this.shown?.remove();
      this.shown = null;
      if (this.backs === document.activeElement) this.runs.focus();
      this.backs.hidden = true;
      this.say(this.stored ? "The stored output is shown." : "");
    }

    edit() {
      if (this.editor) {
        this.editor.remove();
        this.editor = null;
        this.pre.hidden = false;
        this.label(this.edits, "Edit");
        return;
      }
      const rows = String(this.written.split("\n").length);
      this.editor = /** @type {HTMLTextAreaElement} */ (make("textarea", { class: "run-editor", rows, spellcheck: "false", autocapitalize: "off", autocomplete: "off", "aria-label": `Code of cell ${this.number}` }));
      this.editor.value = this.written;
      this.editor.addEventListener("keydown", event => {
        if (event.key !== "Enter" || !(event.shiftKey || event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        this.run();
      });
      this.pre.hidden = true;
      this.pre.after(this.editor);
      this.label(this.edits, "Undo edit");
      this.editor.focus();
    }

    address() {
      this.root.id ||= `cell-${this.number}`;
      return this.root.id;
    }
  }

  function stopped() {
    return python.age ? "Stopped." : "Stopped. The next run starts Python again, from the first cell.";
  }

  addEventListener("DOMContentLoaded", () => {
    const found = [...document.querySelectorAll("div.cell")].filter(root => root.querySelector(".cell_input .highlight-ipython3 pre"));
    cells = found.map((root, index) => new Cell(/** @type {HTMLElement} */ (root), index + 1));
  });

  globalThis["nbPython"] = python; // for pages with a use of their own for it
})();
