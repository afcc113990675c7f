import { readFileSync } from "node:fs";

for (const line of readFileSync(0, "utf8").trim().split("\n")) {
  const { custom_id, output } = JSON.parse(line);
  if (output === undefined) continue; // an error
  const data = Buffer.from(output.vector, "base64");
  const numbers = Array.from({ length: data.length / 4 }, (_, at) => data.readFloatLE(4 * at));
  console.log(custom_id, numbers.length, ...numbers.slice(0, 2).map((number) => number.toFixed(4)));
}
