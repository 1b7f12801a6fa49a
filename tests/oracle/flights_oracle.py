"""What the main job must come to, computed without the engine: delays by origin, carrier and hour, and the late flights.

    python3 tests/oracle/flights_oracle.py INPUT OUTDIR      INPUT: flights.csv or flights.csv.gz

One source, rows in file order. Everything depends on the input alone, times are UTC minutes since the epoch, and a watermark
"m minutes - 1 ms" is kept as m: it has reached the last millisecond of a window when m >= the window's end.
Writes delays.csv (one row for each result, updates included) and late.csv into OUTDIR, header first,
then the rows in the order of `LC_ALL=C sort`, and prints counts.
"""

import csv
import gzip
import sys
from calendar import timegm
from collections import namedtuple
from functools import cache
from pathlib import Path
from time import gmtime, strftime, strptime

BEHIND = 15  # the watermark stays this far behind the highest scheduled departure
STEP = 1  # and goes out when it has advanced by this
WINDOW = 60
LATENESS = 120  # a window takes updates for this long after its end
ISO = "%Y-%m-%dT%H:%M:%SZ"

Result = namedtuple("Result", "origin carrier window_start flights total_delay_min")
Late = namedtuple("Late", "origin carrier flight time_hour minute dep_delay")


@cache
def minutes(instant):
    return timegm(strptime(instant, ISO)) // 60


def scheduled(row):
    return minutes(row["time_hour"]) + int(row["minute"])


class Windows:
    """Counts by (end, origin, carrier), from the first record until the lateness is over."""

    def __init__(self):
        self.watermark = float("-inf")
        self.open = {}
        self.results, self.late = [], []

    def add(self, row, at):
        end = at - at % WINDOW + WINDOW
        if end + LATENESS <= self.watermark:
            self.late.append(Late(*(row[column] for column in Late._fields)))
            return
        key = (end, row["origin"], row["carrier"])
        flights, delay = self.open.get(key, (0, 0))
        self.open[key] = (flights + 1, delay + int(row["dep_delay"]))
        if end <= self.watermark:
            self.emit(key)

    def advance(self, watermark):
        for key in self.open:
            if self.watermark < key[0] <= watermark:
                self.emit(key)
        self.watermark = watermark
        self.open = {key: value for key, value in self.open.items() if key[0] + LATENESS > watermark}

    def emit(self, key):
        end, origin, carrier = key
        start = strftime(ISO, gmtime((end - WINDOW) * 60))
        self.results.append(Result(origin, carrier, start, *self.open[key]))


def run(rows):
    windows, highest = Windows(), float("-inf")
    for row in rows:
        at = scheduled(row)
        if row["dep_delay"] != "NA":
            windows.add(row, at)
        highest = max(highest, at)
        if highest - BEHIND >= windows.watermark + STEP:
            windows.advance(highest - BEHIND)
    windows.advance(float("inf"))
    return windows


def write(path, kind, rows):
    with open(path, "w", newline="") as out:
        lines = csv.writer(out, lineterminator="\n")
        lines.writerow(kind._fields)
        lines.writerows(sorted(tuple(map(str, row)) for row in rows))


def main(source, directory):
    opened = gzip.open if source.endswith(".gz") else open
    with opened(source, "rt", newline="") as lines:
        windows = run(csv.DictReader(lines))
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    write(directory / "delays.csv", Result, windows.results)
    write(directory / "late.csv", Late, windows.late)
    first = len({row[:3] for row in windows.results})
    print(f"results={len(windows.results)} windows={first} updates={len(windows.results) - first} late={len(windows.late)}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
