// A fake chat: as much of Telegram's Bot API as the agent calls, and a page that shows what it was sent, the way the app does.
import { createServer } from "node:http";

export const CHAT = 4711;

/** Starts the server; `messages` is the chat as it is now. */
export async function start() {
  const messages = [];
  const chat = { id: CHAT, type: "private", first_name: "Ann" };
  const me = { id: 1, is_bot: true, first_name: "hookhand", username: "hookhand_bot", can_join_groups: true, can_read_all_group_messages: false, supports_inline_queries: false };
  const shown = (message) => ({ message_id: message.id, date: 1_760_000_000, chat, from: me, text: message.html.replace(/<[^>]*>/g, "") });
  const calls = {
    getme: () => me,
    getupdates: () => new Promise((resolve) => setTimeout(() => resolve([]), 5000).unref()),
    sendmessage: (given) => {
      const message = { id: messages.length + 1, html: given.text, buttons: given.reply_markup?.inline_keyboard ?? [] };
      messages.push(message);
      return shown(message);
    },
    editmessagetext: (given) => {
      const message = messages.find((known) => known.id === given.message_id);
      Object.assign(message, { html: given.text, buttons: given.reply_markup?.inline_keyboard ?? [], edited: true });
      return shown(message);
    },
  };
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => { body += chunk; });
    request.on("end", async () => {
      const call = calls[request.url.split("/").pop().toLowerCase()];
      const given = body.startsWith("{") ? JSON.parse(body) : {};
      const result = call ? await call(given) : true;
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ ok: true, result }));
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { messages, url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/** The chat as a page. What the agent sends is Telegram's HTML: bold, links and blocks of code. */
export function page(messages) {
  const button = (key) => `<span class="key">${key.text}</span>`;
  const row = (keys) => `<div class="keys">${keys.map(button).join("")}</div>`;
  const bubble = (message) => `<div class="m"><div class="b">${message.html.replaceAll("\n", "<br>").replace(/<pre>(.*?)<\/pre>(<br>)?/gs, (whole, inside) => `<pre>${inside.replaceAll("<br>", "\n")}</pre>`)}</div>${message.buttons.map(row).join("")}</div>`;
  return `<!doctype html><meta charset="utf-8"><style>
    body { margin: 0; font: 15px/1.38 system-ui, sans-serif; background: #d5dfca linear-gradient(160deg, #cfdcc3, #b9cfc6); color: #111; }
    header { background: #fff; padding: 10px 16px; display: flex; gap: 12px; align-items: center; }
    header i { width: 38px; height: 38px; border-radius: 50%; background: #2353c4; color: #fff; font: 600 17px/38px system-ui; text-align: center; }
    header small { display: block; color: #707579; } main { padding: 14px 12px 18px; display: grid; gap: 8px; }
    .m { max-width: 86%; width: fit-content; } .b { background: #fff; border-radius: 12px 12px 12px 4px; padding: 7px 11px 8px; overflow-wrap: anywhere; box-shadow: 0 1px 1px #0002; }
    a { color: #2f79c3; text-decoration: none; } pre { margin: 5px 0; padding: 6px 9px; background: #eef3fa; border-left: 3px solid #5a8fd6; border-radius: 5px; font: 12.5px/1.45 ui-monospace, monospace; white-space: pre-wrap; }
    .keys { display: flex; gap: 3px; margin-top: 3px; } .key { flex: 1; text-align: center; background: #5d7a5c99; color: #fff; border-radius: 8px; padding: 8px; font-weight: 500; font-size: 14px; }
  </style><header><i>h</i><div><strong>hookhand</strong><small>bot</small></div></header><main>${messages.map(bubble).join("")}</main>`;
}
