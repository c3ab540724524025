// The dashboard as a person uses it. Each check waits for what it wants to see, never for a time.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const { AGENT, BROWSER, OUT, PICTURES } = process.env;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const { api: base, webhooks } = JSON.parse(readFileSync("data/agent.json", "utf8"));
const token = readFileSync("data/admin_token", "utf8").trim();
const WAIT_MS = 20_000;

const browser = await chromium.launch({
  executablePath: BROWSER,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
const send = (provider, event, ...more) => execFileSync(AGENT, ["--config", "config.yaml", "webhook", "send", provider, event, ...more], { encoding: "utf8" });
const done = (what) => console.log("ok  " + what);

/** A browser window of its own; whatever the page complains about is a fault of the page. */
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, colorScheme: "light", ...options });
  context.setDefaultTimeout(WAIT_MS);
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (line) => { if (line.type() === "error" && !/status of 4/.test(line.text())) faults.push(line.text()); });
  page.on("request", (request) => { if (!request.url().startsWith(base)) faults.push("asks " + request.url()); });
  page.faults = faults;
  return page;
}

async function login(page) {
  await page.goto(base + "/");
  await page.fill("#token", token);
  await page.click("button");
  await page.waitForURL(base + "/");
}

async function audit(page, path) {
  await page.goto(base + path);
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations.filter((fault) => ["serious", "critical"].includes(fault.impact));
  const told = serious.map((fault) => `${path}: ${fault.id}: ${fault.nodes.map((node) => node.html).slice(0, 3).join(" | ")}`);
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (over > 0) told.push(`${path} is ${over} px too wide`);
  return told;
}

const page = await open();

// Login
await page.goto(base + "/events?handler=github");
assert.match(page.url(), /\/login\?next=/);
await page.fill("#token", "wrong");
await page.click("button");
await page.getByText("That is not the token.").waitFor();
await page.fill("#token", token);
await page.click("button");
await page.waitForURL(base + "/events?handler=github");
done("a wrong token is refused, the right one leads to the page that was asked for");

// Live
await page.goto(base + "/");
await page.getByText("No events yet").waitFor();
await page.locator("#live.good").waitFor();
await page.evaluate(() => { window.sameDocument = true; });
send("github", "pull_request.opened", "--set", 'payload.pull_request.title=Fix the "checkout" race <b>now</b>');
await page.locator("#feed").getByText('Fix the "checkout" race <b>now</b>').waitFor();
await page.locator("#feed .st.good", { hasText: "processed" }).first().waitFor();
assert.equal(await page.evaluate(() => window.sameDocument), true, "the page was not loaded again");
done("an event appears on the open page");

// A gate
send("github", "release.published");
const ask = page.getByRole("link", { name: "Approve release-deploy, step deploy?" });
await ask.waitFor();
await page.locator("#nav-pending .count").waitFor();
await ask.click();
await page.locator("mark", { hasText: "v2.4.0" }).first().waitFor();
const approval = new URL(page.url()).pathname;
assert.deepEqual(await audit(page, approval), []);
await page.screenshot({ path: `${OUT}/approval.png` });
await page.fill("#reason", "looks right");
await page.getByRole("button", { name: "Approve" }).click();
await page.waitForURL(/\/runs\/run_/);
await page.getByText("Approved. The step runs now.").waitFor();
await page.locator(".sub .st.good", { hasText: "success" }).waitFor();
const run = new URL(page.url()).pathname;
await page.goto(base + approval);
await page.getByText("looks right").first().waitFor();
done("a gate is approved, and its run goes on to its end on the open page");

// One event: copy a path, replay
await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
await page.goto(base + "/events?type=pull_request");
await page.locator("#events .what").first().click();
await page.waitForURL(/\/events\/evt_/);
const event = new URL(page.url()).pathname;
const row = page.locator('.tree [data-k="pull_request"] > div > [data-k="title"]');
await row.hover();
await row.locator(".cp").click();
await row.getByText("copied").waitFor();
assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "payload.pull_request.title");
done("the path of a value is copied as conditions write it");
await page.locator(".tree summary").first().focus();
await page.keyboard.press("ArrowDown");
assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "copy path payload.action");
await page.keyboard.press("Enter");
await page.getByText("Copied payload.action").waitFor({ state: "attached" });
assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "payload.action");
for (const key of ["ArrowDown", "ArrowDown", "ArrowUp"]) await page.keyboard.press(key);
assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "copy path payload.number");
assert.equal(await page.locator('.tree .cp[tabindex="0"]').count(), 1, "one stop of the Tab key for the tree");
done("and by keyboard: arrows go from value to value, Enter copies");
await page.getByRole("link", { name: "Replay…" }).click();
await page.getByText("No workflow starts.").waitFor();
await page.locator(".bubble", { hasText: "Replay:" }).waitFor();
await page.getByRole("button", { name: "Replay now" }).click();
await page.getByText("Replayed: this is the new event.").waitFor();
await page.locator("dd a", { hasText: "evt_" }).waitFor();
await page.locator(".bubble", { hasText: "Replay:" }).waitFor();
done("a replay says what it would do, and does it");

// Backtest, run by hand, switch
await page.goto(base + "/workflows/release-deploy");
await page.getByRole("button", { name: "Test" }).click();
await page.getByText(/1 of \d+ events would start it/).waitFor();
await page.getByText("deploy asks first").waitFor();
done("a backtest says what past events would have started");
await page.getByRole("button", { name: "Disable" }).click();
await page.getByText("The workflow is disabled.").waitFor();
await page.getByRole("button", { name: "Enable" }).click();
await page.getByText("The workflow is enabled.").waitFor();
await page.goto(base + "/workflows/failing");
await page.fill("#inputs", '{"who"');
await page.getByRole("button", { name: "Run now" }).click();
await page.getByText("The inputs are no JSON object").waitFor();
await page.fill("#inputs", '{"who": "Ann"}');
await page.getByRole("button", { name: "Run now" }).click();
await page.locator(".sub .st.bad", { hasText: "error" }).waitFor();
await page.getByRole("button", { name: "Retry from the failed step" }).waitFor();
const failed = new URL(page.url()).pathname;
done("a workflow is switched, and run by hand");

// A refused request, and a test
await fetch(`${webhooks}/webhooks/github`, {
  method: "POST", body: "{}",
  headers: { "content-type": "application/json", "x-github-event": "push", "x-github-delivery": "1", "x-hub-signature-256": "sha256=00ff" },
});
await page.goto(base + "/events?status=rejected");
await page.locator("#events .what").first().click();
await page.getByText("What to do").waitFor();
const refused = new URL(page.url()).pathname;
await page.goto(base + "/handlers/stripe");
await page.getByRole("button", { name: "Send a test" }).click();
await page.getByText("answered 200 OK").waitFor();
await page.goto(base + "/audit");
await page.getByRole("button", { name: "Verify the chain" }).click();
await page.getByText("The chain holds").waitFor();
done("a refusal is explained, a test is sent, the audit chain holds");

// A fact is forgotten, a broken file shows what is wrong with it
await page.goto(base + "/memory?search=before");
await page.getByText("forget…").first().click();
await page.getByRole("button", { name: "Forget it" }).click();
await page.getByText("The fact is forgotten.").waitFor();
await page.goto(base + "/workflows");
await page.getByRole("link", { name: "broken.yaml" }).click();
await page.locator(".source .fault + em", { hasText: "there is no tool 'notfy'" }).waitFor();
done("a fact is forgotten, and a broken workflow shows its fault at the line");

// Hostile payloads: nothing of them acts, nothing asks for anything elsewhere
const x = `<script>window.hit=1</script><img src="https://evil.example/x" onerror="window.hit=2"><svg onload="window.hit=3">'"\u202Egpj.exe\u2066\u200B`;
const fields = ["event", "title", "url", "html_url", "message", "action", "type", "name", "subject", "id"];
const hostile = [
  { ...Object.fromEntries(fields.map((field) => [field, x])), [x]: { [x]: [x, { a: x }] } },
  { event: "linked", title: x, url: "javascript:window.hit=4", html_url: "javascript:window.hit=5" },
  { event: "rows", rows: Array.from({ length: 45_000 }, (_, id) => ({ id, text: x.slice(0, 60) })) },
  { event: "keys", ...Object.fromEntries(Array.from({ length: 100_000 }, (_, n) => [`key<b>${n}`, n])) },
  { event: "long", text: "<b>".repeat(1_600_000), ["k".repeat(200_000)]: "\u200b".repeat(100_000) },
  { event: "deep", deep: JSON.parse("[".repeat(120) + '"<script>window.hit=6</script>"' + "]".repeat(120)) },
].map((payload) => JSON.stringify(payload));
hostile.push("[".repeat(10_000) + "]".repeat(10_000), "<script>window.hit=7</script>");
const sent = [];
for (const body of hostile) {
  const answer = await fetch(`${webhooks}/webhooks/plain`, { method: "POST", body, headers: { "content-type": "application/json", "x-note": "<script>window.hit=8</script>" } });
  const json = await answer.json();
  sent.push(json.event_id ?? json.error.request_id);
}
send("github", "release.published", "--set", "payload.release.tag_name=" + x, "--set", "payload.release.name=" + x);
await page.goto(base + "/");
await page.locator(".asks .what").first().waitFor();
const asked = await page.locator(".asks .what").first().getAttribute("href");
await page.goto(base + asked);
const its = await page.locator('dl.facts a[href^="/runs/"]').getAttribute("href");
const hostilePages = sent.map((id) => `/events/${id}`);
for (const path of [...hostilePages, ...sent.slice(0, 6).flatMap((id) => [`/events/${id}/replay`, `/events/${id}/paths`]), asked, its, "/", "/events",
  "/events?search=" + encodeURIComponent(x), "/events?handler=" + encodeURIComponent(x), "/runs", "/approvals", "/handlers/plain", "/memory?search=" + encodeURIComponent(x),
  "/workflows/release-deploy?last=50", "/audit", "/settings?search=" + encodeURIComponent(x), "/login?next=" + encodeURIComponent("/" + x)]) {
  const answer = await page.goto(base + path);
  assert.ok([200, 404].includes(answer.status()), `${path}: ${answer.status()}`);
  // Everything that folds is unfolded: what is hidden must not act when it is seen.
  await page.evaluate(() => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
  assert.equal(await page.evaluate(() => window.hit), undefined, path);
  assert.equal(await page.locator("main img, main script, main iframe, main object, [onerror], [onload], a[href^='javascript:']").count(), 0, path);
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(over <= 0, `${path} is ${over} px too wide`);
}
assert.deepEqual(page.faults, [], "no fault of a script, and no request to elsewhere");
await page.goto(base + hostilePages[0]);
await page.screenshot({ path: `${OUT}/hostile.png`, fullPage: true });
await page.goto(base + asked);
await page.getByRole("button", { name: "Deny" }).click();
await page.getByText("Denied.").waitFor();
done(`hostile payloads are text on every page (${sent.length} of them)`);

// Decided elsewhere while somebody types, and a text that somebody marks
send("github", "release.published", "--set", "payload.release.tag_name=v3.0.0");
await page.goto(base + "/");
const other = page.locator(".asks li", { hasText: "‹v3.0.0›" });
await other.locator(".what").click();
await page.fill("#reason", "not yet");
const decided = await fetch(`${base}/api${new URL(page.url()).pathname}`, {
  method: "POST", body: JSON.stringify({ verdict: "deny" }), headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
});
assert.equal(decided.status, 200);
await page.locator(".sub .st", { hasText: "denied" }).waitFor();
assert.equal(await page.inputValue("#reason"), "not yet", "what is typed stays");
await page.evaluate(() => document.activeElement.blur());
await page.getByRole("button", { name: "Deny" }).waitFor({ state: "detached" });
await page.goto(base + "/events");
await page.locator("#live.good").waitFor();
const marked = await page.evaluate(() => {
  getSelection().selectAllChildren(document.querySelector("#events .what"));
  return String(getSelection());
});
send("github", "pull_request.opened", "--set", "payload.pull_request.title=While a text is marked");
await page.waitForResponse((answer) => answer.url() === base + "/events" && answer.ok());
assert.equal(await page.evaluate(() => String(getSelection())), marked);
await page.evaluate(() => getSelection().removeAllRanges());
await page.locator("#events").getByText("While a text is marked").waitFor();
done("an approval's page follows what others decide, and a marked text stays marked");

// Every page, light, dark and on a phone
const paths = ["/", "/events", event, refused, `${event}/replay`, "/runs", run, failed, "/approvals", approval, "/workflows",
  "/workflows/release-deploy?last=20", "/workflows?file=broken.yaml", `${event}/paths`, "/handlers", "/handlers/github", "/memory", "/audit?verify=1", "/settings?all=1"];
const looks = [
  ["light", {}],
  ["dark", { colorScheme: "dark" }],
  ["phone", { viewport: { width: 360, height: 780 }, deviceScaleFactor: 2, hasTouch: true }],
  ["phone-dark", { viewport: { width: 360, height: 780 }, deviceScaleFactor: 2, hasTouch: true, colorScheme: "dark" }],
];
for (const [name, options] of looks) {
  const window = await open(options);
  await window.goto(base + "/login");
  const told = await audit(window, "/login");
  await login(window);
  for (const path of paths) {
    told.push(...await audit(window, path));
    const file = path.replace("?file=", "/").replace(/[?#].*/, "").replace(/_[0-9A-Z]{26}/, "").replaceAll("/", "-").replace(/^-/, "") || "overview";
    await window.screenshot({ path: `${OUT}/${file}-${name}.png`, fullPage: true });
  }
  assert.deepEqual(told.concat(window.faults), [], name);
  await window.context().close();
}
done(`axe-core finds nothing serious on ${paths.length + 1} pages, in ${looks.length} looks`);

// Keyboard
await page.goto(base + "/");
await page.keyboard.press("Tab");
assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
await page.keyboard.press("Enter");
assert.equal(await page.evaluate(() => document.activeElement.id), "main");
await page.goto(base + "/events");
await page.keyboard.press("/");
assert.equal(await page.evaluate(() => document.activeElement.id), "search");
done("the keyboard reaches the content and the search");

// Without JavaScript
send("github", "release.published", "--set", "payload.release.tag_name=v9.9.9");
const plain = await open({ javaScriptEnabled: false });
await login(plain);
for (const path of paths) {
  await plain.goto(base + path);
  assert.equal(await plain.locator("[data-js]:visible").count(), 0, `${path} shows what does nothing`);
}
/** Loads a page again until it shows this, as a person without the script does. */
async function reload(to, what) {
  for (const until = Date.now() + WAIT_MS; Date.now() < until;) {
    await plain.goto(to);
    if (await what.count()) return;
  }
  assert.fail(`${to} does not show it`);
}
await reload(base + "/approvals", plain.locator(".asks .what"));
await plain.locator(".asks .what").first().click();
await plain.getByRole("button", { name: "Deny" }).click();
await plain.getByText("Denied. Nothing further of this run happens.").waitFor();
await reload(plain.url(), plain.locator(".sub .st", { hasText: "denied" }));
await plain.goto(base + event);
await plain.getByRole("link", { name: "paths" }).click();
await plain.getByText("payload.pull_request.title", { exact: true }).waitFor();
await plain.goto(`${base}${event}/replay`);
await plain.getByRole("button", { name: "Replay now" }).click();
await plain.getByText("Replayed: this is the new event.").waitFor();
await plain.goto(base + "/workflows/failing");
await plain.fill("#inputs", '{"who": "Bob"}');
await plain.getByRole("button", { name: "Run now" }).click();
await plain.getByText("Started: this is the new run.").waitFor();
await reload(plain.url(), plain.locator(".sub .st.bad", { hasText: "error" }));
await plain.getByRole("button", { name: "Retry from the failed step" }).click();
await plain.getByText("The run goes on from its failed step.").waitFor();
await plain.goto(base + "/events?search=checkout");
await plain.locator("#events .what").first().waitFor();
await plain.goto(base + "/memory");
await plain.getByText("forget…").first().click();
await plain.getByRole("button", { name: "Forget it" }).first().click();
await plain.getByText("The fact is forgotten.").waitFor();
await plain.getByRole("button", { name: "Sign out" }).click();
await plain.goto(base + "/events");
assert.match(plain.url(), /\/login/);
assert.deepEqual(plain.faults, []);
done("without JavaScript everything but the live news works, and signing out ends it");

// A change that another site sends, or that lacks the token
const forged = await page.evaluate(async (to) => (await fetch(to, { method: "POST", body: new URLSearchParams({ verdict: "approve", csrf: "x" }) })).status, approval);
assert.equal(forged, 403);
done("a form without its session's token changes nothing");

// A session that ends under an open page and under a form
const left = await open();
await login(left);
await left.locator("#live.good").waitFor();
const form = await left.context().newPage();
await form.goto(base + "/handlers/github");
await left.context().clearCookies();
send("github", "ping");
await left.getByText("You were signed out.").waitFor();
assert.equal(await left.getByRole("link", { name: "Log in" }).getAttribute("href"), "/login?next=%2F");
await form.getByRole("button", { name: "Send a test" }).click();
await form.getByText("nothing was changed").waitFor();
await form.fill("#token", token);
await form.click("button");
await form.waitForURL(base + "/handlers/github");
done("a page says that it was signed out, and a form that nothing was changed");

assert.deepEqual(page.faults, []);
if (PICTURES) await (await import("./pictures.mjs")).take({ open, login, base, send, event, PICTURES });
await browser.close();
