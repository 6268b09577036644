// This script loads the WebAssembly binary, and shows the reason if the binary does not run.
// Everything else is in that binary, wasmdemo/app, which is written in Go.
"use strict";

// The token is removed from the address before anything else runs, so that no history, bookmark or
// screenshot contains it. The binary reads it from this object.
const handover = { token: "", onToken: null };
globalThis.trivium = handover;

function takeToken() {
  const hash = location.hash.slice(1);
  if (!/^token=/.test(hash)) return;
  history.replaceState(null, "", location.pathname + location.search);
  try {
    handover.token = decodeURIComponent(hash.slice("token=".length));
  } catch {
    handover.token = hash.slice("token=".length);
  }
  if (handover.onToken) handover.onToken();
}
takeToken();
addEventListener("hashchange", takeToken);

const boot = document.getElementById("boot");

// show displays the state of loading. detail may be output of another program, so it is shown as text, never as markup.
function show(title, text, detail, bad) {
  boot.hidden = false;
  boot.classList.toggle("bad", Boolean(bad));
  const put = (id, value) => {
    const element = document.getElementById(id);
    if (element.textContent !== value) element.textContent = value;
    element.hidden = !value;
  };
  put("boot-title", title);
  put("boot-text", text);
  put("boot-detail", detail || "");
}

const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));

// built waits until the hub has built the binary. It resolves to false if there is no binary and
// none is being built.
async function built() {
  for (let waited = 0; ; waited++) {
    let build;
    try {
      const answer = await fetch("build", { cache: "no-store" });
      if (!answer.ok) throw new Error("the hub answered with status " + answer.status);
      build = await answer.json();
    } catch (problem) {
      show("The hub does not answer", "The page tries again every two seconds.", String(problem.message), true);
      await sleep(2000);
      continue;
    }
    switch (build.state) {
      case "ready":
        return true;
      case "building":
        show("The WebAssembly binary is being built", "Go compiles it to WebAssembly in the background. The first build takes about a minute. This page starts by itself" + (waited ? ": " + Math.round(waited / 2) + " s so far." : "."));
        await sleep(500);
        continue;
      case "failed":
        show("The WebAssembly binary did not build", "The hub itself works. Correct the error below, and restart the hub:", build.detail, true);
        return false;
      default:
        show("This hub was built without the WebAssembly binary", "The hub itself works. Run it from a checkout (go run ./cmd/trivium serve), or build the binary in: go generate ./wasmdemo, then go build -tags embeddemo ./cmd/trivium.", build.detail, true);
        return false;
    }
  }
}

// script loads a JavaScript file. wasm_exec.js must come from the toolchain that built the binary.
function script(src) {
  return new Promise((loaded, failed) => {
    const element = document.createElement("script");
    element.src = src;
    element.onload = loaded;
    element.onerror = () => failed(new Error(src + " did not load"));
    document.head.append(element);
  });
}

async function start() {
  if (typeof WebAssembly !== "object" || typeof WebAssembly.instantiateStreaming !== "function") {
    show("This browser has no WebAssembly", "The page needs WebAssembly. All browsers since 2021 have it, but a setting or a lockdown mode may switch it off. The hub itself does not need it: EventSource, WebSocket and fetch read events without it.", "", true);
    return;
  }
  if (!(await built())) return;
  show("Loading the WebAssembly binary", "About a megabyte.");
  try {
    await script("wasm_exec.js");
    const go = new Go();
    const program = await WebAssembly.instantiateStreaming(fetch("app.wasm", { cache: "no-cache" }), go.importObject);
    const ended = go.run(program.instance);
    boot.hidden = true;
    await ended;
    throw new Error("the WebAssembly binary has ended");
  } catch (problem) {
    document.getElementById("main").inert = true;
    show("The WebAssembly binary does not run", "Reload the page to try again.", String(problem.message || problem), true);
  }
}
start();
