/**
 * `node scripts/brokers/own.ts rabbitmq 5690 DIRECTORY`: prints as JSON what to run for a server of one's own, beside the shared one, which
 * a test may kill. Exits with 1 where its program is not installed or it cannot run beside another.
 */
import { servers } from "./servers.ts";

/** Those whose `programs` heed the port. */
const besideOthers = ["rabbitmq", "nats", "kafka", "postgres"];

const [name = "", port = "", directory = ""] = process.argv.slice(2);
const server = servers.find((each) => each.name === name && besideOthers.includes(name));
const programs = server?.programs(directory, Number(port));
if (programs === undefined) {
  console.error(
    `${name || "The server"} is not installed or cannot run beside another of its kind.`,
  );
  process.exitCode = 1;
} else console.log(JSON.stringify(programs));
