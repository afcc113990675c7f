// What a program does with the stock `openai` client, whose address and key are all that it sets.
// It prints what came of it as JSON, which test_openai_flows.py holds against what is due.

import { createReadStream } from "node:fs";
import OpenAI from "openai";

const { GATEWAY, KEY, READ_KEY, LIMITED_KEY, TENANT } = process.env;
const clientOf = (apiKey) => new OpenAI({ baseURL: `${GATEWAY}/v1`, apiKey, maxRetries: 0 });
const client = clientOf(KEY);

/** Returns what is read once it is as wanted. */
async function awaited(read, isWanted) {
  for (;;) {
    const found = await read();
    if (isWanted(found)) return found;
    await new Promise((done) => setTimeout(done, 100));
  }
}

/** Returns the batch or the training once it has one of some statuses. */
const withStatus = (read, ...wanted) => awaited(read, ({ status }) => wanted.includes(status));

/** Returns the records of a file of JSON Lines. */
async function linesOf(fileId) {
  const text = await (await client.files.content(fileId)).text();
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

async function all(pages) {
  const found = [];
  for await (const one of pages) found.push(one);
  return found;
}

async function files() {
  const made = [];
  for (const name of ["one.jsonl", "two.jsonl"]) {
    const file = await OpenAI.toFile(Buffer.from('{"text": "a fine film"}\n'), name);
    made.push(await client.files.create({ file, purpose: "batch" }));
  }
  const processed = await client.files.waitForProcessing(made[0].id);
  const listed = await all(client.files.list({ limit: 1 }));
  const content = await (await client.files.content(made[1].id)).text();
  const removed = await client.files.delete(made[1].id);
  const { bytes, filename, purpose, status } = processed;
  return {
    file: { bytes, filename, purpose, status },
    listed: listed.map((one) => one.filename),
    content,
    is_removed: removed.deleted && (await all(client.files.list())).length === 1,
  };
}

async function batches() {
  const uploaded = async (name) =>
    (await client.files.create({ file: createReadStream(name), purpose: "batch" })).id;
  const batch = await client.batches.create({
    input_file_id: await uploaded("reviews.jsonl"),
    endpoint: "/v1/classify",
    completion_window: "24h",
    metadata: { order: "17" },
    output_expires_after: { anchor: "created_at", seconds: 3_600 },
    model: "imdb_lstm",
  });
  const read = () => client.batches.retrieve(batch.id);
  const ended = await withStatus(read, "completed", "failed", "cancelled", "expired");
  const output = await client.files.retrieve(ended.output_file_id);
  const answers = await linesOf(ended.output_file_id);
  const errors = await linesOf(ended.error_file_id);

  const other = await client.batches.create({
    input_file_id: await uploaded("prompts.jsonl"), // in the long form
    endpoint: "/v1/completions",
    completion_window: "24h",
  });
  await withStatus(() => client.batches.retrieve(other.id), "in_progress");
  const cancelled = await client.batches.cancel(other.id);
  const listed = await all(client.batches.list({ limit: 1 }));
  const { status, request_counts, metadata } = ended;
  return {
    batch: { status, request_counts, metadata },
    kept_s: output.expires_at - ended.completed_at,
    answers: answers.map((one) => [one.custom_id, one.response.body.data[0].label]),
    errors: errors.map((one) => [one.custom_id, one.error.code]),
    cancelled: cancelled.status,
    is_newest_first: listed.map(({ id }) => id).join() === [other.id, batch.id].join(),
  };
}

async function completions() {
  const asked = { model: "char_lstm", prompt: "the soul ", max_tokens: 200, seed: 7 };
  const whole = await client.completions.create(asked);
  const chunks = await all(
    await client.completions.create({
      ...asked,
      stream: true,
      stream_options: { include_usage: true },
    }),
  );
  const last = chunks.pop();
  const several = await client.completions.create({
    ...asked,
    prompt: ["one ", "two "],
    n: 2,
  });

  const left = await client.completions.create({ ...asked, n: 8, max_tokens: 100_000, stream: true });
  for await (const _ of left) break; // which closes the connection
  const jobs = { query: { kind: "generate", limit: 1 } };
  const newest = async () => (await client.get("/jobs", jobs)).data[0];
  const ended = await awaited(newest, ({ state }) => !["queued", "running"].includes(state));
  return {
    text: whole.choices[0].text,
    finish_reason: whole.choices[0].finish_reason,
    usage: whole.usage,
    streamed: {
      text: chunks.map((chunk) => chunk.choices[0].text).join(""),
      finish_reason: chunks.at(-1).choices[0].finish_reason,
      usage: last.usage,
      is_in_parts: chunks.length > 1,
    },
    several: several.choices.map(({ index, text }) => [index, text.length]),
    left: ended.state,
  };
}

async function classify() {
  const body = { model: "imdb_lstm", input: ["A wonderful film.", "", "Dull."], top_k: 1 };
  const { data } = await client.post("/classify", { body });
  return data.map((one) => [one.index, one.label ?? null, one.error?.code ?? null]);
}

async function fineTuning() {
  const data = createReadStream("train.jsonl");
  const { id: training_file } = await client.files.create({ file: data, purpose: "fine-tune" });
  const asked = { model: "imdb_lstm", training_file, preset: "fast", suffix: TENANT };
  const { jobs } = client.fineTuning;

  const job = await jobs.create({ ...asked, hyperparameters: { n_epochs: 2 } });
  const ended = await withStatus(() => jobs.retrieve(job.id), "succeeded", "failed", "cancelled");
  const events = await all(jobs.listEvents(job.id, { limit: 2 }));
  const checkpoints = await all(jobs.checkpoints.list(job.id));
  const body = { model: ended.fine_tuned_model, input: "a fine film" };
  const model = await client.models.retrieve(ended.fine_tuned_model.split("@")[0]);

  const long = await jobs.create({ ...asked, hyperparameters: { n_epochs: 200 } });
  const ofLong = () => jobs.retrieve(long.id);
  const hasMetrics = ({ data: seen }) => seen.some(({ type }) => type === "metrics");
  await awaited(() => jobs.listEvents(long.id, { limit: 100 }), hasMetrics);
  await jobs.pause(long.id);
  const paused = await withStatus(ofLong, "paused");
  const resumed = await jobs.resume(long.id);
  const cancelled = await jobs.cancel(long.id);
  const listed = await all(jobs.list({ limit: 1 }));
  return {
    status: ended.status,
    model: ended.fine_tuned_model,
    owner: model.owned_by,
    events: events.map(({ level, type, message }) => [level, type, message.split(":")[0]]),
    steps: checkpoints.map(({ step_number }) => step_number),
    label: (await client.post("/classify", { body })).data[0].label,
    steered: [paused.status, resumed.status, cancelled.status],
    is_newest_first: listed.map(({ id }) => id).join() === [long.id, job.id].join(),
    ended: job.id,
    training_file,
  };
}

/** Returns what a request was refused with. */
async function refused(request) {
  try {
    await request;
  } catch (error) {
    const { status, code, type, param, requestID } = error;
    const kind = error.constructor.name;
    return { kind, status, code, type, param, has_id: requestID.startsWith("req_") };
  }
  return null;
}

async function errors(tuned) {
  const { batches: all, completions: texts, files: kept, fineTuning: tuning } = client;
  const limited = clientOf(LIMITED_KEY);
  await limited.models.list();
  const { training_file } = tuned;
  return {
    model: await refused(texts.create({ model: "char_lst", prompt: "x" })),
    file: await refused(kept.retrieve("file-none")),
    batch: await refused(all.retrieve("batch_none")),
    training: await refused(tuning.jobs.retrieve("ftjob-none")),
    type: await refused(texts.create({ model: "char_lstm", prompt: "x", temperature: "hot" })),
    purpose: await refused(
      all.create({
        input_file_id: training_file,
        endpoint: "/v1/classify",
        completion_window: "24h",
      }),
    ),
    parameter: await refused(
      tuning.jobs.create({
        model: "imdb_lstm",
        training_file,
        suffix: "none",
        hyperparameters: { epoch: 1 },
      }),
    ),
    state: await refused(tuning.jobs.resume(tuned.ended)),
    key: await refused(clientOf("seqd-none").models.list()),
    role: await refused(clientOf(READ_KEY).completions.create({ model: "char_lstm", prompt: "x" })),
    rate: await refused(limited.models.list()),
  };
}

const told = {
  files: await files(),
  batches: await batches(),
  completions: await completions(),
  classify: await classify(),
  fine_tuning: await fineTuning(),
};
told.errors = await errors(told.fine_tuning);
console.log(JSON.stringify(told));
