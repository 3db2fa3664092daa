#!/usr/bin/env python3
"""Folds a permit file into the views that the example projections must have.

This shares no code with Weir: it is the second opinion of invariant P2. It
prints one JSON object, {"permit-departments": {partition: state}, "permit-cases": {…}}:

permit-departments  per department: events, cases
permit-cases        per case: events, the last activity and its time

usage: fold_permits.py FILE
"""

import csv
import json
import sys


def fold(rows):
    departments, cases = {}, {}
    for row in rows:
        case, name = row["case:concept:name"], row["case:department"]
        department = departments.setdefault(name, {"events": 0, "cases": 0})
        department["events"] += 1
        if case not in cases:
            department["cases"] += 1
            cases[case] = {"events": 0}
        cases[case] = {
            "events": cases[case]["events"] + 1,
            "last_activity": row["concept:name"],
            "last_time": row["time:timestamp"],
        }
    return {"permit-departments": departments, "permit-cases": cases}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], newline="", encoding="utf-8-sig") as file:
        json.dump(fold(csv.DictReader(file)), sys.stdout, ensure_ascii=False, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
