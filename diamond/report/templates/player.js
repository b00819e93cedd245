"use strict";
// The synchronised player. Its data is a JSON block beside it; frames are decoded from sheets
// in which a row is a time step. It tells the curves of its game the time step that it shows, and
// goes where a click in them asks. Nothing is loaded from outside.
(() => {
  const decoded = new Map();

  // Pixels (RGBA, a row a time step) of a sheet; decoded once.
  const pixels = (uri, width, height) => {
    if (!decoded.has(uri)) {
      decoded.set(uri, new Promise((resolve, reject) => {
        const image = new Image();
        image.onload = () => {
          const canvas = document.createElement("canvas");
          canvas.width = width;
          canvas.height = height;
          const context = canvas.getContext("2d", { willReadFrequently: true });
          context.drawImage(image, 0, 0);
          resolve(context.getImageData(0, 0, width, height).data);
        };
        image.onerror = () => reject(new Error("a sheet of frames could not be decoded"));
        image.src = uri;
      }));
    }
    return decoded.get(uri);
  };

  const setUp = (root, data) => {
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    const [startBox, aBox, bBox, speedBox] = ["start", "a", "b", "speed"].map(part);
    const [scrub, playButton, stepText, marksBox, marksText] =
      ["scrub", "play", "step", "marks", "marks-text"].map(part);
    const size = data.height * data.width;
    const numSteps = data.steps.length;
    const contexts = {};
    for (const canvas of root.querySelectorAll("canvas")) {
      canvas.width = data.width;
      canvas.height = data.height;
      contexts[canvas.dataset.view] = canvas.getContext("2d");
    }
    let index = 0;
    let sheets = null;
    let timer = null;

    const options = (box, names, chosen) => {
      for (const [value, name] of names.entries()) box.add(new Option(name, value));
      box.value = String(chosen);
    };
    const start = () => data.starts[Number(startBox.value)];
    const tracks = () => start().tracks;
    const arms = data.starts[0].tracks.slice(1).map((track) => track.name);
    options(startBox, data.starts.map((one) => `start ${one.start}`), 0);
    options(aBox, arms, arms.indexOf(data.shown[0]));
    options(bBox, arms, arms.indexOf(data.shown[1]));
    scrub.max = String(numSteps - 1);

    const frame = (sheet) => sheet.subarray(index * size * 4, (index + 1) * size * 4);
    const put = (view, values) =>
      contexts[view].putImageData(new ImageData(new Uint8ClampedArray(values), data.width), 0, 0);
    const errorOf = (real, imagined) => {
      const values = new Uint8ClampedArray(real.length);
      for (let i = 0; i < real.length; i += 1) {
        values[i] = i % 4 === 3 ? 255 : data.factor * Math.abs(real[i] - imagined[i]);
      }
      return values;
    };
    const told = (track) => {
      const value = track.l1[index];
      return value === undefined ? "not scored" : `L1 ${value.toFixed(4)}`;
    };
    const happens = () => {
      const action = start().actions[index];
      const reward = start().rewards[index];
      part("action").textContent = action === undefined ? "" : `action ${action.replace(/^action /, "")}`;
      part("reward").textContent = reward === undefined ? "" : `reward ${reward}`;
      part("reward").classList.toggle("event", Boolean(reward));
    };

    const draw = () => {
      scrub.value = String(index);
      const step = data.steps[index];
      const ended = step > start().length ? ", the real episode has ended" : "";
      stepText.textContent = `t = ${step} of ${data.horizon}${ended}`;
      scrub.setAttribute("aria-valuetext", stepText.textContent);
      happens();
      document.dispatchEvent(new CustomEvent("diamond-step", { detail: { game: data.game, step } }));
      if (sheets === null) return;
      const frames = sheets.map(frame);
      for (const [place, values] of frames.entries()) {
        put(`track-${place}`, values);
        if (place > 0) part(`l1-${place}`).textContent = told(tracks()[place]);
      }
      put("error-a", errorOf(frames[0], frames[Number(aBox.value) + 1]));
      put("error-b", errorOf(frames[0], frames[Number(bBox.value) + 1]));
    };

    const showMarks = () => {
      marksBox.replaceChildren();
      const lines = [];
      for (const [name, box] of [["A", aBox], ["B", bBox]]) {
        const track = tracks()[Number(box.value) + 1];
        for (const mark of track.marks) {
          const tick = document.createElement("button");
          tick.type = "button";
          tick.className = `mark mark-${name.toLowerCase()}`;
          const share = numSteps === 1 ? 0 : (mark.step - 1) / (data.steps[numSteps - 1] - 1 || 1);
          tick.textContent = name;
          tick.style.left = `${100 * Math.min(1, share)}%`;
          tick.title = `${name}: ${mark.why}, first at t=${mark.step}`;
          tick.setAttribute("aria-label", `go to t=${mark.step}. ${tick.title}`);
          tick.addEventListener("click", () => {
            const at = data.steps.findIndex((step) => step >= mark.step);
            go(at < 0 ? numSteps - 1 : at);
          });
          marksBox.append(tick);
        }
        const told = track.marks.map((mark) => `${mark.why} first at t=${mark.step}`).join("; ");
        lines.push(`${name} (${track.name}): ${told || "no sign of divergence"}`);
      }
      marksText.textContent = lines.join(". ") + ".";
    };

    const load = async () => {
      const chosen = startBox.value;
      const found = await Promise.all(tracks().map((track) => pixels(track.sheet, size, numSteps)));
      if (chosen !== startBox.value) return; // another start was chosen meanwhile
      sheets = found;
      showMarks();
      draw();
    };

    const go = (to) => {
      index = Math.max(0, Math.min(numSteps - 1, to));
      draw();
    };
    const pause = () => {
      clearInterval(timer);
      timer = null;
      playButton.textContent = "Play";
      playButton.setAttribute("aria-pressed", "false");
    };
    const play = () => {
      if (index === numSteps - 1) go(0);
      clearInterval(timer);
      timer = setInterval(() => {
        go(index + 1);
        if (index === numSteps - 1) pause();
      }, 1000 / Number(speedBox.value));
      playButton.textContent = "Pause";
      playButton.setAttribute("aria-pressed", "true");
    };
    const toggle = () => (timer === null ? play() : pause());
    const step = (by) => { pause(); go(index + by); };

    playButton.addEventListener("click", toggle);
    part("back").addEventListener("click", () => step(-1));
    part("forwards").addEventListener("click", () => step(1));
    scrub.addEventListener("input", () => { pause(); go(Number(scrub.value)); });
    speedBox.addEventListener("change", () => { if (timer !== null) play(); });
    for (const box of [startBox, aBox, bBox]) box.addEventListener("change", load);
    document.addEventListener("diamond-seek", (event) => {
      if (event.detail.game !== data.game) return;
      pause();
      const at = data.steps.findIndex((one) => one >= event.detail.step);
      go(at < 0 ? numSteps - 1 : at);
    });
    const keys = {
      " ": toggle, k: toggle, ArrowRight: () => step(1), ArrowLeft: () => step(-1),
      Home: () => step(-numSteps), End: () => step(numSteps),
    };
    root.addEventListener("keydown", (event) => {
      const tag = event.target.tagName;
      if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
      if (tag === "SELECT" || (tag === "BUTTON" && event.key === " ")) return;
      event.preventDefault();
      keys[event.key]();
    });
    root.hidden = false;
    document.getElementById(`${root.dataset.source}-absent`).hidden = true;
    draw();
    load();
  };

  for (const root of document.querySelectorAll(".player")) {
    setUp(root, JSON.parse(document.getElementById(root.dataset.source).textContent));
  }
})();
