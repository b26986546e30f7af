
// ── The tail of the anywidget's module: nb_lib/widget.py puts it behind terminal.js ─────
// A question and its answer are messages with one number.

/** @param {{model: any, el: HTMLElement}} host */
function render({ model, el }) {
  const waiting = new Map();
  let asked = 0;
  const ask = message => new Promise(done => {
    asked += 1;
    waiting.set(asked, done);
    model.send({ ...message, id: asked });
  });
  const heard = answer => {
    const done = waiting.get(answer.id);
    waiting.delete(answer.id);
    if (done) done(answer);
  };
  model.on("msg:custom", heard);
  const close = globalThis.nfTerminal.mount(el, ask);
  return () => { model.off("msg:custom", heard); close(); };
}
export default { render };
