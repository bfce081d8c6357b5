#!/usr/bin/env python3
"""What a ledger's history costs: the figures of a ledger that has had many transfers, or that has many wallets.

    cargo build --release -p bursar -p bursar-loadtest
    benches/history.py transfers --count 50000000 --ids random
    benches/history.py wallets --count 10000000
    benches/history.py folding

It starts servers of its own, on loopback, in a directory that it makes and removes (in --place). The machine should have nothing
else to do. Every figure is printed when it is known; nothing is judged.

transfers  so many transfers among 10,000 wallets, in batches of 1,000: the speed of the second and the last million, memory,
           disk, the retry of the first ids, first pages of statements, and starts after kills under load
wallets    so many wallets, imported: memory, and starts after kills, before and after 100,000 of them were used
folding    single transfers at half of the highest speed: latency while the books are folded, and while they are not
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from typing import Any, Callable, Dict, List, Tuple

HOME = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOME / "examples" / "python"))

import bursar_client as bursar  # noqa: E402 -- its place must be known first


def say(figure: str, value: str) -> None:
    print(f"{figure:<58} {value}", flush=True)


def milliseconds(measured: List[float]) -> str:
    ordered = sorted(measured)
    return f"p50 {statistics.median(ordered):.2f} ms, p99 {ordered[len(ordered) * 99 // 100]:.2f} ms, max {ordered[-1]:.2f} ms"


def bytes_below(folder: pathlib.Path) -> int:
    """What the files take on the disk."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


def timed(action: Callable[[], Any]) -> Tuple[float, Any]:
    """How many milliseconds it took, and what came of it."""
    begun = time.perf_counter()
    result = action()
    return (time.perf_counter() - begun) * 1000, result


class Server:
    """A server that is this script's own, and ends with it at the latest."""

    running: List[subprocess.Popen] = []

    def __init__(self, binaries: pathlib.Path, data: pathlib.Path) -> None:
        begun = time.perf_counter()
        self.process = subprocess.Popen(
            [binaries / "bursar", "serve", "--data", data, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        Server.running.append(self.process)
        self.said: List[str] = []
        self.address = self.http = ""
        for line in self.process.stdout:
            self.said.append(line.strip())
            self.http = line.split()[-1] if line.startswith("metrics and health on ") else self.http
            if line.startswith("listening on "):
                self.address = line.split()[-1]
                break
        if not self.address:
            sys.exit(f"the server has ended with {self.process.wait()}: {self.said}")
        # Ready is who answers.
        with self.client() as client:
            client.ping()
        self.start_s = time.perf_counter() - begun

    def client(self) -> bursar.BursarClient:
        host, port = self.address.rsplit(":", 1)
        return bursar.BursarClient(host, int(port), timeout_s=60.0)

    def memory(self) -> str:
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in status if line.startswith(("VmRSS", "VmHWM"))}
        return f"{kilobytes['VmRSS'] / 1024:.0f} MiB resident, at most {kilobytes['VmHWM'] / 1024:.0f} MiB"

    def metrics(self) -> Dict[str, float]:
        page = urllib.request.urlopen(f"{self.http}/metrics", timeout=10).read().decode()
        samples = (line.rsplit(" ", 1) for line in page.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        if self.process.wait() != 0:
            sys.exit("the server did not stop cleanly")


class Figures:
    def __init__(self, arguments: argparse.Namespace, place: pathlib.Path) -> None:
        self.arguments = arguments
        self.binaries = arguments.binaries.resolve()
        self.place = place
        self.data = place / "ledger"

    def serve(self) -> Server:
        return Server(self.binaries, self.data)

    def start_again_and_again(self, server: Server, after: str) -> Server:
        """Kills it, and three times more whenever it is ready."""
        took = []
        for _ in range(4):
            server.kill()
            server = self.serve()
            took.append(f"{server.start_s:.2f} s")
        say(f"ready again after kill -9 {after}, again and again", ", ".join(took))
        say("  it said", server.said[0])
        return server

    def say_disk(self, unit: str) -> None:
        for figure, folder in (("disk, all of it", self.data), ("  of it the books", self.data / "books")):
            taken = bytes_below(folder)
            say(figure, f"{taken / 2**20:.0f} MiB, {taken / self.arguments.count:.0f} bytes a {unit}")

    def load(self, server: Server, *options: str) -> Dict[str, Any]:
        result = self.place / "load.json"
        command = [self.binaries / "bursar-loadtest", "run", "--addr", server.address, "--json", result, *options]
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode != 0:
            sys.exit(f"the load failed:\n{ran.stdout}\n{ran.stderr}")
        return json.loads(result.read_text())

    def kill_under_load(self, server: Server) -> None:
        load = subprocess.Popen(
            [self.binaries / "bursar-loadtest", "run", "--addr", server.address, "--duration", "60s", "--no-verify"]
            + ["--batch", "1000", "--in-flight", "4", "--seed", "77"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(12)
        server.kill()
        load.kill()
        load.wait()

    def transfers(self) -> None:
        server = self.serve()
        shape = ["--batch", "1000", "--in-flight", "4", "--wallets", "10000", "--ids", self.arguments.ids]
        loaded = self.load(server, *shape, "--transfers", str(self.arguments.count))
        say("verified", str(loaded["verified"]).lower())
        say("transfers a second, all of it", f"{loaded['transfers_per_second']:,.0f}")
        rates = [million["transfers_per_second"] for million in loaded["millions"]]
        if len(rates) > 2:
            second, last = rates[1], rates[-1]
            say("  the second million, the last", f"{second:,.0f}, {last:,.0f}: {last / second:.0%}")
            say("  the median of the second to sixth, of the last five",
                f"{statistics.median(rates[1:6]):,.0f}, {statistics.median(rates[-5:]):,.0f}: "
                f"{statistics.median(rates[-5:]) / statistics.median(rates[1:6]):.0%}")
        say("memory", server.memory())
        self.wait_until_folded(server)
        self.say_disk("transfer")

        with server.client() as client:
            first = client.subscribe(from_seq=1, kinds=["transfer"])
            orders = [event.order for event, _ in zip(first, range(1000))]
        with server.client() as client:
            took = [timed(lambda: client.create_transfers([order])) for order in orders]
            statuses = sorted({outcomes[0].status for _, outcomes in took})
            say("retry of the very first id", f"{took[0][0]:.2f} ms: {took[0][1][0].status}")
            say("retries of the first thousand, one at a time", f"{milliseconds([ms for ms, _ in took])}: {', '.join(statuses)}")
            wallets = sorted({order.credit_wallet for order in orders})
            random.Random(1).shuffle(wallets)
            for newest_first in (False, True):
                pages = [timed(lambda: client.statement(wallet, newest_first=newest_first, limit=100)) for wallet in wallets[:200]]
                end = "newest" if newest_first else "oldest"
                say(f"first page of a statement, a hundred rows, {end} first", milliseconds([ms for ms, _ in pages]))
        self.kill_under_load(server)
        server = self.start_again_and_again(server, "under load")
        server.stop()
        begun = time.perf_counter()
        subprocess.run([self.binaries / "bursar", "verify", self.data], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        say("verified, everything on disk, in", f"{time.perf_counter() - begun:.0f} s")

    def wait_until_folded(self, server: Server) -> None:
        while True:
            metrics = server.metrics()
            if metrics["bursar_books_seq"] >= metrics["bursar_journal_appended_seq"]:
                return
            time.sleep(0.5)

    def wallets(self) -> None:
        count = self.arguments.count
        server = self.serve()
        with server.client() as client:
            client.create_assets([bursar.Asset(id=1, code="USD", scale=2)])
            client.create_wallets([bursar.NewWallet(id=1, asset=1, flags=bursar.SYSTEM)])
        opening = self.place / "wallets.csv"
        with open(opening, "w", encoding="ascii") as lines:
            lines.write("id,asset,balance,owner\n")
            for number in range(count):
                lines.write(f"{number + 2},1,100000,{number // 2}\n")
        begun = time.perf_counter()
        subprocess.run(
            [self.binaries / "bursar", "import", opening, "--opening-wallet", "1", "--addr", server.address],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        say(f"{count:,} wallets imported in", f"{time.perf_counter() - begun:.0f} s")
        say("memory", server.memory())
        self.wait_until_folded(server)
        self.say_disk("wallet")
        server = self.start_again_and_again(server, "at rest")
        chosen = random.Random(2).sample(range(2, count + 2), min(100_000, count))
        with server.client() as client:
            for start in range(0, len(chosen) - 1, 1000):
                some = chosen[start : start + 1000]
                pairs = zip(some[::2], some[1::2])
                outcomes = client.create_transfers(
                    [
                        bursar.Transfer(id=10**12 + a, debit_wallet=a, credit_wallet=b, asset=1, amount=1)
                        for a, b in pairs
                    ]
                )
                if any(outcome.status != "created" for outcome in outcomes):
                    sys.exit(f"a transfer was not done: {outcomes}")
        say(f"memory after {len(chosen):,} of them were used", server.memory())
        say("  of them live", f"{server.metrics()['bursar_live_wallets']:,.0f}")
        self.start_again_and_again(server, "after that").stop()

    def folding(self) -> None:
        server = self.serve()
        peak = self.load(server, "--duration", "10s")["transfers_per_second"]
        say("single transfers, the highest speed", f"{peak:,.0f} a second")
        self.wait_until_folded(server)
        folds: List[Tuple[float, float]] = []
        watching = threading.Event()

        def watch() -> None:
            counted = summed = None
            name = "bursar_books_fold_duration_seconds"
            while not watching.wait(0.05):
                metrics = server.metrics()
                now = time.time()
                count, total = metrics.get(f"{name}_count", 0.0), metrics.get(f"{name}_sum", 0.0)
                if counted is not None and count > counted:
                    folds.append((now - 0.05 - (total - summed), now))
                counted, summed = count, total

        watcher = threading.Thread(target=watch)
        watcher.start()
        loaded = self.load(server, "--rate", f"{peak / 2:.0f}", "--duration", "60s")
        watching.set()
        watcher.join()
        server.stop()
        begun = datetime.datetime.fromisoformat(loaded["started_at"].replace("Z", "+00:00")).timestamp()
        inside, outside = [], []
        previous = 0.0
        for window in loaded["timeline"]:
            span = (begun + previous, begun + window["at_s"])
            previous = window["at_s"]
            touched = any(start < span[1] and end > span[0] for start, end in folds)
            (inside if touched else outside).append(window["latency_us"]["p99"] / 1000)
        say("half of it, for a minute", f"{loaded['transfers_per_second']:,.0f} a second, p99 {loaded['latency_us']['p99'] / 1000:.2f} ms")
        say("  folds", f"{len(folds)}, {statistics.mean(end - start for start, end in folds):.2f} s each")
        for name, windows in (("while the books are folded", inside), ("while they are not", outside)):
            say(f"  p99 in windows of the timeline {name}", f"median {statistics.median(windows):.2f} ms of {len(windows)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["transfers", "wallets", "folding"])
    parser.add_argument("--count", type=int, default=50_000_000, help="transfers or wallets (50,000,000)")
    parser.add_argument("--ids", choices=["time-ordered", "random"], default="time-ordered", help="of transfers (time-ordered)")
    parser.add_argument("--binaries", type=pathlib.Path, default=HOME / "target" / "release", help="where they are (target/release)")
    parser.add_argument("--place", type=pathlib.Path, help="where the directory is made (the system's place for temporary files)")
    parser.add_argument("--keep", action="store_true", help="do not remove it")
    arguments = parser.parse_args()
    place = pathlib.Path(tempfile.mkdtemp(prefix="bursar-history-", dir=arguments.place))
    try:
        getattr(Figures(arguments, place), arguments.what)()
    finally:
        for process in Server.running:
            process.kill()
            process.wait()
        if arguments.keep:
            print(f"kept: {place}")
        else:
            shutil.rmtree(place)


if __name__ == "__main__":
    main()
