// Publishes commands in all three forms and collects their outcomes, as a service in Node.js would.
//
// Usage: node contract.mjs AMQP_URL   < JSON list of {form, type, id, data, reply} > JSON {outcomes, replies}
import amqp from "amqplib";
import { text } from "node:stream/consumers";

const SOURCE = "node-tests";
const SECONDS = 60;

const [url] = process.argv.slice(2);
const commands = JSON.parse(await text(process.stdin));
const connection = await amqp.connect(url);
const channel = await connection.createConfirmChannel();

const outcomes = {};
const replies = {};
const replied = new Set(commands.filter((command) => command.reply).map((command) => command.id));
const done = new Promise((resolve, reject) => {
  const timer = setTimeout(() => reject(new Error(`no end within ${SECONDS} s: ${JSON.stringify(outcomes)}`)), SECONDS * 1000);
  globalThis.look = () => {
    const all = commands.every(({ id }) => id in outcomes) && [...replied].every((id) => id in replies);
    if (all) {
      clearTimeout(timer);
      resolve();
    }
  };
});

// Every outcome of this service's own commands.
const { queue } = await channel.assertQueue("", { exclusive: true });
await channel.bindQueue(queue, "sips.events", "#");
await channel.consume(
  queue,
  (message) => {
    const event = JSON.parse(message.content);
    if (message.properties.headers.commandsource === SOURCE && /\.(succeeded|failed|unknown)$/.test(event.type)) {
      outcomes[event.causationid] = event;
      globalThis.look();
    }
  },
  { noAck: true },
);

// Direct reply-to: RabbitMQ makes the name of a queue that does not exist.
await channel.consume(
  "amq.rabbitmq.reply-to",
  (message) => {
    replies[message.properties.correlationId] = JSON.parse(message.content);
    globalThis.look();
  },
  { noAck: true },
);

const write = {
  structured: ({ id, type, data }) => [
    { specversion: "1.0", id, source: SOURCE, type, data },
    { contentType: "application/cloudevents+json" },
  ],
  binary: ({ id, type, data }) => [
    data,
    { contentType: "application/json", headers: { "ce-specversion": "1.0", "ce-id": id, "ce-source": SOURCE, "ce-type": type } },
  ],
  plain: ({ id, type, data }) => [data, { contentType: "application/json", messageId: id, appId: SOURCE, type }],
};

for (const command of commands) {
  const [body, properties] = write[command.form](command);
  if (command.reply) Object.assign(properties, { replyTo: "amq.rabbitmq.reply-to", correlationId: command.id });
  const options = { persistent: true, mandatory: true, ...properties };
  channel.publish("sips.commands", command.type, Buffer.from(JSON.stringify(body)), options);
}
await channel.waitForConfirms();
await done;
await connection.close();
process.stdout.write(JSON.stringify({ outcomes, replies }));
