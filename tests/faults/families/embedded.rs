//! The embedded engine: no room, no right to write, damaged files, a clock that goes back. (Killed: see `service`.)

use std::{
    fs,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    eventually,
    load::Post,
    patience,
    process::Recipe,
    rig::Rig,
    scenario::{Scenario, Setup::Embedded},
};

pub(crate) const ALL: &[Scenario] = &[
    Scenario::on("embedded-disk-full", Embedded, disk_full).quick(),
    Scenario::on("embedded-file-limit", Embedded, file_limit),
    Scenario::on("embedded-damaged", Embedded, damaged),
    Scenario::on("embedded-wal-shortened", Embedded, wal_shortened),
    Scenario::on("embedded-value-changed", Embedded, value_changed),
    Scenario::on("embedded-read-only", Embedded, read_only),
    Scenario::on("embedded-clock-back", Embedded, clock_back),
];

const BEFORE: Duration = Duration::from_secs(6);
/// In units of 1,024 bytes: reached after some seconds of load, long before a log file is moved into its database.
const ROOM: &str = "12000";

/// No file may grow any more, which is an error in the middle of a write; then there is room again.
fn file_limit(rig: &mut Rig) {
    let limited = format!("trap '' XFSZ; ulimit -S -f {ROOM}; exec \"$@\"");
    rig.wrapper = ["bash", "-c", &limited, "limited"].map(str::to_owned).to_vec();
    full(rig, |rig| {
        let room = ["--pid", &rig.service().pid().to_string(), "--fsize=unlimited"].map(str::to_owned);
        assert!(Command::new("prlimit").args(room).status().unwrap().success());
    });
}

/// A small disk of its own is full: nothing is taken and every post is told so; then the disk grows.
fn disk_full(rig: &mut Rig) {
    if !is_root() {
        rig.row.note("not root, so no disk of its own: with a limit on files");
        return file_limit(rig);
    }
    let disk = SmallDisk::mounted(&rig.data_folder());
    full(rig, |_| disk.grow());
    rig.services.clear();
    assert_eq!(rig.row.unknown, 0, "a full disk leaves nothing in doubt");
}

fn full(rig: &mut Rig, make_room: impl FnOnce(&Rig)) {
    rig.start();
    let load = rig.load();
    let hurt = |post: &Post| post.event_id().is_none();
    patience(Duration::from_secs(60), "the disk is full", || load.posts().iter().any(hurt));
    load.run_for(Duration::from_secs(5));
    make_room(rig);
    rig.fault_ended(&load);
    let posts = rig.account(load);
    let count = posts.iter().filter(|post| hurt(post)).count();
    assert!(count > 500, "only {count} posts met the full disk");
    assert!(rig.service_mut().has_ended().is_none(), "the service ended");
}

/// A file system in memory.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mounted(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=12m", "faults"]).arg(folder).status();
        assert!(mounted.unwrap().success());
        Self(folder.to_owned())
    }

    fn grow(&self) {
        let grown = Command::new("mount").args(["-o", "remount,size=500m"]).arg(&self.0).status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A copy of the data as it lies there now, to be damaged; the service is pointed at it.
fn copy(rig: &Rig, recipe: &Recipe, name: &str) -> (Recipe, PathBuf) {
    let folder = rig.folder.join(name);
    fs::create_dir_all(&folder).unwrap();
    for entry in fs::read_dir(rig.data_folder()).unwrap() {
        let file = entry.unwrap();
        fs::copy(file.path(), folder.join(file.file_name())).unwrap();
    }
    let mut recipe = Recipe { port: 0, ..recipe.clone() };
    recipe.environment.insert("DATA_DIR".to_owned(), folder.to_str().unwrap().to_owned());
    (recipe, folder)
}

/// The service has to end at once with exit code 1 and name what is wrong.
fn refuses_to_start(recipe: &Recipe, damage: &str, named: &str) {
    let mut child = recipe.command(&[]);
    let output = folder_of(recipe).join("said");
    let file = fs::File::create(&output).unwrap();
    let mut child = child.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
    crate::servers::note_started(child.id());
    let mut status = None;
    let started = std::time::Instant::now();
    while status.is_none() && started.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(20));
        status = child.try_wait().unwrap();
    }
    let _ = child.kill();
    let _ = child.wait();
    crate::servers::note_ended(child.id());
    let said = fs::read_to_string(&output).unwrap();
    let code = status.and_then(|status| status.code());
    assert_eq!(code, Some(1), "{damage}: the service has to refuse to start; it said: {said}");
    assert!(said.contains(named), "{damage}: {named} is not named: {said}");
}

fn folder_of(recipe: &Recipe) -> PathBuf {
    PathBuf::from(&recipe.environment["DATA_DIR"])
}

type Damage = fn(&Path);

fn cut_in_half(file: &Path) {
    let length = fs::metadata(file).unwrap().len();
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(length / 2).unwrap();
}

/// Rubbish over two pages in the middle.
fn scribble(file: &Path) {
    let length = fs::metadata(file).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(file).unwrap();
    file.write_all_at(&[0xA5; 8192], length / 2 / 4096 * 4096).unwrap();
}

fn scribble_head(file: &Path) {
    fs::OpenOptions::new().write(true).open(file).unwrap().write_all_at(&[0xA5; 100], 0).unwrap();
}

fn remove(file: &Path) {
    fs::remove_file(file).unwrap();
}

/// Each of the two files cut, scribbled over or missing, on copies of the data of a service that ended in order.
fn damaged(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    rig.service_mut().terminate();
    let recipe = rig.service().recipe.clone();
    let damages: [(&str, Damage); 4] = [
        ("cut in half", cut_in_half),
        ("scribbled over", scribble),
        ("without a head", scribble_head),
        ("missing", remove),
    ];
    let mut faults = Vec::new();
    for file in ["logs.db", "queue.db"] {
        for (what, damage) in damages {
            let (recipe, folder) = copy(rig, &recipe, &format!("{file} {what}"));
            damage(&folder.join(file));
            let tried = std::panic::catch_unwind(|| refuses_to_start(&recipe, &format!("{file} {what}"), file));
            faults.extend(tried.err().map(|_| crate::runner::last_panic()));
        }
    }
    rig.restart(0);
    rig.fault_ended(&load);
    rig.account(load);
    assert!(faults.is_empty(), "{}", faults.join("; "));
    rig.row.note("8 kinds of damage named");
}

/// What a crash left in a log file is gone: each file knows how far the other had come.
fn wal_shortened(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    rig.service_mut().kill();
    let recipe = rig.service().recipe.clone();
    let mut faults = Vec::new();
    for file in ["logs.db", "queue.db"] {
        let name = format!("{file}-wal");
        let (recipe, folder) = copy(rig, &recipe, &format!("{name} shortened"));
        // Its head and one page: whatever was committed since it was last begun anew is lost.
        fs::OpenOptions::new().write(true).open(folder.join(&name)).unwrap().set_len(32 + 24 + 4096).unwrap();
        let tried = std::panic::catch_unwind(|| refuses_to_start(&recipe, &format!("{name} shortened"), file));
        faults.extend(tried.err().map(|_| crate::runner::last_panic()));
    }
    rig.restart(0);
    rig.fault_ended(&load);
    rig.account(load);
    rig.expect_in_flight();
    assert!(faults.is_empty(), "{}", faults.join("; "));
}

/// One value of one row: not found at start, but by `eyego verify`, which names the event.
fn value_changed(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    rig.service_mut().terminate();
    let recipe = rig.service().recipe.clone();
    let verify = |recipe: &Recipe| {
        let output = recipe.command(&["verify"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said)
    };
    let (healthy, _) = copy(rig, &recipe, "healthy");
    let sound = verify(&healthy);
    let (changed, folder) = copy(rig, &recipe, "changed");
    let event_id = {
        let connection = rusqlite::Connection::open(folder.join("logs.db")).unwrap();
        let change =
            "UPDATE logs SET user_id = 'somebody' WHERE id = (SELECT max(id) / 2 FROM logs) RETURNING event_id";
        let event_id: Vec<u8> = connection.query_row(change, [], |row| row.get(0)).unwrap();
        eyego::domain::EventId::from_bytes(event_id.try_into().unwrap()).to_string()
    };
    let found = verify(&changed);
    let service = Recipe { port: crate::process::free_port(), ..changed }.start();
    eventually("it starts all the same", || service.is_ready());
    drop(service);
    rig.restart(0);
    rig.fault_ended(&load);
    rig.account(load);
    assert_eq!(sound.0, Some(0), "verify of sound data: {}", sound.1);
    assert_eq!(found.0, Some(1), "verify of a changed value: {}", found.1);
    assert!(found.1.contains(&event_id), "verify does not name {event_id}: {}", found.1);
}

/// The folder may not be written to, with data in it and without.
fn read_only(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    rig.service_mut().terminate();
    let recipe = rig.service().recipe.clone();
    for name in ["read-only-empty", "read-only-full"] {
        let (mut copied, folder) = copy(rig, &recipe, name);
        for entry in fs::read_dir(&folder).unwrap() {
            let file = entry.unwrap().path();
            if name == "read-only-empty" {
                fs::remove_file(file).unwrap();
            } else {
                fs::set_permissions(file, fs::Permissions::from_mode(0o444)).unwrap();
            }
        }
        // What it says is written by who starts it.
        fs::write(folder.join("said"), "").unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
        if is_root() {
            // Root may write wherever it likes.
            let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
            copied.wrapper = nobody.map(str::to_owned).to_vec();
        }
        refuses_to_start(&copied, name, folder.to_str().unwrap());
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    rig.restart(0);
    rig.fault_ended(&load);
    rig.account(load);
}

fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").unwrap().lines().any(|line| line.starts_with("Uid:\t0\t"))
}

/// Where Debian's faketime has its library; the loader puts in the rest.
const FAKETIME: &str = "/usr/$LIB/faketime/libfaketime.so.1";

/// The service is started again two days ago, and then again today.
fn clock_back(rig: &mut Rig) {
    rig.start();
    let load = rig.load();
    load.run_for(BEFORE);
    rig.service_mut().kill();
    let today = rig.service().recipe.clone();
    let mut back = today.clone();
    // Its own command would run the service as a child, out of reach.
    let faked = [("LD_PRELOAD", FAKETIME), ("FAKETIME", "-2d"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    back.environment.extend(faked.map(|(name, value)| (name.to_owned(), value.to_owned())));
    rig.services[0].recipe = back;
    rig.restart(0);
    rig.fault_ended(&load);
    load.run_for(BEFORE);
    rig.service_mut().kill();
    rig.services[0].recipe = today;
    rig.restart(0);
    rig.fault_ended(&load);
    rig.account(load);
    rig.expect_in_flight();
    let stored = rig.store().all();
    let received = crate::store::open(&rig.data_folder(), "logs.db").unwrap();
    let query = "SELECT max(received_at) - min(received_at) FROM logs";
    let span: i64 = received.query_row(query, [], |row| row.get(0)).unwrap();
    assert!(span > 86_400_000, "the clock never went back: {} logs within {span} ms", stored.len());
}
