
// ── The tail of the anywidget's module: nb_lib/widget.py puts it behind diagram.js ──────
// An editor of the packet above the figure; Python traces each edit anew.

/** @param {{model: any, el: HTMLElement}} host */
function render({ model, el }) {
  const form = document.createElement("form"), said = document.createElement("p"), place = document.createElement("div");
  form.className = "nf-editor";
  said.className = "nf-editor-said";
  said.setAttribute("role", "status");
  el.classList.add("nf-widget");
  el.replaceChildren(form, said, place);
  form.addEventListener("submit", event => event.preventDefault());

  let asked = 0, wait = 0, slow = 0;
  const choice = { proto: ["tcp", "udp", "icmp"] };
  const names = { proto: "protocol", src: "from", dst: "to", interface: "arrives on (empty: sent here)" };
  const fields = { ...model.get("fields") };

  function add(name, value, options) {
    const label = document.createElement("label"), text = document.createElement("span");
    const control = document.createElement(options ? "select" : "input");
    text.textContent = names[name] || name.replaceAll("_", " ");
    control.name = name;
    if (options) control.append(...options.map(one => new Option(one || "(none)", one, false, one === value)));
    else if (typeof value === "boolean") { control.type = "checkbox"; control.checked = value; }
    else { control.type = "text"; control.value = value; control.spellcheck = false; control.autocomplete = "off"; }
    label.append(text, control);
    form.append(label);
  }
  for (const [name, value] of Object.entries(fields)) {
    const options = model.get("switches")[name];
    add(name, value, choice[name] || (Array.isArray(options) ? options : null));
  }

  function edit() {
    clearTimeout(wait);
    wait = setTimeout(() => {
      for (const control of form.elements) fields[control.name] = control.type === "checkbox" ? control.checked : control.value;
      asked += 1;
      model.set("fields", { ...fields, asked });
      model.save_changes();
      clearTimeout(slow);
      slow = setTimeout(() => { place.setAttribute("aria-busy", "true"); said.textContent = "Working…"; }, 100);
    }, 60);
  }
  form.addEventListener("input", edit);

  let api = null;
  function draw() {
    const step = api && api.stepping() ? Number(place.querySelector("figure").dataset.step) : -1;
    if (api) api.close();
    place.innerHTML = model.get("html");
    const figure = place.querySelector("figure.nf-figure");
    api = figure && globalThis.nfDiagram.upgrade(figure, { onStep: n => { model.set("step", n); model.save_changes(); } });
    if (api && step >= 0) api.show(step, false);
  }
  function answered() {
    clearTimeout(slow);
    place.removeAttribute("aria-busy");
    said.textContent = model.get("error");
    said.classList.toggle("nf-wrong", Boolean(model.get("error")));
    el.dataset.answered = model.get("answered");
  }
  function toStep() { if (api && model.get("step") >= 0) api.show(model.get("step"), false); }
  model.on("change:html", draw);
  model.on("change:answered", answered);
  model.on("change:error", answered);
  model.on("change:step", toStep);
  draw();
  return () => {
    clearTimeout(wait);
    clearTimeout(slow);
    model.off("change:html", draw);
    model.off("change:answered", answered);
    model.off("change:error", answered);
    model.off("change:step", toStep);
    if (api) api.close();
  };
}
export default { render };
