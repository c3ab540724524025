// Starts aimock, the simulator of models' providers, with answers for tests/interop/models.rs; prints its address, then runs until
// its standard input closes.
import { LLMock } from "@copilotkit/aimock";

const mock = new LLMock({ port: 0, chunkSize: 8 });
const error = (status, message, more = {}) => ({ error: { message, type: "server_error" }, status, ...more });

mock.on({ userMessage: "plain" }, { content: "All is quiet in acme/shop." });
mock.on({ userMessage: "tool please", hasToolResult: false }, {
  toolCalls: [{ id: "call_1", name: "event", arguments: '{"id":"evt_1","fields":["title","url"]}' }],
});
mock.on({ userMessage: "tool please", hasToolResult: true }, { content: "The event is a push." });
mock.on({ userMessage: "bad arguments" }, { toolCalls: [{ id: "call_2", name: "event", arguments: '{"id": oops' }] });
mock.on({ userMessage: "limited", sequenceIndex: 0 }, error(429, "slow down", { retryAfter: 1 }));
mock.on({ userMessage: "limited" }, { content: "After the limit." });
mock.on({ userMessage: "broken once", sequenceIndex: 0 }, error(500, "it broke"));
mock.on({ userMessage: "broken once" }, { content: "It works again." });
mock.on({ userMessage: "broken" }, error(500, "it broke"));
mock.on({ userMessage: "refused" }, error(401, "Incorrect API key provided: interop-key-0123456789."));
mock.on({ userMessage: "cut" }, { content: "This sentence never comes to its end because the line is cut." }, { truncateAfterChunks: 5, latency: 40 });
mock.on({ userMessage: "slow" }, { content: "Too late." }, { chaos: { latencyMs: 4000 } });

await mock.start();
console.log(mock.url);
process.stdin.on("close", () => mock.stop().then(() => process.exit(0)));
process.stdin.resume();
