import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { inflateSync } from "node:zlib";
import { createClient, ErrorReply, RESP_TYPES } from "redis"; // npm install redis

const PREFIX = process.env.SEQD_PREFIX ?? "seqd";
const ENDED = ["completed", "failed", "cancelled", "expired", "rejected"];
const SMALL = ["results", ...[1, 2, 3, 4, 5, 6, 7].map((more) => `results+${more}`)];

const redis = createClient(server(process.env.SEQD_REDIS_URL));
const bytes = redis.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
redis.on("error", (error) => console.error(`Redis: ${error.message}`));
await redis.connect();

/** Return what `createClient` takes for an address: for a Unix socket its path. */
function server(url) {
  if (!url) {
    console.error("Set SEQD_REDIS_URL, to redis://… or to the `url` in seqd's redis/endpoint.json.");
    process.exit(2);
  }
  const socket = { reconnectStrategy: 200 };
  const [, username, password, path] = /^unix:\/\/(?:(.*?):(.*?)@)?(\/[^?]*)/.exec(url) ?? [];
  return path ? { username, password, socket: { ...socket, path } } : { url, socket };
}

/** Ask until Redis answers: the connection may have gone, and comes back by itself. */
async function ask(question) {
  for (;;) {
    try {
      return await question();
    } catch (error) {
      if (error instanceof ErrorReply) throw error; // an answer, such as OOM
      await sleep(200);
    }
  }
}

/** Hand a job in; sent twice, the same identifier makes it once. */
async function submit(job) {
  const id = randomUUID();
  await ask(() => redis.xAdd(`${PREFIX}:inbox`, "*", { id, job: JSON.stringify(job) }));
  return id;
}

/** Yield the events of a job up to its last, each once, over lost connections too. */
async function* follow(id) {
  const key = `${PREFIX}:job:{${id}}`;
  for (let last = "0"; ; ) {
    const reply = await ask(() => redis.xRead({ key: `${key}:events`, id: last }, { BLOCK: 5000 }));
    for (const entry of reply?.[0].messages ?? []) {
      last = entry.id;
      const event = JSON.parse(entry.message.e);
      yield event;
      if (ENDED.includes(event.event)) return;
    }
    // The events of a small job go half a minute after its end.
    if (!reply && ENDED.includes(await ask(() => redis.hGet(key, "state")))) return;
  }
}

/** Yield the results of a job that has ended, in input order. */
async function* results(id) {
  const key = `${PREFIX}:job:{${id}}`;
  const small = (await ask(() => bytes.hmGet(key, SMALL))).filter((part) => part !== null);
  if (small.length > 0) {
    yield* lines(Buffer.concat(small));
    return;
  }
  const units = Number(await ask(() => redis.hGet(key, "units")));
  for (let unit = 0; unit < units; unit++) {
    for (let row = `${unit}`, more = 1; ; row = `${unit}+${more++}`) {
      const packed = await ask(() => bytes.hGet(`${key}:out`, row));
      if (packed === null) break;
      yield* lines(packed);
    }
  }
}

function* lines(packed) {
  for (const line of inflateSync(packed).toString().split("\n")) if (line) yield JSON.parse(line);
}

const id = await submit({
  kind: "classify",
  model: "imdb_lstm",
  source: {
    type: "inline",
    items: [
      { custom_id: "r1", text: "A wonderful film, moving and beautifully acted." },
      { custom_id: "r2", text: "Dull, badly written, a waste of two hours." },
    ],
  },
});
for await (const event of follow(id)) console.log(event.event, event.failure?.message ?? "");
for await (const result of results(id)) {
  if (result.status === "succeeded") console.log(result.custom_id, result.output.label);
  else console.log(result.custom_id, result.error.code, result.error.message);
}
await redis.close();
