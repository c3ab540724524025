// Live views, copying, local times. Everything else works without it.
(() => {
  "use strict";
  const REFRESH_MS = 1000, AGO_MS = 15000, RETRY_MS = 10000;
  const local = (time) => { time.title = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" }); };
  const ago = (time) => {
    const s = Math.round((Date.now() - new Date(time.dateTime)) / 1000);
    if (s < 0 || s >= 86400 * 7) return;
    time.textContent = s < 5 ? "just now" : s < 60 ? s + " s ago" : s < 3600 ? Math.floor(s / 60) + " min ago"
      : s < 86400 ? Math.floor(s / 3600) + " h ago" : Math.floor(s / 86400) + " d ago";
  };
  const dress = (root) => {
    root.querySelectorAll("time").forEach(local);
    root.querySelectorAll("time.ago").forEach(ago);
    root.querySelectorAll(".tree .row[data-k], .tree details[data-k]").forEach((row) => {
      if (row.querySelector(":scope > .cp") || row.parentElement.classList.contains("node") || row.closest("[data-none]")) return;
      const button = document.createElement("button");
      button.type = "button"; button.className = "cp"; button.textContent = "copy path"; button.tabIndex = -1;
      if (row.tagName !== "DETAILS") { row.append(button); return; }
      // Beside the part that folds, not within: a button within a button can be reached by neither name.
      const node = document.createElement("div");
      node.className = "node"; row.replaceWith(node); node.append(row, button);
    });
    root.querySelectorAll(".tree").forEach((tree) => { const first = tree.querySelector(".cp"); if (first) first.tabIndex = 0; });
    root.querySelectorAll("[data-js]").forEach((node) => { node.hidden = false; });
  };

  // A path as conditions write it: payload.pull_request.labels[0].name
  const path = (node) => {
    const keys = [];
    for (let at = node; at && !at.classList.contains("tree"); at = at.parentElement) {
      if (at.dataset && at.dataset.k !== undefined) keys.unshift(at.dataset.k);
    }
    const root = node.closest(".tree").dataset.root || "payload";
    return root + keys.map((key) => key.startsWith("[") ? key : "." + key).join("");
  };
  const say = (text) => { const live = document.getElementById("said"); if (live) live.textContent = text; };
  const copied = async (button, text) => {
    const before = button.textContent;
    try { await navigator.clipboard.writeText(text); } catch (error) { button.textContent = text; say(text); return; } // to be marked by hand
    button.textContent = "copied"; say("Copied " + text);
    setTimeout(() => { button.textContent = before; }, 1200);
  };
  const target = (button) => button.parentElement.classList.contains("node") ? button.previousElementSibling : button.parentElement;
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.classList.contains("cp")) { event.preventDefault(); copied(button, path(target(button))); }
    else if (button.dataset.copy !== undefined) copied(button, button.dataset.copy);
  });
  // One stop of the Tab key per tree; the arrows go from value to value, Enter copies the path of the one that is reached.
  document.addEventListener("focusin", (event) => {
    if (!event.target.classList.contains("cp")) return;
    const name = path(target(event.target));
    event.target.title = name; event.target.setAttribute("aria-label", "copy path " + name);
    event.target.closest(".tree").querySelectorAll('.cp[tabindex="0"]').forEach((other) => { other.tabIndex = -1; });
    event.target.tabIndex = 0;
  });
  document.addEventListener("keydown", (event) => {
    const tree = event.target.closest(".tree");
    if (!tree || (event.key !== "ArrowDown" && event.key !== "ArrowUp")) return;
    // By where they stand, for the button of a part that folds comes after what is in it.
    const top = (node) => node.getBoundingClientRect().top;
    const here = top(event.target), near = 8, folds = event.target.tagName === "SUMMARY";
    const stops = Array.from(tree.querySelectorAll(".cp")).filter((button) => button.offsetParent !== null && button !== event.target)
      .map((button) => [top(button), button]).sort((one, other) => one[0] - other[0]);
    const found = event.key === "ArrowUp" ? stops.filter(([at]) => at < here - near).pop()
      : stops.find(([at]) => at > here + near || (folds && Math.abs(at - here) <= near));
    const next = found && found[1];
    if (next) { event.preventDefault(); next.focus(); }
  });

  // Live regions: on news the page is fetched again and the regions that changed take its parts.
  let due = null, last = 0, kept = false;
  const refresh = async () => {
    due = null; kept = false; last = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, credentials: "same-origin" });
      if (answer.redirected && new URL(answer.url).pathname === "/login") { leave(); return; }
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.querySelectorAll("[data-live]").forEach((old) => {
        const next = fresh.getElementById(old.id);
        if (!next || next.outerHTML === old.dataset.was) return;
        const known = new Set(Array.from(old.querySelectorAll("[data-id]"), (row) => row.dataset.id));
        const open = new Set(Array.from(old.querySelectorAll("details[open][id]"), (part) => part.id));
        // Nobody loses the place that they are at, or the text that they mark; it is caught up when they leave it.
        const marked = getSelection();
        if (old.contains(document.activeElement) || (!marked.isCollapsed && marked.containsNode(old, true))) { kept = true; return; }
        const was = next.outerHTML;
        next.querySelectorAll("[data-id]").forEach((row) => { if (known.size && !known.has(row.dataset.id)) row.classList.add("fresh"); });
        next.querySelectorAll("details[id]").forEach((part) => { if (open.has(part.id)) part.open = true; });
        dress(next); next.dataset.was = was; old.replaceWith(next);
      });
    } catch (error) { /* the agent is gone for a moment; the stream comes back by itself */ }
  };
  const news = () => { if (due === null) due = setTimeout(refresh, Math.max(120, last + REFRESH_MS - Date.now())); };
  document.addEventListener("focusout", () => { if (kept) news(); });
  document.addEventListener("selectionchange", () => { if (kept && getSelection().isCollapsed) news(); });
  // Only a page that is seen holds a stream: a browser has six connections for a host, and people have more tabs.
  const mark = document.getElementById("live");
  const shown = (text, tone) => { if (mark) { mark.textContent = text; mark.className = "st " + tone; } };
  let source = null, again = null, missed = false, left = false;
  const close = () => { clearTimeout(again); if (source) source.close(); source = null; missed = true; };
  const open = () => {
    if (source || left || document.hidden) return;
    source = new EventSource("/api/stream");
    ["event", "notice", "run", "approval", "reset"].forEach((kind) => source.addEventListener(kind, news));
    source.addEventListener("open", () => { shown("live", "good"); if (missed) news(); missed = false; });
    source.addEventListener("error", () => {
      shown("reconnecting", "warn"); missed = true;
      // Refused: all places are taken, or the session has ended, as a restart of the agent ends it; the page itself tells which.
      if (source && source.readyState === EventSource.CLOSED) { close(); again = setTimeout(open, RETRY_MS); news(); }
    });
  };
  // What is shown stays, with the time from which on it may be wrong, and the way back in.
  const leave = () => {
    if (left) return;
    left = true; close(); shown("signed out", "bad");
    const told = document.createElement("p"), link = document.createElement("a");
    told.className = "note warn flash"; told.setAttribute("role", "alert");
    link.href = "/login?next=" + encodeURIComponent(location.pathname + location.search); link.textContent = "Log in";
    told.append("You were signed out. What you see is of before " + new Date().toLocaleTimeString() + ". ", link);
    document.getElementById("main").prepend(told);
  };
  const stream = () => {
    if (!document.querySelector("[data-live]") || !window.EventSource) return;
    window.addEventListener("pagehide", close);
    window.addEventListener("pageshow", open);
    document.addEventListener("visibilitychange", () => { if (document.hidden) close(); else open(); });
    open();
  };
  document.querySelectorAll("form.auto select").forEach((select) => select.addEventListener("change", () => select.form.requestSubmit()));
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) {
      const search = document.querySelector("input[type=search]");
      if (search) { event.preventDefault(); search.focus(); }
    }
  });
  // On a narrow screen the navigation scrolls; the page that is open must be in sight.
  const here = document.querySelector("nav [aria-current]");
  if (here) here.scrollIntoView({ block: "nearest", inline: "center" });
  dress(document); stream();
  // What was just done is told once, not at every reload.
  const address = new URL(location.href);
  if (address.searchParams.has("done")) { address.searchParams.delete("done"); history.replaceState(history.state, "", address); }
  setInterval(() => document.querySelectorAll("time.ago").forEach(ago), AGO_MS);
})();
