# The one door for chores. Each recipe is a plain command that works without `just`.

# Lists the recipes.
default:
    @just --list

# Formatting, clippy, tidy: writes nothing.
verify:
    cargo xtask verify

# Formats the code.
fix:
    cargo xtask fix

# The whole check; with a filter, the tests that match.
test *filter:
    cargo xtask test {{filter}}

# The cluster tests alone; with a filter, those that match.
cluster-test filter="package(weir-cluster-tests)":
    cargo build --workspace --bins --tests && cargo nextest run --workspace -E '{{filter}}'

# Acceptance recipes: lists them, or runs an area or one.
accept *recipe:
    cargo xtask accept {{recipe}}

# Attacks a cluster for so many minutes and judges what clients saw.
chaos minutes="10" *flags:
    cargo xtask chaos --minutes {{minutes}} {{flags}}

# One node in the foreground, data in ./weir-data.
run *flags:
    cargo run --release -- dev {{flags}}

# Any command of `weir`.
weir *args:
    cargo run --release --quiet -- {{args}}

# Appends per second on three local nodes.
bench *flags:
    cargo xtask accept foundation/bench {{flags}}

# Weir beside NATS JetStream, etcd and PostgreSQL: the table and the plots of docs/performance.md.
bench-peers *flags="--window 5":
    cargo xtask accept prove/peers {{flags}}

# One node at 1, 3, 10 and 30 million events.
bench-growth *flags="--write":
    bench/growth {{flags}}

# Time without appends after kill -9 of the leader.
bench-failover *flags="--kills 100":
    cargo xtask accept prove/failover {{flags}}

# Every fuzz target under libFuzzer, for so many seconds each.
fuzz seconds="20":
    cargo xtask accept prove/fuzz --window {{seconds}}

# Counts the instructions of an append; fails when they grow.
ratchet *flags:
    cargo xtask ratchet {{flags}}

# Renders and validates the Kubernetes manifests.
deploy:
    cargo xtask deploy

# Three nodes and one NATS in Docker.
up:
    docker compose --file deploy/compose/compose.yaml up --build --detach

# Stops them; their volumes stay.
down:
    docker compose --file deploy/compose/compose.yaml down
