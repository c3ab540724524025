// The small pictures of the documentation: the overview, one event, a gate that waits, and the same in the chat.
import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CHAT, page as chatPage, start } from "./telegram.mjs";

const SIZE = { viewport: { width: 1120, height: 700 } };

export async function take({ open, PICTURES }) {
  mkdirSync(PICTURES, { recursive: true });
  const chat = await start();
  const { base, send, stop } = await agent(chat.url);
  const token = readFileSync(join(base.dir, "data/admin_token"), "utf8").trim();
  const page = await open(SIZE);
  // Another agent than the one that the checks look at.
  page.faults.length = 0;
  await page.goto(base.api + "/login");
  await page.fill("#token", token);
  await page.click("button");
  // These two tell nobody, so the chat stays as quiet as a chat is.
  for (const [provider, event, count] of [["linear", "Issue.create", 11], ["shopify", "orders/create", 24]]) send(provider, event, "--count", String(count));
  for (const [provider, event] of [["stripe", "invoice.payment_failed"], ["github", "pull_request.opened"], ["github", "release.published"]]) send(provider, event);
  await page.goto(base.api + "/");
  await page.getByRole("link", { name: "Approve release-deploy, step deploy?" }).waitFor();
  await page.locator("#feed").getByText("published release").waitFor();
  await page.locator("#figures").getByText("all sent").waitFor();
  await page.locator("#live.good").waitFor();
  await page.screenshot({ path: join(PICTURES, "overview.png") });
  await page.goto(base.api + "/events?type=pull_request");
  await page.locator("#events .what").first().click();
  await page.locator(".bubble").first().waitFor();
  await page.screenshot({ path: join(PICTURES, "event.png") });
  await page.goto(base.api + "/approvals");
  await page.locator(".asks .what").first().click();
  await page.getByRole("button", { name: "Approve" }).waitFor();
  await page.screenshot({ path: join(PICTURES, "approval.png") });
  while (!chat.messages.some((message) => message.buttons.length)) await new Promise((resolve) => setTimeout(resolve, 50));
  const phone = await open({ viewport: { width: 420, height: 600 }, deviceScaleFactor: 1.5 });
  const card = chat.messages.findIndex((message) => message.buttons.length);
  await phone.setContent(chatPage([...chat.messages.slice(0, card).slice(-3), chat.messages[card]]));
  await phone.screenshot({ path: join(PICTURES, "telegram.png"), fullPage: true });
  await stop();
  chat.close();
  console.log("ok  pictures in " + PICTURES);
}

/** An agent of its own, whose notices go to the fake chat. */
async function agent(telegram) {
  const dir = join(tmpdir(), "hookhand");
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir);
  cpSync("data/workflows", join(dir, "data/workflows"), { recursive: true });
  cpSync("data/files", join(dir, "data/files"), { recursive: true });
  const config = readFileSync("config.yaml", "utf8");
  writeFileSync(join(dir, "config.yaml"), `${config}telegram: { token: "1:fake", api_url: "${telegram}", chats: { default: ${CHAT} }, allowed_users: [${CHAT}] }\n`);
  const child = spawn(process.env.AGENT, ["--config", "config.yaml"], { cwd: dir, stdio: "ignore" });
  while (!existsSync(join(dir, "data/agent.json"))) await new Promise((resolve) => setTimeout(resolve, 50));
  const { api } = JSON.parse(readFileSync(join(dir, "data/agent.json"), "utf8"));
  const { execFileSync } = await import("node:child_process");
  const send = (...args) => execFileSync(process.env.AGENT, ["--config", "config.yaml", "webhook", "send", ...args], { cwd: dir });
  return { base: { dir, api }, send, stop: () => new Promise((resolve) => { child.on("exit", resolve); child.kill(); }) };
}
