// Stands in for the old Node.js service: the same libraries, the same shapes in the topic and in the database.
//
//   produce --from A --to B [--pause MS]   sends messages A..B-1, prints "USER N" for each that Kafka has acknowledged
//   consume                                stores what arrives until SIGTERM; prints "joined" once it is in the group
//   store --from A --to B                  writes logs A..B-1 straight to the database
//   get ID | delete ID                     reads or deletes one log as the old API did
//
// Environment as the service's: KAFKA_BROKERS, KAFKA_TOPIC, KAFKA_CONSUMER_GROUP, MONGO_URI.
import { parseArgs } from 'node:util';
import { Kafka, logLevel } from 'kafkajs';
import mongoose from 'mongoose';

const topic = process.env.KAFKA_TOPIC;
const kafka = new Kafka({
  clientId: 'eyeGoClient',
  brokers: process.env.KAFKA_BROKERS.split(','),
  logLevel: logLevel.WARN,
});

const UserActivityLog = mongoose.model('UserActivityLog', new mongoose.Schema({
  id: { type: Number, unique: true },
  userId: { type: String, required: true, index: true },
  action: { type: String, required: true, index: true },
  timestamp: { type: Date, default: Date.now, index: true },
  metadata: { type: Object },
}));
const Counter = mongoose.model('Counter', new mongoose.Schema({ _id: String, seq: { type: Number, default: 0 } }));

// `seq` is the next id nobody has; the first log gets 0.
async function nextId() {
  const counter = await Counter.findByIdAndUpdate('userActivityLogId', { $inc: { seq: 1 } }, { new: true, upsert: true });
  return counter.seq - 1;
}

// As the old consumer: whatever goes wrong is printed and the message is gone.
async function store(body) {
  try {
    await new UserActivityLog({ ...body, id: await nextId() }).save();
  } catch (error) {
    console.error('not stored:', error.message);
  }
}

// Every third body has no timestamp; every fourth has the least metadata.
function body(n) {
  return {
    userId: `old-${n % 5}`,
    action: ['login', 'view', 'logout'][n % 3],
    ...(n % 3 ? { timestamp: new Date(Date.UTC(2025, 4, 21) + n * 1000).toISOString() } : {}),
    metadata: n % 4 ? { n, ip: '127.0.0.1', nested: { deep: [1, 2.5, 'three'] } } : { n },
  };
}

async function produce({ from, to, pause }) {
  const producer = kafka.producer();
  await producer.connect();
  for (let n = from; n < to; n++) {
    await producer.send({ topic, messages: [{ value: JSON.stringify(body(n)) }] });
    console.log(`old-${n % 5} ${n}`);
    if (pause) await new Promise((done) => setTimeout(done, pause));
  }
  await producer.disconnect();
}

async function consume() {
  await mongoose.connect(process.env.MONGO_URI);
  await UserActivityLog.init();
  const consumer = kafka.consumer({ groupId: process.env.KAFKA_CONSUMER_GROUP });
  consumer.on(consumer.events.GROUP_JOIN, () => console.log('joined'));
  process.once('SIGTERM', async () => {
    await consumer.disconnect(); // ends after the message in hand, commits, leaves the group
    await mongoose.disconnect();
  });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: false });
  await consumer.run({ eachMessage: async ({ message }) => {
    let parsed;
    try {
      parsed = JSON.parse(message.value.toString());
    } catch (error) {
      return console.error('not stored:', error.message);
    }
    await store(parsed);
  } });
}

async function withDatabase(work) {
  await mongoose.connect(process.env.MONGO_URI);
  await UserActivityLog.init();
  await work();
  await mongoose.disconnect();
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { from: { type: 'string' }, to: { type: 'string' }, pause: { type: 'string', default: '0' } },
});
const range = { from: Number(values.from), to: Number(values.to), pause: Number(values.pause) };
const [command, id] = positionals;
switch (command) {
  case 'produce': await produce(range); break;
  case 'consume': await consume(); break;
  case 'store': await withDatabase(async () => {
    for (let n = range.from; n < range.to; n++) await store(body(n));
  }); break;
  case 'get': await withDatabase(async () => console.log(JSON.stringify(await UserActivityLog.findOne({ id: Number(id) })))); break;
  case 'delete': await withDatabase(async () => console.log(JSON.stringify(await UserActivityLog.findOneAndDelete({ id: Number(id) })))); break;
  default: console.error(`unknown command ${command}`); process.exitCode = 64;
}
