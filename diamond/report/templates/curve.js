"use strict";
// Curves that tell their values. A legend entry hides its line, a click seeks the player of the
// game, and a line stands at the time step that the player shows.
(() => {
  const setUp = (root, data) => {
    const svg = root.querySelector("svg");
    const [now, hover] = ["now", "hover"].map((name) => svg.querySelector(`.${name}`));
    const told = root.querySelector("output");
    const values = [...root.querySelectorAll(".legend .value")];
    let shown = null; // the time step of the player

    const xOf = (step) => {
      const { left, right, horizon, logarithmic } = data;
      const share = logarithmic ? Math.log(step) / Math.log(horizon) : (step - 1) / (horizon - 1);
      return left + share * (right - left);
    };
    const at = (line, step) => {
      line.setAttribute("visibility", step === null ? "hidden" : "visible");
      if (step === null) return;
      for (const end of ["x1", "x2"]) line.setAttribute(end, xOf(step));
    };
    const nearest = (step) => {
      let best = 0;
      for (const [place, one] of data.steps.entries()) {
        if (Math.abs(one - step) < Math.abs(data.steps[best] - step)) best = place;
      }
      return best;
    };
    const number = (value) => value.toFixed(data.places);
    const tell = (step) => {
      const place = step === null ? null : nearest(step);
      told.textContent = place === null ? "" : `Values at t = ${data.steps[place]}.`;
      for (const [index, series] of data.series.entries()) {
        const mean = place === null ? null : series.mean[place] ?? null;
        const [lo, hi] = [series.lo?.[place] ?? null, series.hi?.[place] ?? null];
        const bounds = lo === null || hi === null ? "" : ` (${number(lo)} to ${number(hi)})`;
        values[index].textContent = mean === null ? "" : number(mean) + bounds;
      }
    };
    const stepAt = (event) => {
      const inverse = svg.getScreenCTM().inverse();
      const { x } = new DOMPoint(event.clientX, event.clientY).matrixTransform(inverse);
      const share = Math.max(0, Math.min(1, (x - data.left) / (data.right - data.left)));
      const step = data.logarithmic ? data.horizon ** share : 1 + share * (data.horizon - 1);
      return data.steps[nearest(step)];
    };

    svg.addEventListener("pointermove", (event) => {
      at(hover, stepAt(event));
      tell(stepAt(event));
    });
    svg.addEventListener("pointerleave", () => {
      at(hover, null);
      tell(shown);
    });
    svg.addEventListener("click", (event) => {
      const detail = { game: data.game, step: stepAt(event) };
      document.dispatchEvent(new CustomEvent("diamond-seek", { detail }));
    });
    document.addEventListener("diamond-step", (event) => {
      if (event.detail.game !== data.game) return;
      shown = event.detail.step;
      at(now, shown);
      tell(shown);
    });
    for (const [index, entry] of [...root.querySelectorAll(".legend li")].entries()) {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.append(...entry.childNodes);
      entry.append(button);
      button.addEventListener("click", () => {
        const hidden = svg.querySelector(`[data-arm="${index}"]`).classList.toggle("off");
        button.setAttribute("aria-pressed", String(!hidden));
      });
    }
  };

  for (const root of document.querySelectorAll(".plot")) {
    setUp(root, JSON.parse(document.getElementById(root.dataset.source).textContent));
  }
})();
