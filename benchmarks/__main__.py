"""Run every measurement, print a table and write ``benchmarks/results.json``."""

import argparse
import datetime
import json
import os
import platform

from benchmarks import bootstrap, coverage, generator, gradcam, quick, training
from helpers import paths, results

PARTS = {"bootstrap": bootstrap.measure, "training": training.measure, "generator": generator.measure, "gradcam": gradcam.measure,
         "quick": quick.measure, "coverage": coverage.measure}


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)}; all where left out")
    wanted = parser.parse_args().parts or list(PARTS)
    file = paths.ROOT / "benchmarks" / "results.json"
    kept = {row["name"]: row for row in json.loads(file.read_text())} if file.is_file() else {}
    about = dict(device=f"{os.cpu_count()} cores, {platform.machine()}", commit=results.commit(), date=str(datetime.date.today()))
    for part in wanted:
        for row in PARTS[part]():
            kept[row["name"]] = {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()} | about
            print("{name:20} {value:10.2f} {unit:8} reference {reference} ratio {ratio}".format(**kept[row["name"]]), flush=True)
        paths.write(file, json.dumps(list(kept.values()), indent=1) + "\n")


if __name__ == "__main__":
    main()
