#!/usr/bin/env python3
"""Folds a permit file into the views that the example projections must have.

This shares no code with Weir: it is the second opinion of invariant P2. It
prints one JSON object, {"permit-departments": {partition: state}, "permit-cases": {...}}:

permit-departments  one partition; per department its events and cases
permit-cases        one partition per case: events, the last activity, its time in UTC

usage: fold_permits.py FILE
"""

import csv
import datetime
import json
import sys


def utc(text):
    moment = datetime.datetime.fromisoformat(text).astimezone(datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def fold(rows):
    departments, cases = {}, {}
    for row in rows:
        case = row["case:concept:name"]
        department = departments.setdefault(row["case:department"] or "unknown", {"events": 0, "cases": 0})
        department["events"] += 1
        department["cases"] += case not in cases
        cases[case] = {
            "events": cases.get(case, {"events": 0})["events"] + 1,
            "lastActivity": row["concept:name"],
            "at": utc(row["time:timestamp"]),
        }
    return {"permit-departments": {"__global__": {"departments": departments}}, "permit-cases": cases}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], newline="", encoding="utf-8-sig") as file:
        json.dump(fold(csv.DictReader(file)), sys.stdout, ensure_ascii=False, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
