"""An array of real nodes for the tests: Corosync, Pacemaker and halund in the namespaces of the rig, driven
from Python. One Array is one CLUSTER_DIR; several run side by side.

Commands enter a node by nsenter without joining its cgroup, so that a frozen node does not hold the test.
All times are CLOCK_MONOTONIC, which the nodes share with the host."""
import json
import os
import queue
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
RIG = HERE + "/rig/rig"
TARGET = "iqn.2026-11.org.halun:array"
GROUP = "g0"


class Trouble(Exception):
    """The array did not do in time what it must; the text says what was waited for."""


def now():
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


class Shape:
    """Which nodes there are, which of them run halund, which hold a copy (always node1 and node2)."""

    names = {
        "two": (2, 2, "two nodes, two_node quorum: only fencing proves a lost node harmless"),
        "three": (3, 3, "three nodes, the third serves without a copy: leases prove"),
        "vote": (3, 2, "two nodes and a third that only votes: leases prove"),
    }

    def __init__(self, name):
        self.name = name
        self.nodes, self.serving, self.text = self.names[name]


class Array:
    def __init__(self, directory, shape="two", lus=(("disk0", "256M"), ("disk1", "128M")), build=None,
                 lease_ms=3000, boot_delay=5, token=1000, fence_delay=1, tls=False):
        self.dir = os.path.abspath(directory)
        self.shape = Shape(shape)
        self.lus = lus
        self.build = build or os.environ.get("BUILD", TOP + "/build/release")
        self.lease_ms, self.boot_delay, self.token = lease_ms, boot_delay, token
        self.fence_delay, self.tls = fence_delay, tls
        self.root = self.dir + ".root"
        self.env = {**os.environ, "CLUSTER_DIR": self.dir, "ASAN_OPTIONS": "detect_leaks=0"}

    # ---- the rig ----

    def ask(self, **request):
        """A request to the rig's daemon, without the start-up time of its command."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.dir + "/rigd.sock")
            s.sendall((json.dumps(request) + "\n").encode())
            reply = json.loads(s.makefile().readline())
        if reply["rc"] and "msg" in reply:
            raise Trouble("rig: " + reply["msg"])
        return reply

    def rig(self, *arguments):
        done = subprocess.run([RIG, *map(str, arguments)], env=self.env, capture_output=True, text=True)
        if done.returncode:
            raise Trouble(f"rig {' '.join(map(str, arguments))}: {(done.stdout + done.stderr).strip()}")
        return done.stdout

    def cut(self, node):
        return self.ask(op="kill", nodes=[node])["t"]

    def freeze(self, node):
        return self.ask(op="pause", nodes=[node])["t"]

    def thaw(self, node):
        if self.is_on(node):
            self.ask(op="resume", nodes=[node])

    def power_on(self, node):
        self.ask(op="start", nodes=[node])

    def partition(self, a, b, oneway=False, link=None):
        return self.ask(op="partition", a=a, b=b, oneway=oneway, link=link)["t"]

    def heal(self):
        self.ask(op="heal")

    def loss(self, percent):
        self.ask(op="loss", pct=percent)

    def fence_device(self, works=True, delay=0.0):
        self.ask(op="pdu", on=works, delay=delay)

    def up_nodes(self):
        return sorted(n for n in self.ask(op="status")["up"] if n.startswith("node"))

    def is_on(self, node):
        return node in self.ask(op="status")["up"]

    # ---- commands inside ----

    def entry(self, node, limit):
        with open(f"{self.dir}/{node}/pid") as f:
            pid = f.read().split()[0]
        return ["nsenter", "-t", pid, "-m", "-n", "-u", "-i", "-p", "--wd=/",
                "timeout", "-k", "1", str(limit)]

    def run(self, node, *command, limit=10):
        """(exit status, output); 137 if the node is off."""
        try:
            entry = self.entry(node, limit)
        except (FileNotFoundError, IndexError):  # IndexError: it is being powered on
            return 137, node + " is off"
        done = subprocess.run(entry + list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace",
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"})
        return done.returncode, done.stdout

    def must(self, node, *command, limit=60):
        status, out = self.run(node, *command, limit=limit)
        if status:
            raise Trouble(f"{node}: {' '.join(command)}: {out.strip()[-400:]}")
        return out

    def client(self, name, *arguments, limit=60, before=()):
        """The output of a client program that ends by itself; `before`: words before its own (chrt)."""
        with open(f"{self.dir}/client/pid") as f:
            pid = f.read().split()[0]
        done = subprocess.run(["nsenter", "-t", pid, "-n", "-u", *before, f"{self.root}/client/{name}", *map(str, arguments)],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit, env=self.env)
        if done.returncode:
            raise Trouble(f"{name}: {done.stderr.strip()[-400:]}")
        return done.stdout

    def status(self, node):
        """halunctl status as an object, None while the daemon does not answer."""
        status, out = self.run(node, "halunctl", "--timeout", "3", "status", "--json")
        if status:
            return None
        try:
            return json.loads(out)
        except ValueError:
            return None

    def serving_nodes(self):
        return [f"node{i}" for i in range(1, self.shape.serving + 1)]

    def copies(self):
        return ["node1", "node2"]

    def role(self, node):
        status, out = self.run(node, "halunctl", "--timeout", "3", "group", "role", GROUP)
        return out.strip() if status == 0 else None

    def owner(self):
        for node in self.serving_nodes():
            answer = self.status(node)
            for group in (answer or {}).get("groups", []):
                if group["owner"]:
                    return group["owner"]
        return None

    # ---- waiting: Pacemaker and halunctl report states, so states are polled ----

    def until(self, what, limit, test, pace=0.1):
        end = now() + limit
        while True:
            found = test()
            if found:
                return found
            if now() > end:
                raise Trouble(f"not within {limit} s: {what}")
            time.sleep(pace)

    def whole_status(self):
        """{node: status} if every node serves in one view and both copies are current, else None."""
        seen = {}
        for node in self.serving_nodes():
            seen[node] = status = self.status(node)
            if not status or not status["cluster"]["serving"] or status["cluster"]["unproven"] or \
                    len(status["cluster"]["members"]) != self.shape.serving:
                return None
            for group in status["groups"]:
                if not group["owner"] or sorted(group["current"]) != self.copies():
                    return None
                replication = group["replication"]
                if replication and (replication["disk"] != "UpToDate" or replication["out_of_sync"] or
                                    replication["peer_disk"] != "UpToDate" or
                                    replication["connection"] != "Connected"):
                    return None
        return seen

    def wait_whole(self, limit=180):
        return self.until("every node serves, both copies are UpToDate", limit, self.whole_status, 0.3)

    # ---- bringing up ----

    def configuration(self):
        text = ['cluster {\n    name = "array"\n    log_file = "/var/log/halund.log"\n'
                f"    lease_ms = {self.lease_ms}\n}}\n"]
        for i in range(1, self.shape.serving + 1):
            text.append(f'node "node{i}" {{\n    id = {i}\n    peer = "10.99.1.{i}:7780"\n'
                        f'    replication_address = "10.99.1.{i}"\n    portal "front" {{\n'
                        f'        address = "10.99.0.{i}:3260"\n        rtpi = {i}\n    }}\n}}\n')
        text.append(f'target "{TARGET}" {{\n    alias = "array"\n}}\n')
        text.append(f'group "{GROUP}" {{\n    replication = builtin\n    nodes = {{ "node1", "node2" }}\n'
                    f"    port = 7790\n    tls = {str(self.tls).lower()}\n}}\n")
        for name, size in self.lus:
            text.append(f'lu "{name}" {{\n    uuid = "{uuid.uuid5(uuid.NAMESPACE_OID, name)}"\n'
                        f'    group = "{GROUP}"\n    path = "/var/lib/halun/{name}.img"\n'
                        f"    size = {size}\n    direct = false  # any file system\n}}\n")
        text.append('host "client" {\n    initiators = { "iqn.*" }\n')
        text += [f'    lun {number} {{\n        lu = "{name}"\n    }}\n'
                 for number, (name, _) in enumerate(self.lus)]
        return "\n".join(text) + "}\n"

    def write_configuration(self, *nodes):
        for node in nodes or self.serving_nodes():
            with open(f"{self.dir}/{node}/etc/halun/halun.conf", "w") as f:
                f.write(self.configuration())

    def certify(self, *nodes, signer="tls-signer"):
        """Certificates for the nodes; the signer's key stays in the array's directory."""
        ca = f"{self.dir}/{signer}"
        for words in [["node", *nodes]] if os.path.exists(ca) else [["ca"], ["node", *nodes]]:
            done = subprocess.run([TOP + "/config/halun-tls", *words, "--dir", ca], capture_output=True, text=True)
            if done.returncode:
                raise Trouble(f"halun-tls {' '.join(words)}: {done.stderr.strip()}")
        for node in nodes:
            folder = f"{self.dir}/{node}/etc/halun/tls"
            os.makedirs(folder, exist_ok=True)
            for name in ("ca.crt", node + ".crt", node + ".key"):
                shutil.copy(f"{ca}/{name}", folder)

    def pacemaker(self):
        """The resources: the daemons, then the group."""
        daemons = """primitive halun ocf:halun:node params config=/etc/halun/halun.conf \\
    op start timeout=60s interval=0 op stop timeout=60s interval=0 op monitor interval=5s timeout=20s \\
    meta failure-timeout=60s
clone halun-clone halun meta interleave=true
"""
        group = f"""primitive {GROUP} ocf:halun:group params group={GROUP} \\
    op start timeout=60s interval=0 op stop timeout=60s interval=0 \\
    op promote timeout=60s interval=0 op demote timeout=60s interval=0 \\
    op monitor interval=10s timeout=20s role=Promoted op monitor interval=11s timeout=20s role=Unpromoted \\
    meta failure-timeout=10s
clone {GROUP}-clone {GROUP} meta promotable=true promoted-max=1 clone-max=2 interleave=true notify=true
order halun-before-{GROUP} Mandatory: halun-clone {GROUP}-clone
colocation {GROUP}-with-halun inf: {GROUP}-clone halun-clone
"""
        for i in range(self.shape.serving + 1, self.shape.nodes + 1):
            daemons += f"location votes-only-{i} halun-clone -inf: node{i}\n"
        for i in range(3, self.shape.nodes + 1):
            group += f"location no-copy-{i} {GROUP}-clone -inf: node{i}\n"
        return daemons, group

    def configure(self, text, name):
        path = f"{self.dir}/node1/root/{name}"
        with open(path, "w") as f:
            f.write(text)
        self.must("node1", "crm", "-F", "configure", "load", "update", "/root/" + name)

    def install(self):
        """A copy of the build of its own: the sources may be built again while the array runs."""
        shutil.rmtree(self.root, ignore_errors=True)
        done = subprocess.run(["cmake", "--install", self.build, "--prefix", "/usr"],
                              env={**os.environ, "DESTDIR": self.root}, capture_output=True, text=True)
        if done.returncode:
            raise Trouble("cmake --install: " + done.stdout + done.stderr)
        os.makedirs(self.root + "/client", exist_ok=True)
        for program in os.listdir(self.build + "/tests/client"):
            if program.startswith("halun-"):
                shutil.copy(f"{self.build}/tests/client/{program}", self.root + "/client/")
        # the one that runs on nodes, beside Corosync
        shutil.copy(self.build + "/tests/client/halun-cpg-latency", self.root + "/usr/bin/")

    def up(self):
        self.down()
        self.install()
        self.rig("up", self.shape.nodes, "--token", self.token, "--totem", "token_coefficient: 0", "--nets", 2,
                 "--boot-delay", self.boot_delay, "--fence-delay", self.fence_delay, "--overlay", self.root, "--env",
                 "ASAN_OPTIONS=log_path=/var/log/sanitizer:detect_leaks=0")
        if self.tls:
            self.certify(*self.copies())
        self.write_configuration()
        daemons, group = self.pacemaker()
        self.configure(daemons, "daemons.crm")
        self.until("every daemon serves", 60, lambda: all(
            (self.status(n) or {"cluster": {"serving": False}})["cluster"]["serving"]
            for n in self.serving_nodes()))
        self.must("node1", "halunctl", "group", "init", GROUP, "--skip-sync")
        self.configure(group, "group.crm")
        self.wait_whole(120)

    def down(self):
        subprocess.run([RIG, "down"], env=self.env, capture_output=True)
        shutil.rmtree(self.dir, ignore_errors=True)
        shutil.rmtree(self.root, ignore_errors=True)

    def urls(self, lun=0):
        return [f"iscsi://10.99.0.{i}:3260/{TARGET}/{lun}" for i in range(1, self.shape.serving + 1)]

    # ---- moving the group, as an operator does it ----

    def move(self, node):
        self.must("node1" if self.is_on("node1") else "node2", "crm_resource", "--resource",
                  GROUP + "-clone", "--move", "--promoted", "--node", node)

    def clear(self):
        node = self.up_nodes()[0]
        self.run(node, "crm_resource", "--resource", GROUP + "-clone", "--clear", limit=30)

    # ---- logs ----

    LINE = re.compile(r"(\w+ +\d+ [\d:]+\.\d+) (.*)")

    def log(self, node, since=0.0, name="halund.log"):
        """[(monotonic time, text)] of a log on a node: halund's, or that at `name` below /var/log if its lines have
        such stamps (Pacemaker's, Corosync's)."""
        wall = time.time() - now()
        year = time.localtime().tm_year
        found = []
        try:
            lines = open(f"{self.dir}/{node}/var/log/{name}", errors="replace")
        except FileNotFoundError:
            return found
        with lines:
            for line in lines:
                match = self.LINE.match(line.rstrip())
                if not match:
                    continue
                stamp, fraction = match.group(1).rsplit(".", 1)
                at = time.mktime(time.strptime(f"{year} {stamp}", "%Y %b %d %H:%M:%S")) + \
                    float("0." + fraction) - wall
                if at >= since:
                    found.append((at, match.group(2)))
        return found

    def events(self, since=0.0):
        """[(monotonic time, words)] of the rig."""
        found = []
        for line in open(self.dir + "/events.log"):
            at, rest = line.rstrip().split(" ", 1)
            if float(at) >= since:
                found.append((float(at), rest))
        return found


class Program:
    """A client program on the host "client": commands on its standard input, JSON lines as answers."""

    def __init__(self, array, name, *arguments, log=None):
        self.array = array
        self.answers = queue.Queue()
        self.errors = open(log or f"{array.dir}/{name}.log", "a")
        with open(f"{array.dir}/client/pid") as f:
            pid = f.read().split()[0]
        # Network and mounts of the client are enough; so it ends with this program, not with the rig.
        self.process = subprocess.Popen(
            ["nsenter", "-t", pid, "-n", "-u", f"{array.root}/client/{name}", *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, bufsize=1,
            env=array.env)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            try:
                self.answers.put(json.loads(line))
            except ValueError:
                self.errors.write("not JSON: " + line)
        self.answers.put(None)

    def do(self, command, event, limit=180):
        """Sends a command and returns the answer whose event is the one named."""
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        end = now() + limit
        while True:
            try:
                answer = self.answers.get(timeout=max(0.01, end - now()))
            except queue.Empty:
                raise Trouble(f"the client does not answer \"{command}\" in {limit} s") from None
            if answer is None:
                raise Trouble(f"the client ended with status {self.process.wait()}")
            if answer.get("event") == event:
                return answer
            if answer.get("event") == "stuck":
                raise Trouble(f"the client is stuck at \"{command}\": {answer}")

    def end(self, limit=90):
        if self.process.poll() is None:
            try:
                self.process.stdin.write("quit\n")
                self.process.stdin.close()
            except BrokenPipeError:
                pass
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Trouble("the client does not end") from None
        finally:
            self.errors.close()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Ledger(Program):
    """halun-verify: numbered blocks, none may be lost."""

    def __init__(self, array, *arguments, depth=16, lun=0, **keywords):
        super().__init__(array, "halun-verify", "--quiet", "--depth", depth, *arguments, *array.urls(lun),
                         **keywords)

    def phase(self, name):
        return self.do("phase " + name, "phase")

    def stats(self):
        return self.do("stats", "stats", 30)

    def flowing(self, limit=60, more=200):
        """Waits for that many more acknowledged writes."""
        base = self.stats()["acknowledged"]
        return self.array.until("I/O flows", limit, lambda: self.stats()["acknowledged"] >= base + more, 0.05)

    def verify(self):
        return self.do("verify", "verified", 400)


def need_root():
    if os.geteuid():
        print("needs root: namespaces and corosync")
        sys.exit(77)
