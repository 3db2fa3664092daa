//! kill -9 of a process that appends: what it was told durable is there.
#![allow(clippy::unwrap_used, reason = "only tests use it, clippy knows only test functions")]

mod scene;

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
};

use scene::*;
use weir_storage::{folder::DataFolder, log::Log};

const FOLDER: &str = "WEIR_TEST_KILLED_FOLDER";
const KILLS: u64 = 5;

/// The child's part: appends until it is killed, and prints each index when it is durable.
#[test]
fn appends_until_killed() {
    let Some(path) = env::var_os(FOLDER).map(PathBuf::from) else { return };
    let folder = DataFolder::open(path, identity()).unwrap();
    let log = Log::open(&folder, GROUP, TINY, &log_thread()).unwrap();
    for index in last_index(&log) + 1.. {
        log.append(
            records(1, index..index + 1),
            Box::new(move |result| {
                result.unwrap();
                let mut out = std::io::stdout().lock();
                writeln!(out, "durable {index}").unwrap();
                out.flush().unwrap();
            }),
        )
        .unwrap();
        if index % 16 == 0 {
            append(&log, Vec::new());
        }
    }
}

#[test]
fn l2_a_killed_process_keeps_what_it_acknowledged() {
    let scene = Scene::new(TINY);
    let mut acknowledged = 0;
    for kill in 1..=KILLS {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "appends_until_killed", "--nocapture"])
            .env(FOLDER, scene.dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let durable = out.lines().filter_map(|line| {
            let line = line.ok()?;
            line.split_once("durable ").map(|(_, index)| index.parse::<u64>().unwrap())
        });
        let enough = acknowledged + 300;
        for index in durable {
            acknowledged = acknowledged.max(index);
            if index == enough {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(acknowledged >= enough, "kill {kill}: the child ended early");
        let log = scene.open();
        assert!(last_index(&log) >= acknowledged, "kill {kill}");
        assert_eq!(read_all(&log), records(1, 1..last_index(&log) + 1), "kill {kill}");
    }
}
