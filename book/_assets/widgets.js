// Loaded only on pages that hold a Jupyter widget, after require.js: every module and
// font that html-manager may ask for comes from this book's own folder.
(() => {
  const root = document.documentElement.dataset.content_root || "./";
  const vendor = new URL(`${root}_static/vendor/`, location.href).href;
  const fonts = `${vendor}widget-fonts`;
  requirejs.config({
    waitSeconds: 20,
    paths: {
      anywidget: `${vendor}anywidget`,
      // These modules come along in embed-amd.js; from their paths they only work out
      // where their icon fonts lie.
      "@jupyter-widgets": fonts,
      "@jupyter-widgets/html-manager/dist": fonts,
    },
  });
})();

// Widgets set their labels' formulas by the interface of MathJax 2; the book has MathJax 3.
(() => {
  const Hub = {
    Queue: async ([, , element]) => {
      await window.MathJax.startup?.promise;
      window.MathJax.typesetPromise?.([element]);
    },
  };
  let mathjax; // first its configuration, then MathJax itself
  const given = window.MathJax;
  Object.defineProperty(window, "MathJax", {
    get: () => mathjax,
    set: value => { mathjax = Object.assign(value, { Hub }); },
  });
  if (given) window.MathJax = given;
})();
