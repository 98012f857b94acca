"""The rows of tests/bench/run that need two nodes: Corosync, Pacemaker and halund in the namespaces of
tests/cluster/rig, links are veth pairs, both disks are files of one file system. Nothing is pinned: two nodes and
the load share the machine's cores, and so do the programs that they are compared with.

Replicated writes are compared with halun-floor: the same blocks, at the same depth, to the same file system, written
here while they travel to the other node and are written there; it has no SCSI, no iSCSI, no order to keep. A plain
write is on the disks of both then, perhaps in their caches; one with FUA is on stable storage of both. Its asker is on
node1 itself; in the rows "-hop" it is the client, as halun's load is, and node1 passes on. In "-barriers" the floor's
peer flushes as halun's does for the barriers of DRBD's protocol; in "-link" the link carries 1 Gbit/s, less than the
disks.

PERSISTENT RESERVE OUT is compared with what Corosync needs on the same nodes until the other one has answered one
message. switchover is the longest pause between two acknowledged writes at depth 16 while Pacemaker moves the group
to the other node (tests/cluster/measure has many rounds of both, more LUs and registrants, and says where the time goes)."""
import contextlib
import json
import os
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/cluster"))
import halun_array  # noqa: E402  (found by the line above)

SIZE = 256 << 20
COMMANDS = 50  # of a measurement of reservations
FLOOR_PORT, PASS_PORT = "7999", "7998"
DISK, MEMORY = 0, 1  # LUNs


class BenchArray(halun_array.Array):
    """Group g0 with a replicated unit on O_DIRECT, and a group without replication for the way of a command."""

    def configuration(self):
        text = super().configuration().replace("direct = false  # any file system", "direct = true")
        text = text.replace('cluster {\n', 'cluster {\n    reactors = 1\n', 1)
        text = text.replace('host "client"', 'group "memory" {\n}\nlu "memory" {\n'
                            '    uuid = "5d2c1f0e-8c3a-4b57-9a41-7f1f0f3c9e77"\n    group = "memory"\n'
                            f'    store = memory\n    size = 64M\n}}\nhost "client"', 1)
        return text.replace("    lun 0 {", f'    lun {MEMORY} {{\n        lu = "memory"\n    }}\n    lun 0 {{', 1)


    def status(self, node):
        """Of the group that Pacemaker moves; nobody but us knows the other one."""
        found = super().status(node)
        if found:
            found["groups"] = [g for g in found["groups"] if g["name"] == halun_array.GROUP]
        return found


class TwoNodes:
    """One array, brought up when a row first needs it."""

    name = "two-nodes"

    def __init__(self, tls):
        directory = f"/var/tmp/halun-bench-{os.getpid()}{'-tls' if tls else ''}"
        self.answering = None
        self.array = BenchArray(directory, lus=(("disk0", SIZE),), tls=tls)
        try:
            self.array.up()
            self.array.must("node1", "halunctl", "group", "promote", "memory")
            self.floor_files()
            self.answering = subprocess.Popen(self.array.entry("node2", 3600) + ["halun-cpg-latency", "--answer"],
                                              stdin=subprocess.DEVNULL)
            for lun, size in ((DISK, SIZE), (MEMORY, 64 << 20)):
                self.load(lun, True, ["--sequential", "--reads", "0", "--block", str(1 << 20), "--depth", "4",
                                      "--warm-up", "0", "--seconds", "2"], size)
        except BaseException:
            self.stop()
            raise

    def stop(self):
        self.array.down()  # and with it whoever answers
        if self.answering:
            self.answering.wait()

    def entry(self, host):
        with open(f"{self.array.dir}/{host}/pid") as f:
            return ["nsenter", "-t", f.read().split()[0], "-n"]

    def floor_file(self, node):
        return f"{self.array.dir}/{node}/var/lib/halun/floor.img"

    def floor_files(self):
        for node in ("node1", "node2"):
            with open(self.floor_file(node), "wb") as f:
                for _ in range(SIZE >> 20):
                    f.write(b"\x01" * (1 << 20))
                os.fsync(f.fileno())

    def owner(self, lun):
        return "node1" if lun == MEMORY else self.array.owner()

    def load(self, lun, at_owner, options, size=SIZE):
        owner = self.owner(lun)
        node = owner if at_owner else {"node1": "node2", "node2": "node1"}[owner]
        program = os.path.join(self.array.build, "tests/bench/halun-load")
        done = subprocess.run(self.entry("client") + [program, "--lun", str(lun), "--size", str(size), *options,
                                                      f"10.99.0.{node[4:]}", "3260", halun_array.TARGET],
                              capture_output=True, text=True, timeout=120)
        if done.returncode:
            sys.exit(f"bench: two nodes: {' '.join(done.args)}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def floor_server(self, node, port, *words):
        """A halun-floor of node that serves or passes on."""
        program = os.path.join(self.array.build, "tests/bench/halun-floor")
        server = subprocess.Popen(self.entry(node) + [program, words[0], port, self.floor_file(node), *words[1:]],
                                  stdout=subprocess.PIPE, text=True)
        try:
            server.stdout.readline()
            yield
        finally:
            server.terminate()
            server.wait()

    def floor(self, block, depth, seconds, words):
        durable = [w for w in words if w == "durable"]
        shape = [w for w in words if w in ("sequential", "durable")]
        host, address, port, file = "node1", "10.99.1.2", FLOOR_PORT, self.floor_file("node1")
        with contextlib.ExitStack() as servers:
            servers.enter_context(self.floor_server("node2", FLOOR_PORT, "serve",
                                                    *(w for w in words if w in ("barriers", "durable"))))
            if "hop" in words:
                servers.enter_context(self.floor_server("node1", PASS_PORT, "pass", address, port, *durable))
                host, address, port, file = "client", "10.99.0.1", PASS_PORT, "-"
            done = subprocess.run(self.entry(host) + [os.path.join(self.array.build, "tests/bench/halun-floor"), "ask",
                                                      address, port, file, str(SIZE), str(block), str(depth),
                                                      str(seconds), *shape],
                                  capture_output=True, text=True, timeout=60)
        if done.returncode:
            sys.exit(f"bench: halun-floor: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def limit_link(self, rate):
        """Of what the nodes send each other for the replication; None: no limit."""
        for node, other in ("node1", "10.99.1.2"), ("node2", "10.99.1.1"):
            route = json.loads(subprocess.check_output(self.entry(node) + ["ip", "-j", "route", "get", other]))
            change = ["replace", "dev", route[0]["dev"], "root", "tbf", "rate", rate, "burst", "256kb", "latency", "50ms"]
            done = subprocess.run(self.entry(node) + ["tc", "qdisc"] + (change if rate else ["del", *change[1:4]]),
                                  capture_output=True, text=True)
            if done.returncode:  # a kernel without tbf
                sys.exit(f"bench: {' '.join(done.args)}: {done.stderr.strip()}")

    def pr_out(self, *words):
        return json.loads(self.array.client("halun-pr-latency", "--count", COMMANDS, "--registrants", 1, *words,
                                            self.array.urls()[0]))

    def round_trip(self):
        return json.loads(self.array.must("node1", "halun-cpg-latency", "--count", str(COMMANDS)))

    def switchover(self):
        a, destination = self.array, {"node1": "node2", "node2": "node1"}[self.array.owner()]
        ledger, ended = halun_array.Ledger(a, "--blocks", 8192), False
        try:
            ledger.do("greet", "greeted")
            ledger.phase("switchover")
            ledger.flowing()
            a.move(destination)
            a.until(destination + " is the owner", 60, lambda: a.role(destination) == "promoted", 0.05)
            ledger.flowing()
            pause = ledger.stats()["longest_pause_s"]
            a.clear()
            ledger.end()
            ended = True
        finally:
            if not ended:
                ledger.kill()
        return {"pause_ms": pause * 1000}


class Load:
    def __init__(self, server, lun, at_owner, options):
        self.server, self.lun, self.at_owner, self.options = server, lun, at_owner, options.split()
        self.name = " ".join([server, "disk" if lun == DISK else "memory", "direct" if at_owner else "forwarded",
                              *self.options])

    def measure(self, bench, seconds):
        size = SIZE if self.lun == DISK else 64 << 20
        return bench.server(self.server).load(self.lun, self.at_owner,
                                              self.options + ["--seconds", str(seconds)], size)


class Floor:
    server = "two-nodes"

    def __init__(self, block, depth, *words):
        self.block, self.depth, self.words = block, depth, words
        self.name = " ".join([f"floor {block} x {depth}", *words])

    def measure(self, bench, seconds):
        return bench.server(self.server).floor(self.block, self.depth, seconds, self.words)


def sequential(depth, *words):
    return Floor(1 << 20, depth, "sequential", *words)


class OverSlowLink:
    """What another cell measures while the link is slower than the disks."""

    server, rate = "two-nodes", "1gbit"

    def __init__(self, cell):
        self.cell, self.name = cell, f"{cell.name} over {self.rate}"

    def measure(self, bench, seconds):
        bench.server(self.server).limit_link(self.rate)
        try:
            return self.cell.measure(bench, seconds)
        finally:
            bench.server(self.server).limit_link(None)


class Call:
    """What a method of TwoNodes measures, however long that takes."""

    server = "two-nodes"

    def __init__(self, name, method, *arguments):
        self.name, self.method, self.arguments = name, method, arguments

    def measure(self, bench, seconds):
        return self.method(bench.server(self.server), *self.arguments)


W4, R4 = "--block 4096 --reads 0", "--block 4096"


def write1m(depth):
    return f"--block 1048576 --depth {depth} --sequential --reads 0"


START = {"two-nodes": lambda bench: TwoNodes(False), "two-nodes-tls": lambda bench: TwoNodes(True)}


def rows(Row):
    def tls(name, options, measure):
        return Row(name, Load("two-nodes-tls", DISK, True, options), Load("two-nodes", DISK, True, options),
                   (measure, None, None))

    round_trip = Call("Corosync answered round trip", TwoNodes.round_trip)

    def replicated(name, options, floor, *goal):
        return Row("replicated-" + name, Load("two-nodes", DISK, True, options), floor, goal)

    def forwarded(name, options, *goal):
        return Row(name, Load("two-nodes", MEMORY, False, options), Load("two-nodes", MEMORY, True, options), goal)

    return [
        replicated("write4k-q1", W4, Floor(4096, 1), "p50_us", "<=", 1.3),
        replicated("write4k-q1-hop", W4, Floor(4096, 1, "hop"), "p50_us", "<=", 1.3),
        replicated("write4k-q1-fua", W4 + " --fua", Floor(4096, 1, "durable"), "p50_us", "<=", 1.3),
        replicated("write4k-q1-fua-hop", W4 + " --fua", Floor(4096, 1, "durable", "hop"), "p50_us", "<=", 1.3),
        replicated("write4k-q32", W4 + " --depth 32", Floor(4096, 32), "iops", None, None),
        replicated("write1m-q8", write1m(8), sequential(8), "MBps", ">=", 0.85),
        replicated("write1m-q8-hop", write1m(8), sequential(8, "hop"), "MBps", ">=", 0.85),
        replicated("write1m-q8-barriers", write1m(8), sequential(8, "barriers"), "MBps", ">=", 0.85),
        replicated("write1m-q8-barriers-hop", write1m(8), sequential(8, "barriers", "hop"), "MBps", ">=", 0.85),
        replicated("write1m-q32-barriers", write1m(32), sequential(32, "barriers"), "MBps", ">=", 0.85),
        replicated("write1m-q32-barriers-hop", write1m(32), sequential(32, "barriers", "hop"), "MBps", ">=", 0.85),
        replicated("write1m-q8-fua", write1m(8) + " --fua", sequential(8, "durable"), "MBps", ">=", 0.85),
        replicated("write1m-q8-fua-hop", write1m(8) + " --fua", sequential(8, "durable", "hop"), "MBps", ">=", 0.85),
        Row("replicated-write1m-q8-link", OverSlowLink(Load("two-nodes", DISK, True, write1m(8))),
            OverSlowLink(sequential(8)), ("MBps", ">=", 0.85)),
        tls("tls-write4k-q1", W4, "p50_us"),
        tls("tls-write4k-q32", W4 + " --depth 32", "iops"),
        tls("tls-write1m-q8", write1m(8), "MBps"),
        forwarded("forwarded-read4k-q1", R4, "p50_us", "<=", 1.6),
        forwarded("forwarded-write4k-q1", W4, "p50_us", "<=", 1.6),
        forwarded("forwarded-read4k-q32", R4 + " --depth 32", "iops", ">=", 0.6),
        forwarded("forwarded-write4k-q32", W4 + " --depth 32", "iops", ">=", 0.6),
        Row("pr-out-register", Call("two-nodes PR OUT register", TwoNodes.pr_out), round_trip, ("p50_us", "<=", 1.5)),
        Row("pr-out-reserve", Call("two-nodes PR OUT reserve", TwoNodes.pr_out, "--reserve"), round_trip,
            ("p50_us", "<=", 1.5)),
        Row("switchover", Call("two-nodes switchover", TwoNodes.switchover), None, ("pause_ms", "<=", 100)),
    ]
