// Loads the page's program, and says what hinders it. Everything else is in that program, which is
// Go: see wasmdemo/app.
"use strict";

// The token leaves the address at once: before anything is waited for, and for good, so that it is
// in no history, no bookmark and no screenshot. The program takes it from here.
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

// say tells what is going on; detail is somebody else's text and shown as it is.
function say(title, text, detail, bad) {
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

// built waits until the hub has the program, and reports whether it has.
async function built() {
  for (let waited = 0; ; waited++) {
    let build;
    try {
      const answer = await fetch("build", { cache: "no-store" });
      if (!answer.ok) throw new Error("the hub answered with " + answer.status);
      build = await answer.json();
    } catch (problem) {
      say("The hub does not answer", "It is asked again every two seconds.", String(problem.message), true);
      await sleep(2000);
      continue;
    }
    switch (build.state) {
      case "ready":
        return true;
      case "building":
        say("The page’s program is being built", "Go compiles it to WebAssembly in the background; the first time takes a minute or so. This page begins by itself" + (waited ? ": " + Math.round(waited / 2) + " s so far." : "."));
        await sleep(500);
        continue;
      case "failed":
        say("The page’s program did not build", "The hub itself works. This is why; once it is mended, start the hub again:", build.detail, true);
        return false;
      default:
        say("This hub was built without the page’s program", "The hub itself works. Run it from a checkout (go run ./cmd/trivium serve), or carry the program inside: go generate ./wasmdemo, then go build -tags embeddemo ./cmd/trivium.", build.detail, true);
        return false;
    }
  }
}

// script loads the glue of the very toolchain that built the program.
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
    say("This browser has no WebAssembly", "The page’s program needs it, as browsers have had since 2021; in some it is switched off by a setting or a lockdown mode. The hub itself needs none: EventSource, WebSocket and fetch read it as they are.", "", true);
    return;
  }
  if (!(await built())) return;
  say("Loading the page’s program", "About a megabyte.");
  try {
    await script("wasm_exec.js");
    const go = new Go();
    const program = await WebAssembly.instantiateStreaming(fetch("app.wasm", { cache: "no-cache" }), go.importObject);
    const ended = go.run(program.instance);
    boot.hidden = true;
    await ended;
    throw new Error("it has ended");
  } catch (problem) {
    document.getElementById("main").inert = true;
    say("The page’s program does not run", "Reload the page to try again.", String(problem.message || problem), true);
  }
}
start();
