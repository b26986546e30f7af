// @ts-check
// The Lab: a reader's own dump, looked at in this very page. Nothing is loaded before the reader does something;
// then Python (globalThis.nbPython, run.js) answers what nb_lib/lab is asked. What was pasted stays in the page's
// memory: there is no request that could carry it. What comes from a dump is set as text; pictures are markup that
// nb_lib.views has escaped.
(() => {
  "use strict";

  /** @typedef {Record<string, any>} Answer */

  const MODULE = "nb_lib.lab";
  const SLOW = 100; // milliseconds after which the page says that it works
  const LONGEST = 100_000_000; // letters: what Python can hold in a browser
  const EDITABLE = 300_000; // letters that a field on the page can show
  const MANY = 5000; // rules from which on what takes seconds waits to be asked for
  // Recorded dumps of the book; what data/ holds beside these is added when Python has started.
  const EXAMPLES = {
    "Hosts": [["Docker", "docker"], ["Docker and ufw", "docker-ufw"], ["Docker, where forwarding was off", "docker-forward/forwarding-was-off"],
      ["Docker, where forwarding was on", "docker-forward/forwarding-was-on"], ["firewalld and libvirt", "firewalld-libvirt"], ["a router for the home", "router"], ["ufw", "ufw"], ["firewalld", "firewalld"], ["libvirt", "libvirt"], ["podman", "podman"],
      ["CNI port mapping", "cni"], ["fail2ban with ipset", "fail2ban"], ["a host with TRACE rules", "trace"]],
    "kube-proxy, one Service": [["nginx, 3 endpoints, 1.21", "kube-proxy/nginx-3-endpoints/1.21.1"], ["nginx, 3 endpoints, 1.22", "kube-proxy/nginx-3-endpoints/1.22.0"],
      ["nginx, 3 endpoints, 1.30", "kube-proxy/nginx-3-endpoints/1.30.5"], ["nginx, 3 endpoints, 1.30, nftables mode", "kube-proxy/nginx-3-endpoints/1.30.5-nftables"],
      ["nginx, 3 endpoints, 1.21, userspace mode", "kube-proxy/nginx-3-endpoints/1.21.1-userspace"], ["nginx, 1 endpoint, 1.21", "kube-proxy/nginx-1-endpoint/1.21.1"],
      ["nginx, 1 endpoint, 1.22", "kube-proxy/nginx-1-endpoint/1.22.0"], ["nginx, 1 endpoint, 1.30", "kube-proxy/nginx-1-endpoint/1.30.5"]],
    "kube-proxy, eight Services": [["1.21", "kube-proxy/eight-services/1.21.1"], ["1.22", "kube-proxy/eight-services/1.22.0"],
      ["1.30", "kube-proxy/eight-services/1.30.5"], ["1.30, nftables mode", "kube-proxy/eight-services/1.30.5-nftables"],
      ["1.21, IPVS mode", "kube-proxy/ipvs/1.21.1"], ["1.30, IPVS mode", "kube-proxy/ipvs/1.30.5"]],
    "kube-proxy, options of a Service": [["session affinity", "kube-proxy/option-affinity/1.30.5"], ["session affinity, nftables mode", "kube-proxy/option-affinity/1.30.5-nftables"],
      ["externalTrafficPolicy: Local", "kube-proxy/option-external-local/1.30.5"], ["externalTrafficPolicy: Local, endpoint elsewhere, nftables mode", "kube-proxy/option-external-local-remote/1.30.5-nftables"],
      ["internalTrafficPolicy: Local", "kube-proxy/option-internal-local/1.30.5"], ["source ranges", "kube-proxy/option-source-ranges/1.30.5"],
      ["source ranges, nftables mode", "kube-proxy/option-source-ranges/1.30.5-nftables"]],
  };
  const SHAPES = { forward: "●", local: "●", drop: "■", reject: "▲", lost: "■", error: "■", undecided: "?" };

  const root = document.getElementById("lab");
  if (!root) return;

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
  const field = (text, control, name = "") => make("label", { class: `lab-field ${name}` }, make("span", {}, text), control);
  const input = (name, attributes = {}) => make("input", { name, type: "text", spellcheck: "false", autocomplete: "off", autocapitalize: "off", ...attributes });
  const select = (name, options, attributes = {}) => make("select", { name, ...attributes }, ...options.map(([value, text]) => make("option", { value }, text)));
  const code = text => make("code", {}, text);
  const number = value => value.toLocaleString("en");
  const counted = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

  /** Show a picture that Python drew. @param {HTMLElement} place @param {string} html */
  function picture(place, html) {
    place.querySelectorAll("figure.nf-figure").forEach(figure => figure["nfApi"]?.close());
    place.innerHTML = html; // made by nb_lib.views, which escapes what it shows; scripts set so do not run
    globalThis["nfDiagram"]?.upgradeAll(place);
  }

  // ── Python ─────────────────────────────────────────────────────────────────────────

  /** A mistake of the reader's, or what hinders: its parts are shown. */
  class Told extends Error {
    /** @param {Answer} answer */
    constructor(answer) {
      super(answer.error?.text || answer.text || "");
      this.answer = answer;
    }
  }

  const python = globalThis["nbPython"];
  let given = []; // what was laid on Python's bench; a new Python gets it again
  let born = 0; // which Python has it
  let ready = Promise.resolve();
  let texts = 0; // how often that changed: an answer about earlier texts is not shown
  let working = 0;

  /** Ask Python. @param {Answer} message @param {string} what @returns {Promise<Answer>} */
  async function talk(message, what) {
    const why = python ? python.hindrance() : "Its script run.js is missing.";
    if (why) throw new Told({ text: why });
    working += 1;
    const late = setTimeout(() => progress(python.age ? what : "Starting Python in this page: some 7 MB, once …"), python.age ? SLOW : 0);
    try {
      await prepared();
      const hear = told => told.forEach(one => progress(one.of ? `${one.what}: ${one.done} of ${one.of} …` : one.done ? `${one.what}: ${one.done} …` : one.what, one));
      return sound(await python.ask({ module: MODULE, message }, hear));
    } catch (problem) {
      if (problem instanceof Told) throw problem;
      born = 0;
      throw new Told({ text: `Python could not answer: ${problem.message}` });
    } finally {
      clearTimeout(late);
      working -= 1;
      if (!working) progress("");
    }
  }

  /** Lay what was pasted on the bench of a Python that has just started: the first, or one after a stop. */
  function prepared() {
    if (born && born === python.age) return ready;
    const again = [...given];
    const first = python.ask({ module: MODULE, message: { do: "start" } }); // it starts Python, which knows all examples
    born = python.age;
    ready = first.then(async end => {
      further(sound(end).examples);
      for (const message of again) sound(await python.ask({ module: MODULE, message }));
    });
    return ready;
  }

  /** Return an answer, or throw what is wrong. */
  function sound({ end, answer }) {
    if (end === "stopped" || answer?.stopped) {
      if (!python.age) born = 0;
      throw new Told({ text: "Stopped. What was pasted is still here." });
    }
    if (answer.error) throw new Told(answer);
    if (answer.problem) throw new Told({ text: `This is a mistake of the book’s, not of yours: ${answer.problem}` });
    return answer;
  }

  // ── The page ───────────────────────────────────────────────────────────────────────

  const status = make("p", { class: "lab-status", role: "status" });
  const bar = make("progress", { "aria-label": "Progress" });
  const stop = button("Stop", () => python.stop(), { class: "lab-stop" });
  const busy = make("div", { class: "lab-busy" }, make("span", {}), bar, stop);
  busy.hidden = true;

  function progress(what, { done = 0, of = 0 } = {}) {
    busy.hidden = !what;
    root.setAttribute("aria-busy", String(Boolean(what)));
    busy.firstChild.textContent = what;
    if (of) Object.assign(bar, { max: of, value: done });
    else bar.removeAttribute("value");
  }
  const say = (...what) => { status.classList.remove("lab-heard"); status.replaceChildren(...what); };
  /** Announce what is seen elsewhere. */
  const announce = text => { say(text); status.classList.add("lab-heard"); };

  /** Do what takes a while; show what is wrong in `place`. @param {HTMLElement} place @param {() => Promise<void>} work */
  async function attempt(place, work) {
    const then = texts;
    try {
      await work();
    } catch (problem) {
      if (!(problem instanceof Told)) throw problem;
      if (then !== texts) return;
      place.replaceChildren(wrongs(problem.answer));
      say(problem.message.split("\n")[0]);
    }
  }

  /** Show mistakes: where, what, the line with the place pointed out, what to do. @param {Answer} answer */
  function wrongs(answer) {
    const all = answer.mistakes || [answer.error || answer];
    const box = make("div", { class: "lab-wrong" });
    if (all.length > 1) box.append(make("p", {}, make("strong", {}, `${all.length} mistakes`), " that iptables-restore would find, too:"));
    for (const one of all) {
      const [first, ...rest] = one.text.split("\n");
      box.append(make("p", {}, one.in ? make("span", { class: "lab-in" }, one.in) : null, first));
      if (rest.length) box.append(make("pre", { tabindex: "0", "aria-label": "The line" }, rest.join("\n")));
    }
    return box;
  }

  // ── What is pasted ─────────────────────────────────────────────────────────────────

  const paper = make("textarea", { class: "lab-paper", rows: "6", spellcheck: "false", autocapitalize: "off", autocomplete: "off", "aria-label": "What iptables-save prints, and what else you know of the host",
    placeholder: "Paste here what  iptables-save  prints on your node.\n\nOptional, in any order, together or one by one:\nip -j addr · ip -j route · sysctl -a · ipset save · ipvsadm -Sn\nnft -j list ruleset · ip6tables-save · conntrack -L\nkubectl get services,endpointslices -A -o yaml" });
  const file = make("input", { type: "file", multiple: true, class: "lab-file", tabindex: "-1", "aria-hidden": "true" });
  const examples = make("select", { "aria-label": "An example of the book", onchange: () => { opens.disabled = !examples.value; } }, make("option", { value: "" }, "Examples …"),
    ...Object.entries(EXAMPLES).map(([group, members]) => make("optgroup", { label: group }, ...members.map(([text, value]) => make("option", { value }, text)))));
  function further(names) {
    const listed = new Set(Object.values(EXAMPLES).flat().map(([, name]) => name));
    const rest = names.filter(name => !listed.has(name));
    if (!rest.length) return;
    EXAMPLES["Further ones"] = rest.map(name => [name, name]);
    examples.append(make("optgroup", { label: "Further ones" }, ...rest.map(name => make("option", { value: name }, name))));
  }
  const opens = button("Open", () => example(examples.value), { disabled: true });
  const sheets = make("ul", { class: "lab-sheets", "aria-label": "What was read" });
  const trouble = make("div", { class: "lab-trouble" });
  const intake = make("div", { class: "lab-intake", role: "region", "aria-label": "Your host" },
    paper, file,
    make("div", { class: "lab-row" }, button("Read it", () => add(paper.value), { class: "lab-main" }), button("Choose files …", () => file.click()),
      make("span", { class: "lab-example" }, examples, opens)),
    make("p", { class: "lab-promise" }, "Nothing of it leaves this page: Python runs here, in your browser."),
    sheets, trouble);
  let edited = ""; // the kind of a text that is being edited
  let source = ""; // the example that all of this is

  paper.addEventListener("paste", event => {
    const text = event.clipboardData?.getData("text/plain") || "";
    if (!text.trim() || paper.value.trim()) return; // an edit of what stands there
    event.preventDefault(); // a field of five million letters would hold up the page
    add(text);
  });
  paper.addEventListener("keydown", event => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) add(paper.value);
  });
  file.addEventListener("change", () => files(file.files).then(() => { file.value = ""; }));
  root.addEventListener("dragover", event => { event.preventDefault(); root.classList.add("lab-over"); });
  root.addEventListener("dragleave", () => root.classList.remove("lab-over"));
  root.addEventListener("drop", event => {
    event.preventDefault();
    root.classList.remove("lab-over");
    const text = event.dataTransfer.getData("text/plain");
    if (event.dataTransfer.files.length) files(event.dataTransfer.files);
    else if (text) add(text);
  });

  async function files(list) {
    const messages = [];
    for (const one of list) {
      if (one.size > LONGEST) return trouble.replaceChildren(wrongs({ text: `${one.name} has more than ${number(LONGEST)} bytes: that is more than a browser can hold.` }));
      messages.push({ do: "add", name: one.name, text: await one.text() });
    }
    await lay(messages);
  }

  function add(text, name = "") {
    if (!text.trim()) return say("There is nothing to read yet: paste what iptables-save prints, or open an example.");
    return lay([{ do: "add", name, text }]);
  }

  function example(name) {
    return lay([{ do: "example", name }], name);
  }

  /** Lay texts on the bench, then look at all of it. */
  async function lay(messages, from = "") {
    texts += 1;
    const then = texts;
    await attempt(trouble, async () => {
      trouble.replaceChildren();
      let laid = null;
      for (const message of messages) {
        laid = await talk(message, "Reading …");
        given = message.do === "example" ? [message] : [...given, message];
      }
      if (then !== texts) return;
      source = from;
      paper.value = edited = "";
      list(laid);
      await look(then);
    });
  }

  function list(laid) {
    sheets.replaceChildren(...laid.sheets.map(one => {
      const text = given.filter(m => m.do === "add").map(m => m.text).find(t => t.length === one.size && t.length < EDITABLE);
      return make("li", {}, make("b", {}, one.command), ` ${counted(one.lines, "line")}`, one.name && !source ? ` · ${one.name}` : "",
        text !== undefined && button("Edit", () => { paper.value = text; edited = one.kind; paper.focus(); }, { "aria-label": `Edit ${one.command}` }),
        button("×", () => take(one.kind), { "aria-label": `Remove ${one.command}`, title: "Remove" }));
    }));
    root.classList.toggle("lab-full", laid.sheets.length > 0);
    if (laid.missing.length && laid.sheets.length) sheets.append(make("li", { class: "lab-more" }, "More is known with ", ...laid.missing.flatMap((one, n) => [n ? ", " : "", code(one)])));
    if (laid.replaced?.length) say(`It replaces the output of ${laid.replaced.join(", ")} that was here.`);
  }

  async function take(kind) {
    const message = { do: "take", kind };
    texts += 1;
    await attempt(trouble, async () => {
      trouble.replaceChildren();
      list(await talk(message, "Working …"));
      given.push(message);
      source = "";
      if (sheets.querySelector("button")) await look(texts);
      else { given = []; results.hidden = true; say("Nothing is left here."); }
      paper.focus();
    });
  }

  // ── What is seen of it ─────────────────────────────────────────────────────────────

  let seen = /** @type {Answer} */ ({});
  let rules = 0;

  /** Read the texts, offer packets, ask the question of the link or the first that the rules suggest. */
  async function look(then) {
    results.hidden = true;
    const started = performance.now();
    const answer = await talk({ do: "see" }, "Reading …");
    if (then !== texts) return;
    seen = answer;
    rules = seen.tables.reduce((sum, table) => sum + table.rules, 0);
    results.hidden = false;
    for (const tab of Object.values(tabs)) tab.fresh = false;
    summary(performance.now() - started);
    offer();
    const asked = pending || (seen.proposals[0] && { line: seen.proposals[0].line, way: 0 });
    pending = null;
    show(asked ? "packet" : "chains", false);
    if (asked) await ask({ line: asked.line, way: asked.way });
    if (then !== texts || rules > MANY) return;
    await attempt(tabs.diagnoses.panel, () => diagnose());
  }

  function summary(took) {
    const writer = seen.writer[0];
    const parts = [`${counted(rules, "rule")} in ${counted(seen.tables.filter(t => t.rules).length, "table")}`];
    if (seen.connections) parts.push(counted(seen.connections, "connection"));
    if (seen.written) parts.push("written here for your Services, as kube-proxy 1.30 would");
    else if (writer) parts.push(`kube-proxy ${writer.versions.join(" or ") || "of more than one version"}, ${writer.mode} mode`);
    if (!seen.addresses) parts.push("addresses and routes are proposed from the rules");
    overview.textContent = `Read: ${parts.join(" · ")}. (${(took / 1000).toFixed(2)} s)`;
    announce(overview.textContent);
  }

  // ── Tabs ───────────────────────────────────────────────────────────────────────────

  /** @type {Record<string, {tab: any, panel: any, open: () => any, fresh: boolean}>} */
  const tabs = {};
  const line = make("div", { role: "tablist", class: "lab-tabs", "aria-label": "What to look at" });
  const overview = make("p", { class: "lab-overview" });
  const results = make("div", { class: "lab-results", role: "region", "aria-label": "What is found" }, overview, line);
  results.hidden = true;

  function tab(name, text, open) {
    const panel = make("div", { role: "tabpanel", id: `lab-${name}`, "aria-labelledby": `lab-tab-${name}`, class: "lab-panel", tabindex: "-1" });
    const head = button(text, () => show(name), { role: "tab", id: `lab-tab-${name}`, "aria-controls": `lab-${name}`, "aria-selected": "false", tabindex: "-1" });
    panel.hidden = true;
    tabs[name] = { tab: head, panel, open, fresh: false };
    line.append(head);
    results.append(panel);
    return panel;
  }

  function show(name, open = true) {
    for (const [one, { tab: head, panel }] of Object.entries(tabs)) {
      const chosen = one === name;
      head.setAttribute("aria-selected", String(chosen));
      head.tabIndex = chosen ? 0 : -1;
      panel.hidden = !chosen;
    }
    if (open && !tabs[name].fresh) {
      tabs[name].fresh = true;
      tabs[name].open();
    }
  }
  line.addEventListener("keydown", event => {
    const heads = Object.values(tabs).map(one => one.tab);
    const at = heads.indexOf(event.target), goals = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: heads.length - 1 };
    if (at < 0 || !(event.key in goals)) return;
    event.preventDefault();
    const next = heads[(goals[event.key] + heads.length) % heads.length];
    next.focus();
    next.click();
  });

  // ── A packet ───────────────────────────────────────────────────────────────────────

  const asked = tab("packet", "Send a packet", () => {});
  const form = make("form", { class: "lab-form", novalidate: true, "aria-label": "The packet", onsubmit: event => { event.preventDefault(); ask({ line: words.value }); } });
  const devices = make("datalist", { id: "lab-devices" });
  const where = select("way", [["in", "arrives by"], ["local", "this host sends it"]], { "aria-label": "How it comes" });
  const words = input("line", { class: "lab-line" });
  const fields = {
    proto: select("proto", [["tcp", "tcp"], ["udp", "udp"], ["icmp", "icmp"], ["sctp", "sctp"], ["gre", "gre"], ["esp", "esp"]]),
    src: input("src"), sport: input("sport", { inputmode: "numeric" }), dst: input("dst"), dport: input("dport", { inputmode: "numeric" }),
    interface: input("interface", { list: "lab-devices", "aria-label": "Interface" }), mark: input("mark", { placeholder: "0" }),
    state: select("state", [["new", "the first of its connection"], ["answer", "the answer to it"], ["established", "a later one, after the answer"]]),
  };
  form.append(devices,
    make("div", { class: "lab-fields" },
      make("fieldset", { class: "lab-ways" }, make("legend", {}, "It"), where, fields.interface),
      field("protocol", fields.proto),
      make("div", { class: "lab-pair" }, field("from", fields.src, "lab-wide"), field("port", fields.sport, "lab-port")),
      make("div", { class: "lab-pair" }, field("to", fields.dst, "lab-wide"), field("port", fields.dport, "lab-port"))),
    make("div", { class: "lab-row" }, field("mark", fields.mark, "lab-port"), field("follow", fields.state), field("in one line", words, "lab-grow"), button("Send", () => ask({ line: words.value }), { class: "lab-main", type: "submit" }),
      button("Copy link", link, { title: "The link carries the question, never the dump" })));
  form.querySelector(".lab-main").onclick = null;
  const proposed = make("div", { class: "lab-proposed", role: "group", "aria-label": "Packets that these rules suggest" });
  const told = make("div", { class: "lab-told" });
  asked.append(proposed, form, told);

  let wait = 0;
  form.addEventListener("input", event => {
    if (event.target === words) return;
    fields.interface.hidden = where.value === "local";
    words.value = written();
    clearTimeout(wait);
    wait = setTimeout(() => ask({ line: words.value }, true), 250);
  });

  /** The question of the form in one line; Python reads it. */
  function written() {
    const v = name => fields[name].value.trim();
    const ports = !["icmp", "gre", "esp"].includes(v("proto"));
    const end = (address, port, usual) => !ports ? v(address) : `${v(address).includes(":") ? `[${v(address)}]` : v(address)}:${v(port) || usual}`;
    return [where.value === "local" ? "local" : `in ${v("interface") || "eth0"}`, v("proto"), end("src", "sport", "40000"), end("dst", "dport", "80"),
      v("mark") && v("mark") !== "0" ? `mark ${v("mark")}` : "", v("state") === "new" ? "" : `as ${v("state")}`].filter(Boolean).join(" ");
  }

  function fill(question) {
    where.value = question.interface ? "in" : "local";
    fields.interface.hidden = !question.interface;
    for (const name of ["proto", "src", "sport", "dst", "dport", "mark", "state"]) if (fields[name] !== document.activeElement) fields[name].value = question[name];
    if (question.interface && fields.interface !== document.activeElement) fields.interface.value = question.interface;
  }

  function offer() {
    devices.replaceChildren(...seen.devices.map(value => make("option", { value })));
    if (!fields.interface.value) fields.interface.value = seen.devices.find(one => one !== "lo") || "eth0";
    proposed.replaceChildren(...seen.proposals.map(({ about, line: text }) => button(about, () => ask({ line: text }), { title: text })));
    proposed.hidden = !seen.proposals.length;
  }

  let last = 0; // which question was the last: answers to earlier ones are not shown

  /** Send a packet. @param {{line: string, way?: number}} question @param {boolean} [typing] the reader is still typing */
  async function ask({ line: text, way = 0 }, typing = false) {
    clearTimeout(wait);
    last += 1;
    const mine = last, then = texts;
    if (!typing) words.value = text;
    await attempt(told, async () => {
      const started = performance.now();
      const answer = await talk({ do: "ask", line: text, way }, "Following the packet …").catch(problem => { if (mine === last) throw problem; });
      if (!answer || mine !== last || then !== texts) return;
      if (!typing) words.value = answer.line;
      fill(answer.fields);
      tell(answer);
      remember(answer);
      if (!typing) announce(`${answer.sentence} (${((performance.now() - started) / 1000).toFixed(2)} s)`);
    });
  }

  /** Show an answer: the end in a sentence, the ways of chance, the picture, tables on demand. */
  function tell(answer) {
    const way = make("div", { class: "lab-picture" });
    const more = make("div", { class: "lab-picture" });
    const ways = answer.count > 1 ? choices(answer, more) : null;
    told.replaceChildren(
      make("p", { class: `lab-end lab-${answer.fate}` }, make("span", { "aria-hidden": "true" }, SHAPES[answer.fate] || "•"), ` ${answer.sentence}`),
      answer.note ? make("p", { class: "lab-hint" }, answer.note) : "", ways || "", way,
      make("div", { class: "lab-row" }, ...answer.tables.map(name => button(`The rules of ${name} that it met`, event => chains(event.currentTarget, name, answer.way, more))),
        answer.answers ? button("And the answer?", () => ask({ line: `${answer.line} as answer`, way: answer.way })) : "",
        answer.answers ? button("And the next packet?", () => ask({ line: `${answer.line} as established`, way: answer.way })) : ""),
      more);
    picture(way, answer.figure);
  }

  function choices(answer, more) {
    const pick = make("select", { "aria-label": "Which way", onchange: () => ask({ line: answer.line, way: Number(pick.value) }) },
      ...answer.ways.map((one, n) => make("option", { value: String(n), selected: n === answer.way }, `${one.share}: ${one.end}`)));
    return make("div", { class: "lab-row lab-chance" }, field(`Chance decides between ${number(answer.count)} ways; shown is`, pick, "lab-grow"),
      answer.count <= 40 ? button("All ways as a picture", event => chains(event.currentTarget, "ways", answer.way, more)) : "");
  }

  async function chains(pressed, table, way, place) {
    pressed.parentElement.querySelectorAll("[aria-pressed]").forEach(one => one.removeAttribute("aria-pressed"));
    pressed.setAttribute("aria-pressed", "true");
    await attempt(place, async () => picture(place, (await talk({ do: "figure", table, way }, "Drawing …")).figure));
  }

  // ── The link: it carries the question, never the dump ──────────────────────────────

  /** @type {{line: string, way: number, example: string} | null} */
  let pending = null;

  function remember({ line: text, way }) {
    const question = new URLSearchParams({ ask: text, ...(way ? { way } : {}), ...(source ? { example: source } : {}) });
    history.replaceState(null, "", `#${question}`);
  }

  function asks() {
    const found = new URLSearchParams(location.hash.slice(1));
    const text = found.get("ask");
    if (!text) return null;
    return { line: text.slice(0, 1000), way: Number(found.get("way")) || 0, example: found.get("example") || "" };
  }

  async function link() {
    const address = location.href;
    try {
      await navigator.clipboard.writeText(address);
      say("The link is copied. It carries the question, not the dump.");
    } catch {
      say(make("span", {}, "The link, which carries the question and not the dump: ", make("a", { href: address }, address)));
    }
  }

  function arrive() {
    const question = asks();
    if (!question) return;
    if (given.length) { show("packet", false); ask(question); return; }
    pending = question;
    const known = Object.values(EXAMPLES).flat().find(([, name]) => name === question.example);
    if (known) { examples.value = known[1]; opens.disabled = false; }
    say(make("span", {}, "This link asks: ", code(question.line), known ? `. Press Open for the example “${known[0]}”, or paste a dump of your own.` : ". Paste a dump, and it is answered."));
  }
  addEventListener("hashchange", arrive);

  // ── Chains ─────────────────────────────────────────────────────────────────────────

  const drawn = tab("chains", "Chains", () => tables());
  const table = make("select", { "aria-label": "Table", onchange: () => draw("") });
  const only = input("only", { class: "lab-only", "aria-label": "Draw what belongs to", placeholder: "only: a Service, a chain, an address" });
  const chart = make("div", { class: "lab-picture" });
  drawn.append(make("form", { class: "lab-row", onsubmit: event => { event.preventDefault(); draw(only.value); } }, field("table", table), field("only", only, "lab-grow"), make("button", { class: "lab-main" }, "Draw")), chart);

  function tables() {
    table.replaceChildren(...seen.tables.map(one => make("option", { value: one.id }, `${one.family} ${one.name} · ${counted(one.chains, "chain")}, ${counted(one.rules, "rule")}`)));
    const most = seen.tables.find(one => one.name === "nat" && one.rules) || seen.tables.find(one => one.rules) || seen.tables[0];
    if (!most) return chart.replaceChildren(make("p", {}, "There are no rules."));
    table.value = most.id;
    if (most.rules <= MANY) return draw("");
    return chart.replaceChildren(make("p", {}, `${counted(most.rules, "rule")}: say above what to draw, a Service’s name for example. `, button("Draw the beginning all the same", () => draw(""))));
  }

  async function draw(what) {
    if (!what) only.value = "";
    await attempt(chart, async () => {
      const answer = await talk({ do: "chains", table: table.value, only: what }, "Drawing …");
      picture(chart, answer.figure);
      say(what ? `Drawn: what belongs to ${what}.` : "Drawn. A click on a rule tells more; a click on a chain’s name folds it.");
    });
  }

  // ── Diagnoses ──────────────────────────────────────────────────────────────────────

  const found = tab("diagnoses", "Diagnoses", () => {
    if (rules <= MANY) return undefined; // they are on their way
    return found.replaceChildren(make("p", {}, `${counted(rules, "rule")}: the diagnoses may take a minute. `, button("Look", () => attempt(found, () => diagnose()), { class: "lab-main" })));
  });

  async function diagnose() {
    const then = texts;
    tabs.diagnoses.tab.textContent = "Diagnoses …";
    try {
      const mistakes = (await talk({ do: "mistakes" }, "Reading every rule …")).mistakes;
      if (then !== texts) return;
      found.replaceChildren();
      if (mistakes.length) trouble.replaceChildren(wrongs({ mistakes }));
      const answer = await talk({ do: "diagnose" }, "Looking …");
      if (then !== texts) return;
      const warnings = answer.found.filter(one => one.level === "warning").length;
      tabs.diagnoses.tab.textContent = warnings ? `Diagnoses (${number(warnings)})` : "Diagnoses";
      found.append(answer.count ? make("p", {}, `${counted(warnings, "warning")}, ${counted(answer.count - warnings, "note")}${answer.count > answer.found.length ? `; the first ${answer.found.length} are shown` : ""}.`)
        : make("p", {}, `None of the ${answer.known} faults that are known here was found.`), ...answer.found.map(finding));
    } catch (problem) {
      tabs.diagnoses.tab.textContent = "Diagnoses";
      if (!(problem instanceof Told) || then !== texts) throw problem;
      found.append(wrongs(problem.answer));
    }
  }

  function finding(one) {
    return make("article", { class: `lab-finding lab-${one.level}` },
      make("h3", {}, make("span", { class: "lab-level" }, one.level), ` ${one.name}`), make("p", {}, one.sentence),
      make("ul", { class: "lab-evidence" }, ...one.evidence.map(e => make("li", {}, e.line ? make("span", { class: "lab-where" }, `line ${e.line}`) : "", code(e.text))),
        one.more ? make("li", {}, `… and ${number(one.more)} more`) : null),
      make("p", { class: "lab-remedy" }, `→ ${one.remedy}`));
  }

  // ── Who wrote it ───────────────────────────────────────────────────────────────────

  const origin = tab("origin", "Who wrote it", () => {
    const writer = seen.writer[0];
    origin.replaceChildren(writer ? make("p", {}, make("strong", {}, `kube-proxy in ${writer.mode} mode, ${writer.versions.join(" or ") || "more than one version"}`), ". What shows it:")
      : make("p", {}, "No rule of this is kube-proxy’s."));
    if (writer) origin.append(make("ul", { class: "lab-evidence lab-clues" }, ...writer.evidence.map(e => make("li", {}, `${e.says} (${e.versions.join(", ")})`, code(e.where)))));
    if (!seen.hashes) return;
    const search = input("search", { "aria-label": "Search names", placeholder: "a Service, a hash, an address" });
    const place = make("div", {});
    const names = () => attempt(place, () => explained(search.value, place));
    origin.append(make("h3", {}, "Names behind hashes"), make("form", { class: "lab-row", onsubmit: event => { event.preventDefault(); names(); } }, field("search", search, "lab-grow"), make("button", {}, "Show")), place);
    if (seen.hashes <= MANY) names();
  });

  async function explained(search, place) {
    const answer = await talk({ do: "explain", search }, "Computing hashes …");
    place.replaceChildren(make("p", { class: "lab-hint" }, `${number(answer.known)} of ${counted(answer.of, "chain")} could be named; ${number(answer.count)} fit${answer.count > answer.names.length ? `, the first ${answer.names.length} are shown` : ""}.`),
      make("ul", { class: "lab-names" }, ...answer.names.map(([chain, text]) => make("li", {}, code(chain), ` ${text}`))));
  }

  // ── Redaction ──────────────────────────────────────────────────────────────────────

  const shared = tab("redact", "Redact", () => {
    const key = input("key", { placeholder: "empty: one is drawn", "aria-label": "Key" });
    const place = make("div", {});
    const work = () => attempt(place, () => redacted(key.value, place));
    shared.replaceChildren(make("p", {}, "Other addresses, other names, the same meaning: for a dump that you want to show to somebody."),
      make("form", { class: "lab-row", onsubmit: event => { event.preventDefault(); work(); } }, field("key", key, "lab-grow"), make("button", { class: "lab-main" }, "Redact")), place);
  });

  async function redacted(key, place) {
    const then = texts;
    const answer = await talk({ do: "redact", key }, "Exchanging addresses and names …");
    if (then !== texts) return;
    const proof = make("p", { class: "lab-proof", role: "status" }, "Sending packets through both …");
    place.replaceChildren(proof,
      make("p", { class: "lab-hint" }, "The key ", code(answer.key), " undoes it: keep it to yourself. The same key makes the same of the same."),
      answer.leftOut.length ? make("p", {}, `Not redacted yet, so not shown here: ${answer.leftOut.join(", ")}.`) : "",
      ...answer.files.flatMap(one => [
        make("h3", {}, one.command),
        one.left.length ? make("div", { class: "lab-wrong" }, make("p", {}, "Could not be exchanged, look at it yourself:"), make("ul", {}, ...one.left.map(text => make("li", {}, text)))) : "",
        make("div", { class: "lab-row" }, button("Download", () => save(one.kind, place)), button("Copy", () => copy(one.kind, place))),
        make("pre", { class: "lab-text", tabindex: "0", "aria-label": `${one.command}, redacted` }, one.text, one.size > one.text.length ? "\n… (Download has all of it)" : "")]));
    say("Redacted.");
    const kept = await talk({ do: "prove" }, "Sending packets through both …");
    if (then !== texts) return;
    proof.textContent = kept.differences ? kept.text : `Proof: ${counted(kept.packets, "packet")} sent through the original and, renamed, through this one, met the same rules and had the same end.`;
    proof.classList.toggle("lab-bad", Boolean(kept.differences));
  }

  function save(kind, place) {
    return attempt(place, async () => {
      const { text } = await talk({ do: "redacted", kind }, "Working …");
      const address = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
      make("a", { href: address, download: `redacted-${kind}` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
    });
  }

  function copy(kind, place) {
    return attempt(place, async () => {
      const { text } = await talk({ do: "redacted", kind }, "Working …");
      await navigator.clipboard.writeText(text).then(() => say("Copied."), () => say("This browser does not let a page copy; use Download."));
    });
  }

  // ── Two dumps ──────────────────────────────────────────────────────────────────────

  const compared = tab("compare", "Compare", () => {
    const second = make("textarea", { class: "lab-paper", rows: "4", spellcheck: "false", "aria-label": "A second dump", placeholder: "Paste a second dump here: of the same node later, or of another one." });
    const chosen = make("input", { type: "file", "aria-label": "A second dump as a file" });
    const place = make("div", {});
    const work = (text, name = "") => attempt(place, () => differing(text, name, place));
    second.addEventListener("paste", event => {
      const text = event.clipboardData?.getData("text/plain") || "";
      if (!text.trim() || second.value.trim()) return;
      event.preventDefault();
      if (text.length < EDITABLE) second.value = text;
      work(text);
    });
    chosen.addEventListener("change", async () => chosen.files[0] && work(await chosen.files[0].text(), chosen.files[0].name));
    compared.replaceChildren(make("p", {}, "What is above is before, this is after."), second, make("div", { class: "lab-row" }, button("Compare", () => work(second.value), { class: "lab-main" }), chosen), place);
  });

  async function differing(text, name, place) {
    const then = texts;
    const answer = await talk({ do: "compare", text, name }, "Comparing …");
    if (then !== texts) return;
    place.replaceChildren(make("p", {}, make("strong", {}, answer.count ? counted(answer.count, "difference") : "The rules are the same"),
      `; of ${counted(answer.packets, "packet")} drawn for these rules ${answer.others ? `${number(answer.others)} ${answer.others === 1 ? "ends" : "end"} otherwise` : "none ends otherwise"}.`));
    if (answer.services.length) place.append(make("h3", {}, "Services"), ...answer.services.map(text =>
      make("p", { class: `lab-change ${{ "-": "lab-removed", "+": "lab-added" }[text[0]] || "lab-policy"}` }, code(text))));
    else if (answer.places) place.append(make("p", {}, "Every Service answers alike, from outside and from the node: at the same places, by the same endpoints."));
    if (answer.asked < answer.places) place.append(make("p", {}, `Of ${number(answer.places)} places where Services answer ${number(answer.asked)} were asked about.`));
    let above = "";
    for (const one of answer.changes) {
      if (one.where !== above) place.append(make("h3", {}, above = one.where));
      place.append(make("p", { class: `lab-change lab-${one.kind}` }, code(one.text), one.line ? make("span", { class: "lab-where" }, `line ${one.line}`) : ""));
    }
    if (answer.noticed.length) place.append(make("h3", {}, "Packets that notice"), make("ul", { class: "lab-evidence" },
      ...answer.noticed.map(one => make("li", {}, code(one.line), ` ${one.before} → ${one.after}`))));
    say("Compared.");
  }

  root.replaceChildren(intake, busy, status, results);
  root.classList.add("lab-live");
  addEventListener("beforeunload", event => { if (working && rules > MANY) event.preventDefault(); });
  arrive();
})();
