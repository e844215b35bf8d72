//! MongoDB: gone, hung, full, slow, forbidding, led by another, or not as it was left.

use std::time::Duration;

use bson::{Bson, Document, doc};
use mongodb::options::IndexOptions;

use crate::{
    account::percentile,
    eventually,
    load::Post,
    patience,
    proxy::Proxy,
    rig::Rig,
    scenario::{
        Scenario,
        Setup::{ByItself, OwnMongo, Shared},
    },
    servers::{Kind, Server, form_replica_set, run_folder, shared},
    store::{Store, logs},
};

pub(crate) const ALL: &[Scenario] = &[
    Scenario::on("mongo-killed-8s", OwnMongo(&[]), killed).quick(),
    Scenario::on("mongo-away-service-killed", OwnMongo(&[]), away_and_service_killed).quick(),
    Scenario::on("mongo-away-60s", OwnMongo(&[]), away),
    Scenario::on("mongo-dead-from-the-start", OwnMongo(&[]), dead_from_the_start).alone(),
    Scenario::on("mongo-frozen-20s", OwnMongo(&[]), frozen),
    Scenario::on("mongo-stepdown", ByItself, stepdown),
    Scenario::on("mongo-disk-full", OwnMongo(&[]), disk_full),
    Scenario::on("mongo-slow-and-dropping", ByItself, slow),
    Scenario::on("mongo-without-rights", ByItself, without_rights),
    Scenario::on("mongo-index-build", OwnMongo(&[]), index_build),
    Scenario::on("mongo-unique-index-missing", Shared, unique_index_missing),
    Scenario::on("mongo-counter-behind", Shared, counter_behind).quick(),
];

const BEFORE: Duration = Duration::from_secs(7);

/// Whatever MongoDB does, a POST needs only Kafka.
fn all_were_taken(posts: &[Post]) {
    let refused = posts.iter().find(|post| post.is_refused());
    assert!(refused.is_none(), "a POST needs no MongoDB, but: {refused:?}");
    // The machine itself may stall for longer than a post waits.
    let unknown = posts.iter().filter(|post| post.is_unknown()).count();
    assert!(unknown * 100 < posts.len(), "a POST needs no MongoDB, but {unknown} outcomes are unknown");
}

fn killed(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    rig.mongo_server().kill();
    load.run_for(Duration::from_secs(8));
    rig.mongo_server().start();
    rig.fault_ended(&load);
    all_were_taken(&rig.account(load));
}

/// With a batch in hand that cannot be stored the service is killed: nothing of it may have been committed.
fn away_and_service_killed(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    load.run_for(Duration::from_secs(5));
    rig.mongo_server().kill();
    load.run_for(Duration::from_secs(5));
    rig.service_mut().kill();
    rig.restart(0);
    rig.mongo_server().start();
    rig.fault_ended(&load);
    rig.account(load);
    rig.expect_in_flight();
}

fn away(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    rig.mongo_server().kill();
    load.run_for(Duration::from_secs(60));
    rig.mongo_server().start();
    rig.fault_ended(&load);
    all_were_taken(&rig.account(load));
}

/// The backlog of the first minute of its life waits for a MongoDB that it has never seen.
fn dead_from_the_start(rig: &mut Rig) {
    rig.mongo_server().kill();
    let service = rig.recipe().start();
    eventually("it takes logs", || service.get("/readyz?for=write").is_some_and(|(status, _)| status == 200));
    rig.services.push(service);
    let load = rig.load();
    load.run_for(Duration::from_secs(60));
    let (posts, _) = load.finish();
    rig.mongo_server().start();
    let began = std::time::Instant::now();
    let acknowledged: Vec<_> = posts.iter().filter_map(Post::event_id).collect();
    patience(Duration::from_secs(120), "the backlog is stored", || rig.store().holds(&acknowledged));
    rig.row.recovered = Some(began.elapsed());
    rig.settle(&posts);
    all_were_taken(&posts);
    let p99 = percentile(posts.iter().map(|post| post.took), 99.0);
    rig.row.note(format!("p99 {p99:.1?}"));
    assert!(posts.len() >= 10_000, "{} posts", posts.len());
    // Bounds on times hold only where nothing else runs.
    if rig.whole {
        assert!(p99 < Duration::from_millis(50), "p99 of the posts is {p99:?}");
        assert!(began.elapsed() < Duration::from_secs(30), "stored only after {:?}", began.elapsed());
    }
}

fn frozen(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    rig.mongo_server().freeze();
    load.run_for(Duration::from_secs(20));
    rig.mongo_server().thaw();
    rig.fault_ended(&load);
    all_were_taken(&rig.account(load));
}

/// Three nodes; the primary is told to step down under load, then killed once it is primary no more and back.
fn stepdown(rig: &mut Rig) {
    let names = [0, 1, 2].map(|n| format!("{}-mongod-{n}", rig.name));
    let members: Vec<_> = names.iter().map(|name| Server::new(Kind::Mongo, name, &[])).collect();
    members.iter().for_each(Server::start);
    form_replica_set(&members.iter().collect::<Vec<_>>());
    rig.use_servers(&shared(Kind::Kafka), "unused");
    let hosts = members.iter().map(Server::address).collect::<Vec<_>>().join(",");
    rig.use_mongo(&format!("mongodb://{hosts}"), "replicaSet=rs0");
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    for _ in 0..2 {
        let command = doc! {"replSetStepDown": 8, "secondaryCatchUpPeriodSecs": 5, "force": true};
        // The answer may be the end of the connection.
        let _ = rig.store().on_mongo(async |database| database.client().database("admin").run_command(command).await);
        load.run_for(Duration::from_secs(3));
        rig.fault_ended(&load);
    }
    all_were_taken(&rig.account(load));
    drop(members);
}

/// Every write fails as it does on a full disk.
fn disk_full(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    let commands = ["insert", "update", "findAndModify", "delete"];
    fail(rig, doc! {"failCommands": &commands[..], "errorCode": 14031}, "alwaysOn");
    load.run_for(Duration::from_secs(8));
    fail(rig, doc! {}, "off");
    rig.fault_ended(&load);
    all_were_taken(&rig.account(load));
}

fn fail(rig: &Rig, data: Document, mode: &str) {
    let command = doc! {"configureFailPoint": "failCommand", "mode": mode, "data": data};
    rig.store().on_mongo(async |database| database.client().database("admin").run_command(command).await).unwrap();
}

/// Each piece comes 60 ms late, and one in 25 takes its connection with it.
fn slow(rig: &mut Rig) {
    let mongo = shared(Kind::Mongo);
    let proxy = Proxy::before(mongo.clone());
    rig.use_servers(&shared(Kind::Kafka), &proxy.address.to_string());
    rig.read_store_at(&format!("mongodb://{mongo}/?directConnection=true"));
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    proxy.set(Duration::from_millis(60), 25);
    load.run_for(Duration::from_secs(12));
    proxy.set(Duration::ZERO, 0);
    rig.fault_ended(&load);
    all_were_taken(&rig.account(load));
    drop(proxy);
}

/// The user loses its role under load and gets it back.
fn without_rights(rig: &mut Rig) {
    let name = format!("{}-mongod", rig.name);
    let key = run_folder().join(&name).join("key");
    let server = Server::new(Kind::Mongo, &name, &["--keyFile", key.to_str().unwrap(), "--auth"]);
    write_key(&key);
    server.start();
    form_replica_set_with_auth(&server);
    let database = rig.database();
    rig.use_servers(&shared(Kind::Kafka), "unused");
    rig.use_mongo(&format!("mongodb://eyego:secret@{}", server.address()), "directConnection=true&authSource=admin");
    rig.read_store_at(&admin_uri(&server));
    let role = doc! {"role": "readWrite", "db": &database};
    let admin = |rig: &Rig, command: Document| {
        rig.store().on_mongo(async |database| database.client().database("admin").run_command(command).await).unwrap()
    };
    admin(rig, doc! {"createUser": "eyego", "pwd": "secret", "roles": [role.clone()]});
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    admin(rig, doc! {"revokeRolesFromUser": "eyego", "roles": [role.clone()]});
    load.run_for(Duration::from_secs(8));
    admin(rig, doc! {"grantRolesToUser": "eyego", "roles": [role]});
    rig.fault_ended(&load);
    all_were_taken(&rig.account(load));
    drop(server);
}

fn admin_uri(server: &Server) -> String {
    format!("mongodb://root:root@{}/?directConnection=true&authSource=admin", server.address())
}

fn write_key(file: &std::path::Path) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let opened = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(file);
    std::io::Write::write_all(&mut opened.unwrap(), b"c2hhcmVkQnlOb2JvZHk=").unwrap();
}

/// Through the exception for the first user from this machine.
fn form_replica_set_with_auth(server: &Server) {
    let first = Store::mongo(&format!("mongodb://{}/?directConnection=true", server.address()), "admin");
    let run = |command: Document| first.on_mongo(async |database| database.run_command(command).await);
    run(doc! {"replSetInitiate": {"_id": "rs0", "members": [{"_id": 0, "host": server.address()}]}}).unwrap();
    eventually("there is a primary with a first user", || {
        run(doc! {"createUser": "root", "pwd": "root", "roles": ["root"]}).is_ok()
    });
}

/// An index over everything is built while logs are stored, and hangs in the middle for a while.
fn index_build(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    let hang = |mode: &str| doc! {"configureFailPoint": "hangAfterStartingIndexBuild", "mode": mode};
    let admin = |command: Document| {
        rig.store().on_mongo(async |database| database.client().database("admin").run_command(command).await).unwrap()
    };
    admin(hang("alwaysOn"));
    let uri = rig.environment["MONGO_URI"].clone();
    let database = rig.database();
    let building = std::thread::spawn(move || {
        let keys = doc! {"metadata.number": 1, "userId": 1, "action": -1};
        let build = mongodb::IndexModel::builder().keys(keys).options(IndexOptions::default()).build();
        Store::mongo(&uri, &database).on_mongo(async |database| logs(database).create_index(build).await)
    });
    load.run_for(Duration::from_secs(8));
    admin(hang("off"));
    building.join().unwrap().unwrap();
    rig.fault_ended(&load);
    all_were_taken(&rig.account(load));
}

/// Somebody drops `id_1`, the service is killed, and the counter is set back meanwhile.
fn unique_index_missing(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    rig.store().on_mongo(async |database| logs(database).drop_index("id_1").await).unwrap();
    load.run_for(Duration::from_secs(3));
    rig.service_mut().kill();
    set_counter(rig, 0);
    rig.restart(0);
    rig.fault_ended(&load);
    rig.account(load);
    rig.expect_in_flight();
    let names = rig.store().on_mongo(async |database| logs(database).list_index_names().await).unwrap();
    assert!(names.iter().any(|name| name == "id_1"), "{names:?}");
}

/// The counter is set back while logs are stored, twice: ids clash, and none of it may pass for "already stored".
fn counter_behind(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    for _ in 0..2 {
        load.run_for(BEFORE);
        set_counter(rig, 10);
        rig.fault_ended(&load);
    }
    let posts = rig.account(load);
    all_were_taken(&posts);
    assert!(rig.service().alarms("ids_taken").is_none_or(|count| count > 0), "no alarm");
}

fn set_counter(rig: &Rig, seq: i64) {
    let set = doc! {"$set": {"seq": Bson::Int64(seq)}};
    rig.store().on_mongo(async |database| {
        let counters = database.collection::<Document>("counters");
        counters.update_one(doc! {"_id": "userActivityLogId"}, set).await.unwrap();
    });
}
