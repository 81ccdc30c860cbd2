/**
 * Servers for the tests of the adapters: `npm run brokers -- up rabbitmq redis`, `-- down`, `-- status`.
 * Uses what already listens on the standard ports of the loopback; else installs the program (as root from Debian; Kafka from Maven
 * Central) and starts it there. `down` ends only what `up` started.
 */
import { spawn } from "node:child_process";
import { openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { directoryOf, end, record, runningFor } from "./brokers/ledger.ts";
import { probe } from "./brokers/probe.ts";
import { type Program, type Server, isReady, servers } from "./brokers/servers.ts";

const readyMsMax = 90_000;
const readyPollMs = 250;
/** How long a freshly installed package gets to start its server itself, as Debian's packages do under systemd. */
const selfStartMsMax = 5_000;
const logLinesShown = 20;

process.exitCode = await main(process.argv.slice(2));

async function main([verb = "", ...names]: readonly string[]): Promise<number> {
  const known = servers.map(({ name }) => name);
  const unknown = names.filter((name) => !known.includes(name));
  if (
    !["up", "down", "status"].includes(verb) ||
    unknown.length > 0 ||
    (verb === "up" && names.length === 0)
  ) {
    if (unknown.length > 0) console.error(`Unknown: ${unknown.join(", ")}.`);
    console.error(`Usage: npm run brokers -- up|down|status <names>. Names: ${known.join(", ")}.`);
    return 2;
  }
  const chosen = servers.filter(({ name }) => names.length === 0 || names.includes(name));
  let failed = 0;
  for (const server of chosen) {
    if (verb === "up") failed += (await up(server)) ? 0 : 1;
    else if (verb === "down") await down(server);
    else console.log(`${server.name}: ${await stateOf(server)}`);
  }
  return failed === 0 ? 0 : 1;
}

async function up(server: Server): Promise<boolean> {
  const say = (text: string): void => console.log(`${server.name}: ${text}`);
  const before = await probe(server.greeting);
  if (before.kind === "ready") {
    say(await stateOf(server));
    return true;
  }
  if (before.kind === "other" && !(await becomesReady(server, selfStartMsMax))) {
    say(`something else listens on ${addressOf(server)}: ${before.said || "it says nothing"}.`);
    return false;
  }
  try {
    return await start(server, say);
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    return false;
  }
}

async function start(server: Server, say: (text: string) => void): Promise<boolean> {
  const directory = directoryOf(server.name);
  let programs = server.programs(directory);
  if (programs === undefined) {
    const what = server.obtain.what();
    if (what === undefined) {
      say(howToGet(server));
      return false;
    }
    say(`installing ${what}.`);
    server.obtain.run();
    if (await becomesReady(server, selfStartMsMax)) {
      say(await stateOf(server));
      return true;
    }
    programs = server.programs(directory);
  }
  if (programs === undefined) throw new Error(howToGet(server));
  const log = join(directory, "output.log");
  for (const program of programs) record(server.name, await launch(program, { directory, log }));
  if (await becomesReady(server, readyMsMax)) {
    say(await stateOf(server));
    return true;
  }
  const tail = readFileSync(log, "utf8").split("\n").slice(-logLinesShown).join("\n");
  say(`is not ready after ${readyMsMax} ms. The end of ${log}:\n${tail}`);
  return false;
}

function launch(
  program: Program,
  { directory, log }: { readonly directory: string; readonly log: string },
): Promise<number> {
  const output = openSync(log, "a");
  const child = spawn(program.command, program.args, {
    cwd: directory,
    detached: true,
    env: { ...process.env, ...program.env },
    stdio: ["ignore", output, output],
    ...program.user,
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("spawn", () => {
      child.unref();
      resolve(child.pid ?? 0);
    });
  });
}

async function becomesReady(server: Server, withinMs: number): Promise<boolean> {
  for (const began = Date.now(); Date.now() - began < withinMs; await sleep(readyPollMs))
    if (await isReady(server)) return true;
  return false;
}

async function down(server: Server): Promise<void> {
  const pids = await end(server.name);
  if (pids.length > 0) console.log(`${server.name}: ended ${pids.join(" and ")}.`);
  else if (await isReady(server))
    console.log(`${server.name}: left alone; it was not started here.`);
}

async function stateOf(server: Server): Promise<string> {
  const answer = await probe(server.greeting);
  if (answer.kind === "silent") return `nothing listens on ${addressOf(server)}.`;
  if (answer.kind === "other") return `not ready on ${addressOf(server)}: ${answer.said}.`;
  const pids = runningFor(server.name);
  const whose = pids.length > 0 ? `started here (${pids.join(" and ")})` : "was running already";
  return `ready on ${addressOf(server)}, ${whose}.`;
}

function addressOf(server: Server): string {
  return `127.0.0.1:${server.greeting.port}`;
}

function howToGet(server: Server): string {
  return `nothing listens on ${addressOf(server)}: run \`docker compose up -d ${server.name}\`, or ${server.obtain.byHand}.`;
}
