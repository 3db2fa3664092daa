#!/usr/bin/env python3
"""Folds orders by customer, with nothing but the standard library.

    python3 examples/worker.py http://127.0.0.1:9123

It may be ended and started at any time, and more than once: one of them has the projection, the others wait.
"""

import json
import socket
import sys
import time
import urllib.error
import urllib.request
import uuid

NAME = "orders-of-customers"
WORKER = f"{socket.gethostname()}-{uuid.uuid4().hex[:12]}"


def call(server, path, body, wait=0):
    """A POST with JSON both ways: status and answer."""
    request = urllib.request.Request(
        server + path, json.dumps(body).encode(), {"content-type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=wait + 15) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def fold(state, event):
    """The state of one customer after an event; the same for the same."""
    orders = state.setdefault("orders", {})
    order = orders.setdefault(event["entityId"], {"events": 0})
    order["events"] += 1
    order["status"] = event["name"].rsplit(".", 1)[-1]
    return state


def step(server):
    """Takes events, folds them over what is stored, and saves. How many."""
    path = f"/api/v1/projections/{NAME}/poll?workerId={WORKER}&max=100&waitMs=20000"
    status, polled = call(server, path, {}, wait=20)
    if status != 200:
        raise RuntimeError(polled.get("message"))
    events = polled.get("events", [])
    if not events:
        return 0
    state = polled.get("currentState") or {}
    for event in events:
        state = fold(state, event)
    status, answer = call(server, f"/api/v1/projections/{NAME}/save", {
        "workerId": WORKER,
        "leaseNumber": polled["leaseNumber"],
        "partitionKey": polled["partition"],
        "state": state,
        "lastEventId": events[-1]["id"],
        "lastEventSeq": events[-1]["seq"],
    })
    if status == 409:
        print(f"not saved, it comes again: {answer['message']}", file=sys.stderr)
        return 0
    if status != 200:
        raise RuntimeError(answer.get("message"))
    return len(events)


def main():
    server = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:9123"
    registered = False
    while True:
        try:
            if not registered:
                asked = {"events": ["order.*"], "partitionKey": "$.data.customer.id"}
                status, answer = call(server, f"/api/v1/projections/{NAME}/worker", asked)
                if status != 200:
                    raise RuntimeError(answer.get("message"))
                registered = True
            count = step(server)
            if count:
                print(f"folded {count}", flush=True)
        except (OSError, RuntimeError) as error:
            print(f"trying again: {error}", file=sys.stderr)
            time.sleep(1)


if __name__ == "__main__":
    main()
