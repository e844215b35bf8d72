// What the takeover test sets up and looks at, past both services.
//
//   topic                 makes KAFKA_TOPIC with 3 partitions, and commits offset 0 for the group, as a service that has
//                         been running would have: `fromBeginning: false` then misses nothing
//   topic --no-offsets    only the topic
//   group                 prints the group's state and its number of members: "Stable 1", "Empty 0", "Dead 0"
//   stored                prints how many logs the collection holds
//   verify FILE           FILE has a line "USER N" per acknowledged event: each must be stored exactly once
//   highest | counter     prints the highest id; the counter's `seq`
//   types                 prints the BSON types found in both collections, and the indexes
//   drop                  removes topics, group and database
import { readFileSync } from 'node:fs';
import { Kafka, logLevel } from 'kafkajs';
import mongoose from 'mongoose';

const { KAFKA_BROKERS, KAFKA_TOPIC: topic, KAFKA_CONSUMER_GROUP: groupId, MONGO_URI } = process.env;
const admin = new Kafka({ brokers: KAFKA_BROKERS.split(','), logLevel: logLevel.ERROR }).admin();
const [command, argument] = process.argv.slice(2);

await admin.connect();
const { connection } = await mongoose.connect(MONGO_URI);
const logs = connection.collection('useractivitylogs');
const counters = connection.collection('counters');

const commands = {
  async topic() {
    await admin.createTopics({ topics: [{ topic, numPartitions: 3, replicationFactor: 1 }], waitForLeaders: true });
    if (argument === '--no-offsets') return;
    await admin.setOffsets({ groupId, topic, partitions: [0, 1, 2].map((partition) => ({ partition, offset: '0' })) });
  },

  async group() {
    const { groups: [group] } = await admin.describeGroups([groupId]);
    console.log(`${group.state} ${group.members.length}`);
  },

  async stored() {
    console.log(await logs.countDocuments());
  },

  async verify() {
    const expected = readFileSync(argument, 'utf8').split('\n').filter(Boolean);
    const found = new Map();
    const ids = new Set();
    for await (const { id, userId, metadata } of logs.find()) {
      const name = `${userId} ${metadata?.n}`;
      found.set(name, (found.get(name) ?? 0) + 1);
      if (!Number.isInteger(id) || ids.has(id)) throw new Error(`id ${id} is given twice or is no whole number`);
      ids.add(id);
    }
    const lost = expected.filter((name) => !found.has(name));
    const twice = [...found].filter(([, times]) => times > 1);
    const known = new Set(expected);
    const strange = [...found.keys()].filter((name) => !known.has(name));
    console.log(`${expected.length} acknowledged, ${ids.size} stored; lost: ${lost.length}, twice: ${twice.length}, strange: ${strange.length}`);
    if (lost.length + twice.length + strange.length) throw new Error(JSON.stringify({ lost, twice, strange }));
  },

  async highest() {
    const [last] = await logs.find().sort({ id: -1 }).limit(1).toArray();
    console.log(last ? last.id : -1);
  },

  async counter() {
    console.log((await counters.findOne({ _id: 'userActivityLogId' })).seq);
  },

  async types() {
    for (const [collection, fields] of [[logs, ['_id', 'id', 'userId', 'action', 'timestamp', 'metadata', 'metadata.n', 'receivedAt', '__v']], [counters, ['_id', 'seq', '__v']]]) {
      const shape = Object.fromEntries(fields.map((field) => [field.replace('.', '_'), { $type: `$${field}` }]));
      const shapes = await collection.aggregate([{ $group: { _id: shape, count: { $sum: 1 } } }]).toArray();
      for (const { _id, count } of shapes) console.log(collection.collectionName, count, JSON.stringify(_id));
      console.log(collection.collectionName, 'indexes', (await collection.indexes()).map((index) => index.name).join(' '));
    }
  },

  async drop() {
    await connection.dropDatabase();
    const ours = (await admin.listTopics()).filter((name) => name === topic || name === `${topic}.dlq`);
    await admin.deleteTopics({ topics: ours });
    await admin.deleteGroups([groupId]).catch(() => {}); // none, if nobody was ever in it
  },
};

try {
  await commands[command]();
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await admin.disconnect();
  await mongoose.disconnect();
}
