//! The checker of streams over a history in which nothing is broken.
#![allow(missing_docs, reason = "a bench")]

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weir_check::{
    Evidence, Rules,
    sample::{Shape, run},
    stream,
};

const OPERATIONS: u64 = 20_000;

fn streams(criterion: &mut Criterion) {
    let (history, end) = run(Shape::small(1, OPERATIONS));
    let mut group = criterion.benchmark_group("check");
    group.throughput(Throughput::Elements(OPERATIONS));
    group.bench_function("index 20,000 operations", |bench| {
        bench.iter(|| Evidence::new(&history, &end, Rules::default()));
    });
    let evidence = Evidence::new(&history, &end, Rules::default());
    group.bench_function("streams of 20,000 operations", |bench| bench.iter(|| stream::check(&evidence)));
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}

criterion_group!(name = check; config = short(); targets = streams);
criterion_main!(check);
