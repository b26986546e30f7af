// @ts-check
// The page of the terminal, the packet builder and the missions. Nothing is loaded before the player presses a
// button; then Python (globalThis.nbPython, run.js) answers what nb_lib/play is asked. The missions' texts stand in
// the page already (book/_ext/missions.py); this script shows one of them at a time and puts a workbench below it.
(() => {
  "use strict";

  /** @typedef {Record<string, any>} Answer */

  const MODULE = "nb_lib.play";
  const KEPT = "nb-missions"; // the one entry in localStorage
  const SLOW = 100; // milliseconds after which the page says that it works
  const PAUSE = 200; // milliseconds without a key until the bytes are drawn anew
  const FLAGS = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];
  const HERE = /** @type {HTMLScriptElement} */ (document.currentScript).src;
  const SHAPES = { forward: "●", local: "●", drop: "■", reject: "▲", lost: "■", error: "■", undecided: "?" };

  const root = document.getElementById("play");
  if (!root) return;
  const articles = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("article.play-mission")]);
  const python = globalThis["nbPython"];

  // ── Elements ───────────────────────────────────────────────────────────────────────

  /** Make an element. @param {string} name @param {Record<string, any>} [attributes] @param {...any} inside @returns {any} */
  function make(name, attributes = {}, ...inside) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value === true) element.setAttribute(key, "");
      else if (value !== false && value != null) element.setAttribute(key, value);
    }
    element.append(...inside.filter(one => one != null && one !== false));
    return element;
  }
  const button = (text, press, attributes = {}) => make("button", { type: "button", ...attributes, onclick: press }, text);
  const input = (name, attributes = {}) => make("input", { name, type: "text", spellcheck: "false", autocomplete: "off", autocapitalize: "off", ...attributes });
  const field = (text, control, kind = "") => make("label", { class: `play-field ${kind}` }, make("span", {}, text), control);
  const select = (name, options) => make("select", { name }, ...options.map(([value, text]) => make("option", { value }, text)));

  /** Show a picture that Python drew. @param {HTMLElement} place @param {string} html */
  function picture(place, html) {
    place.querySelectorAll("figure.nf-figure").forEach(figure => figure["nfApi"]?.close());
    place.innerHTML = html; // made by nb_lib.views, which escapes what it shows; scripts set so do not run
    globalThis["nfDiagram"]?.upgradeAll(place);
  }

  function save(name, type, content) {
    const address = URL.createObjectURL(new Blob([content], { type }));
    make("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }

  // ── What is remembered ─────────────────────────────────────────────────────────────

  const progress = document.getElementById("play-progress");
  let won = new Set();
  try {
    won = new Set(JSON.parse(localStorage.getItem(KEPT) || "[]").filter(name => articles.some(one => one.dataset.mission === name)));
  } catch { /* a browser that keeps nothing, or an entry that is not ours */ }

  function keep() {
    try {
      if (won.size) localStorage.setItem(KEPT, JSON.stringify([...won]));
      else localStorage.removeItem(KEPT);
    } catch { /* played all the same */ }
  }

  function shown() {
    document.querySelectorAll(".play-index li").forEach(item => {
      const done = won.has(item["dataset"].mission);
      item.classList.toggle("play-won", done);
      item.querySelector(".play-done")?.remove();
      if (done) item.append(make("span", { class: "play-done" }, " ✓ won"));
    });
    progress?.replaceChildren(won.size ? `You have won ${won.size} of ${articles.length} missions. ` : "None won yet. ", make("span", {}, "Only this browser remembers it. "),
      ...won.size ? [button("Forget what I have won", () => { won.clear(); keep(); shown(); tell("Forgotten."); })] : []);
  }

  // ── Python ─────────────────────────────────────────────────────────────────────────

  class Told extends Error {
    /** @param {Answer} error */
    constructor(error) { super(error.text || ""); this.field = error.field || ""; }
  }

  let born = 0; // which Python has the game
  let queue = Promise.resolve();
  const status = make("p", { class: "play-status", role: "status" });
  const busy = make("p", { class: "play-busy", hidden: true }, make("span", {}), " ", button("Stop", () => python.stop()));
  const tell = text => { status.textContent = text; };

  /** Ask, one question after the other. @param {Answer} message @returns {Promise<Answer>} */
  function talk(message) {
    const next = queue.then(() => asked(message));
    queue = next.then(() => {}, () => {});
    return next;
  }

  async function asked(message) {
    const why = python ? python.hindrance() : "Its script run.js is missing.";
    if (why) throw new Told({ text: why });
    const late = setTimeout(() => working(python.age ? "Working …" : "Starting Python in this page: some 7 MB, once …"), python.age ? SLOW : 0);
    try {
      if (message.do !== "start" && born !== python.age) throw new Told({ text: "Python was stopped, and the rules with it. Begin again." });
      const asking = python.ask({ module: MODULE, message });
      if (message.do === "start") born = python.age;
      const { end, answer } = await asking;
      if (end === "stopped" || answer?.stopped) throw new Told({ text: "Stopped." });
      if (answer.error) throw new Told(answer.error);
      if (answer.problem) throw new Told({ text: `This is a mistake of the book’s, not of yours: ${answer.problem}` });
      return answer;
    } catch (problem) {
      if (!(problem instanceof Told)) { born = 0; throw new Told({ text: `Python could not answer: ${problem.message}` }); }
      throw problem;
    } finally {
      clearTimeout(late);
      working("");
    }
  }

  function working(what) {
    busy.hidden = !what;
    busy.firstChild.textContent = what;
    root.setAttribute("aria-busy", String(Boolean(what)));
  }

  /** Do something, and say it if it fails. @param {() => Promise<void>} does */
  async function attempt(does) {
    marked("");
    try { await does(); } catch (problem) {
      if (!(problem instanceof Told)) throw problem;
      tell(problem.message);
      marked(problem.field);
    }
  }

  // ── Missions ───────────────────────────────────────────────────────────────────────

  let mission = ""; // "" is free play
  let close = () => {};
  const index = document.querySelector(".play-index");
  const free = make("article", { class: "play-mission play-free" }, make("h3", { id: "free-play" }, "Free play"),
    make("p", {}, "A host without rules that routes between ", make("code", {}, "lan0"), " (10.1.0.1/24, fd00:1::1/64) and ", make("code", {}, "wan0"), " (10.2.0.1/24, fd00:2::1/64)."));

  function address() {
    const name = /^#mission-([\w-]+)$/.exec(location.hash)?.[1];
    return articles.some(one => one.dataset.mission === name) ? name || "" : location.hash === "#free-play" ? "" : null;
  }

  /** Show a mission's text, and begin it if Python runs. @param {string} name @param {boolean} [scroll] */
  function choose(name, scroll = false) {
    mission = name;
    articles.forEach(one => { one.hidden = one.dataset.mission !== name; });
    free.hidden = Boolean(name);
    document.querySelectorAll(".play-index li a").forEach(link => {
      if (link.getAttribute("href") === (name ? `#mission-${name}` : "#free-play")) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
    begin.textContent = name ? "Play this mission" : "Start the terminal";
    if (scroll) (articles.find(one => !one.hidden) || free).scrollIntoView({ block: "start" });
    if (python?.age && born) attempt(start);
    else root.replaceChildren(opening, busy, status);
  }

  async function start() {
    close();
    const name = mission;
    const answer = await talk({ do: "start", mission: name });
    await script("terminal.js");
    if (name !== mission) return;
    const place = make("div", {});
    check.hidden = !name;
    results.replaceChildren();
    trace.replaceChildren();
    fill(answer);
    root.replaceChildren(place, tools, busy, status, results, builder, trace);
    root.classList.add("play-live");
    close = globalThis["nfTerminal"].mount(place, async message => talk({ do: "terminal", message }));
    tell(name ? "The mission has begun. Type commands, then check." : "The terminal is ready.");
    const line = place.querySelector("input.nf-input");
    line?.setAttribute("placeholder", "iptables -S");
    line?.focus({ preventScroll: true });
    attempt(bytes);
  }

  function script(name) {
    if (globalThis["nfTerminal"]) return Promise.resolve();
    return new Promise((done, fail) => {
      const element = make("script", { src: new URL(name, HERE).href, onload: done, onerror: () => fail(new Told({ text: `${name} cannot be read.` })) });
      document.head.append(element);
    });
  }

  const begin = button("Play this mission", () => attempt(start), { class: "play-main" });
  const opening = make("div", { class: "play-opening" }, begin, make("p", {}, "Loads Python, some 7 MB, once. It runs in this page; nothing is sent anywhere."));
  const check = button("Check my rules", () => attempt(judge), { class: "play-main" });
  const tools = make("div", { class: "play-tools", role: "group", "aria-label": "Mission" }, check,
    button("Begin again", () => attempt(start), { title: "The rules that were there at the beginning" }),
    button("Copy the rules", () => attempt(copy), { title: "What iptables-save -c prints, to paste it into the Lab, for example" }));

  const lab = /** @type {HTMLAnchorElement | null} */ (document.querySelector("a[href='lab.html']"));
  if (lab) tools.append(make("a", { href: lab.href }, "Open the Lab"));

  async function copy() {
    const { dump } = await talk({ do: "terminal", message: { do: "dump" } });
    try { await navigator.clipboard.writeText(dump); tell("Copied: what iptables-save -c prints. It can be pasted into the Lab."); }
    catch { tell("This browser does not let a page copy. Export, beside Undo, downloads the rules."); }
  }

  // ── The judge ──────────────────────────────────────────────────────────────────────

  const results = make("section", { class: "play-results", "aria-label": "What the judge found" });

  async function judge() {
    const name = mission;
    const answer = await talk({ do: "check" });
    const failed = answer.wants.filter(one => !one.good).length;
    if (answer.won) { won.add(name); keep(); shown(); }
    const here = articles.findIndex(one => one.dataset.mission === name);
    const next = [...articles.slice(here), ...articles.slice(0, here)].find(one => !won.has(one.dataset.mission));
    results.replaceChildren(
      make("h3", { class: answer.won ? "play-good" : "play-bad" }, answer.won ? "Won" : "Not yet"),
      make("p", {}, answer.won ? answer.lesson : `${failed} of ${answer.wants.length} requirements ${failed === 1 ? "fails" : "fail"}.`, ` ${answer.packets} packets were sent.`),
      make("ul", {}, ...answer.wants.map((one, number) => make("li", { class: one.good ? "play-good" : "play-bad" },
        make("span", { class: "play-mark", "aria-hidden": "true" }, one.good ? "✓" : "✗"),
        make("div", {}, make("strong", {}, one.text), make("span", { class: "play-hidden" }, one.good ? " It holds." : " It fails."),
          one.why ? make("p", {}, one.why) : null,
          one.why ? button("Show this packet", () => attempt(() => proof(number)), { "aria-label": `Show this packet: ${one.text}` }) : null)))),
      answer.won && next ? make("p", {}, "Next: ", make("a", { href: `#mission-${next.dataset.mission}` }, next.querySelector("h3")?.firstChild?.nextSibling?.textContent || "another mission")) : "");
    tell(answer.won ? `Won, by ${answer.packets} packets.` : `Not yet: ${failed} of ${answer.wants.length} requirements ${failed === 1 ? "fails" : "fail"}.`);
  }

  async function proof(number) {
    const answer = await talk({ do: "proof", number });
    seen(answer, answer.says);
    fill({ fields: { ...answer.fields, way: answer.way } });
    trace.scrollIntoView({ block: "start" });
    attempt(bytes);
  }

  // ── The packet builder ─────────────────────────────────────────────────────────────

  const way = make("select", { name: "way" });
  const proto = select("proto", [["tcp", "TCP"], ["udp", "UDP"], ["icmp", "ICMP"], ["sctp", "SCTP"], ["gre", "GRE"], ["esp", "ESP"]]);
  const flags = make("fieldset", { class: "play-flags" }, make("legend", {}, "flags"), ...FLAGS.map(name => make("label", {}, make("input", { type: "checkbox", value: name, name: "flag" }), ` ${name}`)));
  const type = make("input", { name: "type", list: "play-types", spellcheck: "false", autocomplete: "off", inputmode: "numeric" });
  const presets = make("div", { class: "play-moments", role: "group", "aria-label": "A packet to begin with" });
  const fresh = make("input", { type: "checkbox", checked: true });
  const drawn = make("div", { class: "play-bytes" });
  const form = make("form", { class: "play-form", novalidate: true, onsubmit: event => { event.preventDefault(); attempt(send); } },
    presets,
    make("div", { class: "play-fields" }, field("way", way, "play-wide"), field("protocol", proto),
      field("source", input("src"), "play-wide"), field("port", input("sport", { inputmode: "numeric" }), "play-ports"),
      field("destination", input("dst"), "play-wide"), field("port", input("dport", { inputmode: "numeric" }), "play-ports"),
      field("type", type, "play-icmp"), field("code", input("code", { inputmode: "numeric" }), "play-icmp"),
      field("TTL", input("ttl", { inputmode: "numeric" })), field("TOS", input("tos", { placeholder: "0x00" })), field("mark", input("mark", { placeholder: "0x0" })), field("payload", input("payload"), "play-wide")),
    flags,
    make("datalist", { id: "play-types" }, ...[["8", "echo request"], ["0", "echo reply"], ["3", "unreachable"], ["11", "time exceeded"], ["128", "ICMPv6 echo request"], ["135", "neighbour solicitation"], ["136", "neighbour advertisement"]].map(([value, text]) => make("option", { value }, text))),
    make("div", { class: "play-tools" }, make("button", { class: "play-main" }, "Send"), make("label", { class: "play-fresh" }, fresh, " then take a new source port"),
      button("Forget connections", () => attempt(async () => tell((await talk({ do: "forget" })).said)), { title: "What conntrack and the limits remember" })));
  const builder = make("section", { class: "play-builder", "aria-label": "Packet builder" }, make("h3", {}, "Packet builder"), form,
    make("details", { open: true }, make("summary", {}, "Its bytes"), drawn));

  /** Put a packet into the form. @param {Answer} answer */
  function fill({ fields, devices, presets: ways }) {
    if (ways) presets.replaceChildren(...ways.map(one => button(one.name, () => { fill(one); attempt(bytes); })));
    if (devices) way.replaceChildren(...devices.map(name => new Option(`comes in by ${name}`, name)), new Option("sent by the host itself", ""));
    for (const [name, value] of Object.entries(fields)) if (form.elements.namedItem(name)) form.elements.namedItem(name).value = value;
    const set = (fields.flags || "").split(",");
    flags.querySelectorAll("input").forEach(box => { box.checked = set.includes(box.value); });
    suited();
  }

  function suited() {
    const ports = ["tcp", "udp", "sctp"].includes(proto.value);
    form.querySelectorAll(".play-ports").forEach(one => { one.hidden = !ports; });
    form.querySelectorAll(".play-icmp").forEach(one => { one.hidden = proto.value !== "icmp"; });
    flags.hidden = proto.value !== "tcp";
  }

  function fields() {
    const found = Object.fromEntries([...new FormData(form)].filter(([name]) => name !== "flag"));
    return { ...found, flags: [...flags.querySelectorAll("input:checked")].map(box => box.value).join(",") };
  }

  function marked(name) {
    form.querySelectorAll("[aria-invalid]").forEach(one => one.removeAttribute("aria-invalid"));
    if (name) form.elements.namedItem(name)?.setAttribute("aria-invalid", "true");
  }

  async function bytes() {
    const answer = await talk({ do: "packet", fields: fields() });
    picture(drawn, answer.figure);
  }

  let pause = 0;
  form.addEventListener("input", () => {
    suited();
    clearTimeout(pause);
    pause = setTimeout(() => attempt(bytes), PAUSE);
  });

  async function send() {
    const answer = await talk({ do: "send", fields: fields() });
    seen(answer, "");
    tell(answer.outcome);
    const sport = form.elements.namedItem("sport");
    if (fresh.checked && ["tcp", "udp", "sctp"].includes(proto.value)) {
      sport.value = String((Number(sport.value) || 40000) % 65535 + 1);
      attempt(bytes);
    }
  }

  // ── The trace ──────────────────────────────────────────────────────────────────────

  const trace = make("section", { class: "play-trace", "aria-label": "The packet’s way" });

  /** Show a packet's way, and its bytes at each moment. @param {Answer} answer @param {string} says */
  function seen(answer, says) {
    const path = make("div", {}), place = make("div", { class: "play-bytes" });
    const tabs = make("div", { class: "play-moments", role: "group", "aria-label": "The bytes at each moment" });
    const look = number => {
      [...tabs.children].forEach((one, n) => one.setAttribute("aria-pressed", String(n === number)));
      picture(place, answer.moments[number].figure);
    };
    answer.moments.forEach((one, number) => tabs.append(button(one.note, () => look(number), { class: one.same ? "play-same" : "" })));
    trace.replaceChildren(make("h3", {}, "The packet’s way"),
      make("p", { class: "play-outcome" }, make("span", { "aria-hidden": "true" }, `${SHAPES[answer.kind] || "●"} `), says ? `${says}. ` : "", answer.outcome),
      path,
      make("div", { class: "play-tools" }, answer.reply ? button("Send the answer", () => attempt(async () => { const next = await talk({ do: "reply" }); seen(next, "The receiver’s answer"); tell(next.outcome); })) : null,
        button("Download as pcap", () => attempt(download), { title: "For Wireshark or tcpdump: the packet before and behind each rewrite" })),
      make("h4", {}, "Its bytes, before and behind each rewrite"), tabs, place);
    picture(path, answer.figure);
    look(Math.max(answer.moments.findIndex(one => one.note.startsWith("behind")), 0));
  }

  async function download() {
    const { data, name } = await talk({ do: "pcap" });
    save(name, "application/x-pcapng", Uint8Array.from(atob(data), letter => letter.charCodeAt(0)));
    tell(`Downloaded: ${name}.`);
  }

  // ── Arrival ────────────────────────────────────────────────────────────────────────

  articles[0]?.before(free);
  index?.append(make("li", { class: "play-free-link" }, make("a", { href: "#free-play" }, "Free play: no mission, an empty host")));
  document.querySelectorAll(".play-texts, .play-index").forEach(one => one.classList.add("play-live"));
  addEventListener("hashchange", () => { const name = address(); if (name !== null) choose(name, true); });
  shown();
  const named = address();
  choose(named ?? (articles.find(one => !won.has(one.dataset.mission))?.dataset.mission || ""), named !== null);
})();
