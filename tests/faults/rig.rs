//! What a scenario works with: its servers, its services, the load and the account at the end.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use crate::{
    account::{self, Exceptions, Row},
    eventually,
    kafka::Kafka,
    load::{Load, Post},
    patience,
    process::{Recipe, Service, free_port},
    scenario::{Backend, Scenario, Setup},
    servers::{self, Kind, Server, run_folder},
    store::Store,
};

/// How long a load lasts at least, and how long it goes on after the fault.
const SHORTEST_LOAD: Duration = Duration::from_secs(21);
const AFTER: Duration = Duration::from_secs(4);
/// Posts a second: some more than every scenario of the whole suite has to stand; and what a debug build stands beside
/// whatever else runs.
const RATE: f64 = 640.0;
const LEAST_RATE: f64 = 500.0;
const QUICK_RATE: f64 = 300.0;
/// How many times as many logs a second come in batches.
const BATCHED: f64 = 2.0;
/// How long everything acknowledged may take to be stored once the load is over; only how long a failing run takes.
const DRAIN: Duration = Duration::from_secs(120);

pub(crate) struct Rig {
    pub(crate) name: String,
    /// The whole suite runs: bounds on times are held, and loops are as long as they should be.
    pub(crate) whole: bool,
    pub(crate) backend: Backend,
    pub(crate) folder: PathBuf,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) wrapper: Vec<String>,
    /// A broker of its own, if it has one.
    pub(crate) kafka_server: Option<Server>,
    /// A mongod of its own, if it has one.
    pub(crate) mongo_server: Option<Server>,
    pub(crate) services: Vec<Service>,
    pub(crate) row: Row,
    pub(crate) exceptions: Exceptions,
    /// A reset takes the group's offsets back on purpose.
    pub(crate) commits_may_go_back: bool,
    /// What a client of the suite itself needs to be let in.
    pub(crate) kafka_properties: Vec<(String, String)>,
    /// What is wrong so far.
    faults: Vec<String>,
    logs: Vec<PathBuf>,
    store: Option<Store>,
}

impl Rig {
    pub(crate) fn new(scenario: &Scenario, whole: bool) -> Self {
        let name = scenario.name.replace('/', "-");
        let folder = run_folder().join("scenarios").join(&name);
        std::fs::create_dir_all(&folder).unwrap();
        Self {
            name,
            whole,
            backend: scenario.backend,
            folder,
            environment: BTreeMap::new(),
            wrapper: Vec::new(),
            kafka_server: None,
            mongo_server: None,
            services: Vec::new(),
            row: Row::default(),
            exceptions: Exceptions::default(),
            commits_may_go_back: false,
            kafka_properties: Vec::new(),
            faults: Vec::new(),
            logs: Vec::new(),
            store: None,
        }
    }

    /// Starts the servers that the scenario asks for and points the service at them.
    pub(crate) fn prepare(&mut self, setup: Setup) {
        match setup {
            Setup::Embedded => {
                let folder = self.data_folder();
                self.set("DATA_DIR", folder.to_str().unwrap());
                self.store = Some(Store::Embedded { folder });
            }
            Setup::Shared => self.use_servers(&servers::shared(Kind::Kafka), &servers::shared(Kind::Mongo)),
            Setup::OwnKafka(properties) => {
                let server = Server::started(Kind::Kafka, &format!("{}-kafka", self.name), properties);
                self.use_servers(&server.address(), &servers::shared(Kind::Mongo));
                self.kafka_server = Some(server);
            }
            Setup::OwnMongo(arguments) => {
                let server = Server::started(Kind::Mongo, &format!("{}-mongod", self.name), arguments);
                self.use_servers(&servers::shared(Kind::Kafka), &server.address());
                self.mongo_server = Some(server);
            }
            Setup::ByItself => {}
        }
    }

    pub(crate) fn data_folder(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// A topic, a group and a database of its own on these servers.
    pub(crate) fn use_servers(&mut self, kafka: &str, mongo: &str) {
        let name = self.database();
        self.set("KAFKA_BROKERS", kafka);
        self.set("KAFKA_TOPIC", &name);
        self.set("KAFKA_CONSUMER_GROUP", &name);
        self.set("KAFKA_PROPERTIES", "session.timeout.ms=6000;heartbeat.interval.ms=2000");
        self.use_mongo(&format!("mongodb://{mongo}"), "replicaSet=rs0&directConnection=true");
    }

    /// Points the service at this MongoDB.
    pub(crate) fn use_mongo(&mut self, base: &str, options: &str) {
        let name = self.database();
        self.set("MONGO_URI", &format!("{base}/{name}?{options}"));
        self.store = Some(Store::mongo(&format!("{base}/?{options}"), &name));
    }

    /// The account reads the store through another address than the service does.
    pub(crate) fn read_store_at(&mut self, uri: &str) {
        self.store = Some(Store::mongo(uri, &self.database()));
    }

    pub(crate) fn database(&self) -> String {
        self.name.replace('-', "_")
    }

    pub(crate) fn kafka(&self) -> Kafka {
        Kafka {
            brokers: self.environment["KAFKA_BROKERS"].clone(),
            topic: self.environment["KAFKA_TOPIC"].clone(),
            group: self.environment["KAFKA_CONSUMER_GROUP"].clone(),
            properties: self.kafka_properties.clone(),
        }
    }

    pub(crate) fn kafka_server(&self) -> &Server {
        self.kafka_server.as_ref().unwrap()
    }

    pub(crate) fn mongo_server(&self) -> &Server {
        self.mongo_server.as_ref().unwrap()
    }

    pub(crate) fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    // Services.

    /// How one more service is started; it keeps its port when it is started again.
    pub(crate) fn recipe(&mut self) -> Recipe {
        let (folder, environment) = (self.folder.clone(), self.environment.clone());
        let recipe = Recipe { folder, environment, wrapper: self.wrapper.clone(), port: free_port() };
        self.logs.push(recipe.log());
        recipe
    }

    /// Starts one more service and waits until it is ready.
    pub(crate) fn start(&mut self) {
        let service = self.recipe().start();
        service.wait_until_ready();
        self.services.push(service);
    }

    /// Starts a service again that has ended, with the same recipe; returns when it listens.
    pub(crate) fn restart(&mut self, index: usize) {
        let again = self.services[index].recipe.start();
        self.services[index] = again;
    }

    pub(crate) fn service(&self) -> &Service {
        &self.services[0]
    }

    pub(crate) fn service_mut(&mut self) -> &mut Service {
        &mut self.services[0]
    }

    // The load.

    /// Begins to post to all services in turn.
    pub(crate) fn load(&self) -> Load {
        let ports: Vec<_> = self.services.iter().map(|service| service.recipe.port).collect();
        Load::start(&ports, if self.whole { RATE } else { QUICK_RATE })
    }

    /// The same in batches.
    pub(crate) fn batch_load(&self) -> Load {
        let ports: Vec<_> = self.services.iter().map(|service| service.recipe.port).collect();
        Load::start_in_batches(&ports, BATCHED * if self.whole { RATE } else { QUICK_RATE })
    }

    /// The fault is over: measures how long it takes until posts are taken again and all that was acknowledged until
    /// now is stored.
    pub(crate) fn fault_ended(&mut self, load: &Load) {
        let (ended, began) = (load.elapsed(), Instant::now());
        if !self.faults.is_empty() {
            return;
        }
        patience(DRAIN, "posts are taken again after the fault", || load.taken_since(ended).is_some());
        let acknowledged: Vec<_> = load.acknowledged().into_iter().filter(|id| self.is_wanted(id)).collect();
        while !self.store().holds(&acknowledged) {
            if began.elapsed() > DRAIN {
                // The account will say what is missing.
                self.faults.push(format!("not all is stored {DRAIN:?} after the fault"));
                return;
            }
            thread::sleep(Duration::from_millis(40));
        }
        let recovered = began.elapsed();
        self.row.recovered = Some(self.row.recovered.map_or(recovered, |before| before.max(recovered)));
    }

    /// Lets the load go on as long as it has to, ends it, and settles the account.
    pub(crate) fn account(&mut self, load: Load) -> Vec<Post> {
        load.run_until(SHORTEST_LOAD.max(load.elapsed() + AFTER));
        let (posts, lasted) = load.finish();
        let rate = posts.len() as f64 / lasted.as_secs_f64();
        // Only the whole suite has the machine to itself.
        assert!(!self.whole || rate >= LEAST_RATE, "only {rate:.0} posts a second");
        self.settle(&posts);
        posts
    }

    /// Waits until everything is stored and committed, and compares.
    pub(crate) fn settle(&mut self, posts: &[Post]) {
        let wanted: Vec<_> = posts.iter().filter_map(Post::event_id).filter(|id| self.is_wanted(id)).collect();
        let mut faults = std::mem::take(&mut self.faults);
        let deadline = Instant::now() + if faults.is_empty() { DRAIN } else { Duration::ZERO };
        while !self.store().holds(&wanted) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(100));
        }
        if self.backend == Backend::Servers {
            let kafka = self.kafka();
            while !kafka.is_drained() {
                if Instant::now() > deadline {
                    faults.push(format!("not drained: {:?} of {:?}", kafka.committed(), kafka.ends(&kafka.topic)));
                    break;
                }
                thread::sleep(Duration::from_millis(200));
            }
            if !self.commits_may_go_back {
                faults.extend(account::commits_go_forward(&kafka.commits()));
            }
        }
        self.wait_until_quiet();
        let stored = self.store().all();
        faults.extend(account::settle(&mut self.row, posts, &stored, &self.exceptions));
        let expired = self.exceptions.expired_unread(&stored);
        if let Some(service) = self.services.first() {
            faults.extend(account::ledger_balances(&mut self.row, service, &self.exceptions, expired));
        }
        let memory = self.services.iter().filter_map(Service::peak_memory).max();
        self.row.notes.extend(memory.map(|memory| format!("{memory} MB")));
        assert!(faults.is_empty(), "{}", faults.join("; "));
    }

    fn is_wanted(&self, event_id: &String) -> bool {
        !self.exceptions.deleted.contains(event_id) && !self.exceptions.expired.contains(event_id)
    }

    /// Posts whose outcome is unknown may still arrive.
    fn wait_until_quiet(&self) {
        let mut before = None;
        eventually("nothing more is stored", || {
            let now = self.store().count();
            let quiet = now.is_some() && now == before;
            before = now;
            thread::sleep(Duration::from_millis(if quiet { 0 } else { 400 }));
            quiet
        });
    }

    /// Something has to have been under way when the fault struck, or it proves nothing.
    pub(crate) fn expect_in_flight(&self) {
        assert!(self.row.unknown > 0 || self.row.duplicates > 0, "nothing was in flight at the moment of the fault");
    }

    /// Every log file there is, and the end of what the services wrote.
    pub(crate) fn evidence(&self) -> String {
        let mut text = String::new();
        for server in self.kafka_server.iter().chain(&self.mongo_server) {
            text.push_str(&format!("\n    server log: {}", server.log().display()));
        }
        for log in &self.logs {
            let said = std::fs::read(log).unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            // One line for each refused post would hide the rest.
            let lines: Vec<_> = said.lines().filter(|line| !line.contains("request failed")).collect();
            text.push_str(&format!("\n    {} (its end):", log.display()));
            for line in &lines[lines.len().saturating_sub(15)..] {
                text.push_str(&format!("\n      {line}"));
            }
        }
        text
    }
}
