// @ts-check
// Python in the reader's browser, in a worker, so that the page stays alive while it runs. Everything comes
// from the book's own folder: CPython (Pyodide, from npm), nb_lib and data/ as a wheel, libraries as archives.
//
// What the page asks, each with an `id`, and what comes back under it:
//   { run: source, number }       { outputs: [...] } any number of times, then { end }: "" if the cell came
//                                 to its end, "error", or the name of a library that cannot be had here
//   { ask: message, number }      { end: "", answer }: of a terminal or a live diagram that a cell has shown
//   { module, message }           { end: "", answer }: what the module's function `answer` says, JSON in and
//                                 out; what it tells meanwhile comes as { outputs: [...] }
//   { restart: true }             { end: "" }: the names of all cells are forgotten
// If Python cannot be started, each is answered by { failed: why }.
import { loadPyodide } from "../vendor/pyodide/pyodide.mjs";

const PYODIDE = new URL("../vendor/pyodide/", import.meta.url).href;
const SHELF = new URL("../vendor/python/", import.meta.url).href;
const WHEEL = "nb_lib.whl";
const HOME = "/repository"; // holds nb_lib/ and data/; chapters run in its folder book/
const BEGIN = `
import os, sys
sys.path.insert(0, "${HOME}")
os.makedirs("${HOME}/book")
os.chdir("${HOME}/book")
from nb_lib.page import begin
`;
let now = 0; // the id of the question that is being answered

/** Bring a library while an import waits for it, which a worker may do. @param {string} file */
function bring(file) {
  const request = new XMLHttpRequest();
  request.open("GET", SHELF + file, false);
  request.responseType = "arraybuffer";
  request.send();
  if (request.status !== 200) throw new Error(`${file} cannot be read: ${request.status}`);
  return new Uint8Array(request.response);
}

async function start() {
  // The wheel of a later build has the same name: the browser's copy will do only if the server says so.
  const wheel = fetch(SHELF + WHEEL, { cache: "no-cache" });
  const python = await loadPyodide({ indexURL: PYODIDE, stdin: () => null }); // no one answers input()
  const answer = await wheel;
  if (!answer.ok) throw new Error(`${WHEEL} cannot be read: ${answer.status}`);
  python.unpackArchive(await answer.arrayBuffer(), "wheel", { extractDir: HOME });
  python.runPython(BEGIN);
  const begin = python.globals.get("begin");
  const show = outputs => postMessage({ id: now, outputs: JSON.parse(outputs) });
  return { python, begin: () => begin(show, bring, HOME) };
}

const ready = start();
ready.catch(() => {}); // who asks is told
let cells = null;

async function answer(question) {
  const { python, begin } = await ready;
  now = question.id;
  if (question.interrupt) python.setInterruptBuffer(question.interrupt);
  if (question.restart || !cells) cells = begin();
  if ("run" in question) return { end: await cells.run(question.number, question.run) };
  if ("ask" in question) return { end: "", answer: JSON.parse(cells.ask(question.number, question.ask)) };
  if ("module" in question) {
    const tell = told => postMessage({ id: question.id, outputs: JSON.parse(told) });
    return { end: "", answer: JSON.parse(python.pyimport(question.module).answer(JSON.stringify(question.message), tell)) };
  }
  return { end: "" };
}

let last = Promise.resolve(); // one question after the other, also where a cell awaits something
addEventListener("message", ({ data }) => {
  last = last.then(() => answer(data)).then(
    found => postMessage({ id: data.id, ...found }),
    problem => postMessage({ id: data.id, failed: String(problem && problem.message || problem) }),
  );
});
